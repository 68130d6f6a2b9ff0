"""Initial parameters: what each scheme promises, for the blocks of every cell."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, Elman, Network, initial_theta
from cells.initial import SCHEMES, EchoState, Glorot, Identity, Normal, Orthogonal, Sparse
from contracts import CELLS, every
from one_case import in_one_case

H = 40
ROUNDING = {"rtol": 1e-10, "atol": 1e-12}  # of a QR or eigenvalue decomposition of H units


def views(cell, scheme, seed=0, **choices):
    network = Network(cell, n_out=3, **choices)
    theta = initial_theta(network, scheme, rng=np.random.default_rng(seed))
    return network.views(theta)


@every(CELLS)
@in_one_case("scheme", SCHEMES)
def test_every_cell_gets_finite_parameters_that_are_not_all_zero(build, scheme):
    found = views(build(7, 7), scheme)
    for name, view in found.items():
        assert np.isfinite(view).all()
        assert view.any() or "bias" in name or "peephole" in name


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(scheme):
    network = Network(LSTM(3, 5), n_out=2)
    one, same, other = (initial_theta(network, scheme, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_single_precision_is_the_rounded_double_precision():
    network = Network(GRU(3, 5), n_out=2)
    double = initial_theta(network, "esn", rng=np.random.default_rng(0))
    single = initial_theta(network, "esn", rng=np.random.default_rng(0), dtype=np.float32)
    assert single.dtype == np.float32
    assert_array_equal(single, double.astype(np.float32))


def test_a_second_layer_does_not_change_the_first():
    one = views([LSTM(3, 5)], "glorot")
    two = views([LSTM(3, 5), LSTM(5, 5)], "glorot")
    assert_array_equal(one["layer0.recurrent"], two["layer0.recurrent"])


def test_the_forget_bias_goes_to_the_forget_gate_only():
    bias = views(LSTM(2, 3, forget_bias=2.5), "glorot")["layer0.bias"]
    assert_array_equal(bias, np.repeat([0.0, 2.5, 0.0, 0.0], 3))
    assert not views(LSTM(2, 3, is_coupled=True), "glorot")["layer0.bias"].any()


def test_learnt_initial_states_begin_at_zero():
    assert not views(LSTM(2, 3), "sparse", learn_initial_state=True)["layer0.initial_c"].any()


def test_glorot_fills_its_bound_block_by_block():
    found = views(LSTM(20, H), "glorot")
    for name, bound in (("input", np.sqrt(6 / (20 + H))), ("recurrent", np.sqrt(6 / (H + H)))):
        for block in np.split(found[f"layer0.{name}"], 4, axis=1):
            assert 0.9 * bound < abs(block).max() <= bound
    assert abs(views(Elman(20, H), Glorot(gain=0.5))["layer0.input"]).max() <= 0.5 * np.sqrt(6 / (20 + H))


@pytest.mark.parametrize("cell", [Elman(3, H), LSTM(3, H), GRU(3, H)])
def test_orthogonal_blocks_keep_lengths(cell):
    found = views(cell, Orthogonal(gain=0.9))
    for name in ("recurrent", "candidate"):
        blocks = found.get(f"layer0.{name}")
        for block in [] if blocks is None else np.split(blocks, blocks.shape[1] // H, axis=1):
            assert_allclose(block.T @ block, 0.81 * np.eye(H), **ROUNDING)


@pytest.mark.parametrize("shape", [(3, 8), (8, 3)])
def test_an_orthogonal_block_that_is_not_square_has_orthonormal_rows_or_columns(shape):
    W = Orthogonal().block("recurrent", *shape, np.random.default_rng(0))
    assert W.shape == shape
    assert_allclose(np.linalg.svd(W, compute_uv=False), 1.0, **ROUNDING)


def test_the_irnn_begins_with_the_identity():
    found = views(Elman(30, H, activation="relu"), Identity(scale=0.7))
    assert_array_equal(found["layer0.recurrent"], 0.7 * np.eye(H))
    assert not found["layer0.bias"].any()
    assert 0.0005 < found["layer0.input"].std() < 0.0015


@pytest.mark.parametrize(("convention", "input_deviation"), [("thesis", 1.0), ("release", 0.25 / np.sqrt(15))])
def test_sparse_units_have_fifteen_incoming_weights_of_the_conventions_scale(convention, input_deviation):
    found = views(Elman(200, 500), Sparse(convention=convention))
    for name, deviation in (("input", input_deviation), ("recurrent", 15**-0.5)):
        W = found[f"layer0.{name}"]
        assert_array_equal(np.count_nonzero(W, axis=0), 15)
        # 7,500 weights: their deviation is known to 1 / √15,000 = 0.8 %; four times that
        assert_allclose(W[W != 0].std(), deviation, rtol=0.033)
    assert found["layer0.bias"].any() == (convention == "thesis")


def test_fewer_sources_than_fifteen_are_all_read():
    assert np.count_nonzero(views(Elman(2, H), "sparse")["layer0.input"]) == 2 * H


@pytest.mark.parametrize("cell", [Elman(3, H), LSTM(3, H)])
def test_echo_state_blocks_have_the_spectral_radius(cell):
    for block in np.split(views(cell, EchoState(spectral_radius=1.3))["layer0.recurrent"], cell.n_columns // H, axis=1):
        assert_allclose(abs(np.linalg.eigvals(block)).max(), 1.3, rtol=1e-8)
        assert_array_equal(np.count_nonzero(block, axis=0), 15)


def test_normal_is_the_deviation_asked_for():
    W = views(Elman(100, 100), Normal(0.01))["layer0.recurrent"]
    assert_allclose(W.std(), 0.01, rtol=0.03)  # 10,000 weights: known to 0.7 %, four times that


@pytest.mark.parametrize("scheme", ["glorott", 3, None, [], {}, Sparse])
def test_a_scheme_that_is_none_is_refused(scheme):
    with pytest.raises(ValueError if scheme == "glorott" else TypeError, match="scheme must be one of 'glorot', "):
        initial_theta(Network(Elman(1, 2), n_out=1), scheme, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "kind", "name"),
    [
        (lambda: Sparse(in_degree=0), ValueError, "in_degree"),
        (lambda: EchoState(in_degree=1.5), TypeError, "in_degree"),
        (lambda: Sparse(convention="paper"), ValueError, "convention"),
        (lambda: Glorot(gain=0.0), ValueError, "gain"),
        (lambda: Orthogonal(gain=np.nan), ValueError, "gain"),
        (lambda: Identity(scale="1"), TypeError, "scale"),
        (lambda: Normal(deviation=-0.1), ValueError, "deviation"),
        (lambda: EchoState(spectral_radius=np.inf), ValueError, "spectral_radius"),
        (lambda: EchoState(input_scale=-1), ValueError, "input_scale"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make, kind, name):
    with pytest.raises(kind, match=f"{name} must be"):
        make()


def test_a_generator_and_a_precision_are_asked_for():
    with pytest.raises((TypeError, ValueError), match="dtype must be None"):
        initial_theta(Network(Elman(1, 2), n_out=1), rng=np.random.default_rng(0), dtype="float16")
    with pytest.raises(TypeError, match="rng"):
        initial_theta(Network(Elman(1, 2), n_out=1), rng=0)
