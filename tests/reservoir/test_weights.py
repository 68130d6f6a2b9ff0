"""Drawing reservoirs: ranges, seeds, independent parts, the layouts of the kernels, and helpful errors."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from estimator_data import endless
from reservoir import topology
from reservoir.drive import weights
from reservoir.drive.arguments import UNROLLED
from reservoir.drive.weights import Reservoir, build_reservoir
from reservoir.graph.matrix import Shifts
from reservoir.memory import check_memory
from reservoir.simd.vectors import PACK_BYTES, pad

DTYPES = [np.float64, np.float32]
# The spectral radius of a matrix of 40 units is exact to some units of rounding times its condition.
RADIUS_RTOL = {np.float64: 1e-8, np.float32: 1e-5}


def build(seed=0, **changed):
    settings = {"n_units": 40, "n_inputs": 3, "in_degree": 5, "bias_scaling": 0.5}
    return build_reservoir(**{**settings, **changed}, rng=np.random.default_rng(seed))


def dense(W):
    return (W.to_csr() if isinstance(W, Shifts) else W).toarray()


def same_matrix(one, other):
    return np.array_equal(dense(one), dense(other))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("topology", ["sparse", "shifts", "ring"])
def test_parts_have_the_asked_shapes_precision_and_radius(dtype, topology):
    r = build(topology=topology, dtype=dtype, n_outputs=2, feedback_scaling=0.3, spectral_radius=0.7)
    assert (r.n_units, r.n_inputs, r.n_feedback, r.dtype) == (40, 3, 2, np.dtype(dtype))
    for part, shape in ((r.input_weights, (40, 3)), (r.feedback_weights, (40, 2)), (r.bias, (40,)), (r.leak, (40,))):
        assert part.shape == shape
        assert part.dtype == dtype
    assert r.W.dtype == dtype
    radius = np.abs(np.linalg.eigvals(dense(r.W).astype(float))).max()
    assert_allclose(radius, 0.7, rtol=RADIUS_RTOL[dtype])
    assert r.radius.value > 0


def test_input_weights_are_signs_or_given():
    signs = build(input_weights="signs", input_scaling=[0.1, 1.0, 4.0]).input_weights
    assert_array_equal(np.abs(signs), np.broadcast_to([0.1, 1.0, 4.0], (40, 3)))
    assert (signs > 0).any(axis=0).all() and (signs < 0).any(axis=0).all()
    given = np.random.default_rng(1).normal(size=(40, 3))
    for form in (given, given.tolist(), sp.csr_array(given)):
        r = build(input_weights=form, input_scaling=2.0)
        assert_array_equal(r.input_weights, 2 * given)
        assert same_matrix(r.W, build().W) and np.array_equal(r.bias, build().bias)


@pytest.mark.parametrize(
    ("input_weights", "kind", "message"),
    [
        (np.ones((3, 40)), ValueError, r"shape \(n_units, n_features\) = \(40, 3\), got shape \(3, 40\)"),
        ("normal", ValueError, "input_weights must be one of"),
        (np.full((40, 3), np.nan), ValueError, "input_weights"),
        (None, TypeError, "input_weights"),
    ],
)
def test_input_weights_that_cannot_be_meant_are_refused(input_weights, kind, message):
    with pytest.raises(kind, match=message):
        build(input_weights=input_weights)


def test_weights_are_uniform_within_their_scales():
    r = build(n_units=2000, input_scaling=[0.1, 1.0, 4.0], bias_scaling=0.5, n_outputs=1, feedback_scaling=2.0)
    for part, scale in (
        (r.input_weights[:, 0], 0.1),
        (r.input_weights[:, 1], 1.0),
        (r.input_weights[:, 2], 4.0),
        (r.bias, 0.5),
        (r.feedback_weights[:, 0], 2.0),
    ):
        assert np.abs(part).max() <= scale
        # Four standard errors: a uniform number on (-1, 1) has mean 0 and mean square 1/3 with deviation 0.3.
        assert abs(np.mean(part)) < 4 * scale * np.sqrt(1 / 3 / 2000)
        assert abs(np.mean(part**2) / scale**2 - 1 / 3) < 4 * 0.3 / np.sqrt(2000)


def test_a_scale_of_zero_turns_a_part_off():
    r = build(input_scaling=0.0, bias_scaling=0.0, n_outputs=2, feedback_scaling=0.0)
    assert not r.input_weights.any()
    assert not r.bias.any()
    assert r.n_feedback == 0


def test_same_seed_same_reservoir():
    one, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert same_matrix(one.W, same.W)
    assert_array_equal(one.input_weights, same.input_weights)
    assert_array_equal(one.bias, same.bias)
    assert not same_matrix(one.W, other.W)
    assert not np.isin(one.input_weights, other.input_weights).any()
    assert not np.isin(one.bias, other.bias).any()


CHANGES = {
    "bias": {"bias_scaling": 0.9},
    "feedback": {"feedback_scaling": 0.4, "n_outputs": 2},
    "input": {"input_scaling": 0.2},
    "W": {"topology": "ring"},
    "leak": {"leak_rate": 0.3},
}


@pytest.mark.parametrize("part", CHANGES)
def test_changing_one_part_leaves_the_numbers_of_the_others_alone(part):
    one, other = build(), build(**CHANGES[part])
    assert same_matrix(one.W, other.W) == (part != "W")
    assert np.array_equal(one.input_weights, other.input_weights) == (part != "input")
    assert np.array_equal(one.bias, other.bias) == (part != "bias")
    assert np.array_equal(one.leak, other.leak) == (part != "leak")


def test_scales_multiply_the_same_numbers():
    one, other = build(), build(input_scaling=[2.0, 1.0, 0.5], bias_scaling=1.0, spectral_radius=1.8)
    assert_array_equal(other.input_weights, one.input_weights * [2.0, 1.0, 0.5])
    assert_array_equal(other.bias, 2 * one.bias)
    assert_allclose(dense(other.W), 2 * dense(one.W), rtol=1e-14)


def test_leak_may_differ_by_unit():
    leak = np.linspace(0.1, 1.0, 40)
    assert_array_equal(build(leak_rate=leak).leak, leak)
    assert_array_equal(build(leak_rate=0.25).leak, np.full(40, 0.25))


def test_a_given_matrix_is_used_as_it_is_without_a_radius():
    W = np.diag([0.5, 2.0], k=0)
    r = build(n_units=2, topology=W, spectral_radius=None)
    assert_array_equal(dense(r.W), W)
    assert r.radius is None
    scaled = build(n_units=2, topology=W, spectral_radius=0.5)
    assert_allclose(dense(scaled.W), W / 4, rtol=1e-12)
    assert_array_equal(W, np.diag([0.5, 2.0]))


def test_no_inputs_are_allowed():
    assert build(n_inputs=0).units.input_weights.shape[0] == 0


WRONG = {
    "no units": ({"n_units": 0}, r"n_units must be an integer in \[1, 2147483647\], got 0"),
    "float units": ({"n_units": 4.0}, "n_units must be an integer"),
    "true units": ({"n_units": True}, "n_units must be an integer"),
    "activation": ({"activation": "sigmoid"}, "activation must be one of .*'tanh'.* got 'sigmoid'"),
    "leak 0": ({"leak_rate": 0.0}, r"leak_rate must be in \(0, 1\], got 0.0"),
    "leak above 1": ({"leak_rate": 1.5}, r"leak_rate must be in \(0, 1\]"),
    "leak nan": ({"leak_rate": np.nan}, "leak_rate must hold finite real numbers, got nan"),
    "leak shape": ({"leak_rate": np.ones(39)}, r"leak_rate .* 40 in all, got shape \(39,\)"),
    "leak matrix": ({"leak_rate": np.ones((40, 1))}, "leak_rate .* got shape"),
    "input shape": ({"input_scaling": [1.0, 2.0]}, "input_scaling .* 3 in all"),
    "input text": ({"input_scaling": "big"}, "input_scaling must hold finite real numbers, got 'big'"),
    "bias": ({"bias_scaling": -1.0}, "bias_scaling must be a finite number >= 0, got -1.0"),
    "bias text": ({"bias_scaling": "1"}, "bias_scaling must be a finite number >= 0, got '1'"),
    "feedback": ({"feedback_scaling": np.inf}, "feedback_scaling must be a finite number >= 0"),
    "radius 0": ({"spectral_radius": 0.0}, "spectral_radius must be a finite number > 0, got 0.0"),
    "radius nan": ({"spectral_radius": np.nan}, "spectral_radius must be a finite number > 0"),
    "radius true": ({"spectral_radius": True}, "spectral_radius must be a finite number > 0"),
    "leak that underflows": ({"leak_rate": 1e-60, "dtype": np.float32}, r"leak_rate must be in \(0, 1\].* in float32"),
    "input that overflows": ({"input_scaling": 1e39, "dtype": np.float32}, "input_scaling must give .* of float32"),
    "bias that overflows": (
        {"bias_scaling": 1e39, "dtype": np.float32},
        "bias_scaling must give weights .* of float32",
    ),
    "feedback overflows": (
        {"feedback_scaling": 1e39, "n_outputs": 1, "dtype": np.float32},
        "feedback_scaling must give",
    ),
    "radius that overflows": ({"spectral_radius": 1e39, "dtype": np.float32}, "spectral_radius must give weights"),
    "radius of many bits": ({"spectral_radius": 10**400}, "spectral_radius must be a finite number > 0"),
    "leak in itself": ({"leak_rate": endless(2)}, "leak_rate must be a rectangular array"),
    "leak masked": ({"leak_rate": np.ma.array(np.ones(40), mask=np.eye(40)[0])}, "leak_rate must have no masked entry"),
    "activation list": ({"activation": []}, r"activation must be one of .*, got \[\]"),
    "units of many bits": ({"n_units": 10**30}, r"n_units must be an integer in \[1, 2147483647\]"),
    "radius none": ({"spectral_radius": None}, "spectral_radius must be a number > 0 for topology='sparse'"),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_wrong_values_name_the_parameter_what_came_and_what_to_do(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(**settings)


# ------------------------------------------------------------------------------------- layouts of the kernels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_units", [1, 7, 40])
def test_units_are_padded_with_what_does_nothing(n_units, dtype):
    r = build(n_units=n_units, in_degree=1, n_outputs=2, feedback_scaling=0.5, leak_rate=0.5, dtype=dtype)
    padded = pad(n_units, dtype)
    units = r.units
    assert units.input_weights.shape == (5, padded)
    assert_array_equal(units.input_weights[:3, :n_units], r.input_weights.T)
    assert_array_equal(units.input_weights[3:, :n_units], r.feedback_weights.T)
    assert not units.input_weights[:, n_units:].any()
    assert_array_equal(units.bias, np.append(r.bias, np.zeros(padded - n_units)))
    assert_array_equal(units.leak, np.append(r.leak, np.ones(padded - n_units)))


def with_empty_rows(n_units, dtype):
    W = sp.random_array((n_units, n_units), density=0.2, rng=np.random.default_rng(0), format="lil", dtype=float)
    W[::3] = 0
    return sp.csr_array(W.astype(dtype))


def from_slices(graph, n_units, dtype):
    """The matrix that the slices say, entry by entry; what points behind the units must weigh nothing."""
    P = PACK_BYTES // np.dtype(dtype).itemsize
    W = np.zeros((n_units, n_units))
    for s in range(len(graph.pointers) - 1):
        for k in range(graph.pointers[s], graph.pointers[s + 1]):
            row, column = s * P + (k - graph.pointers[s]) % P, graph.indices[k]
            if row < n_units and column < n_units:
                W[row, column] += graph.weights[k]
            else:
                assert graph.weights[k] == 0
                assert column == pad(n_units, dtype)
    return W


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_units", [1, 7, 33, 64])
def test_slices_hold_every_entry_of_its_row_once(n_units, dtype):
    W = with_empty_rows(n_units, dtype)
    parts = np.ones((n_units, 1), dtype), np.ones((n_units, 0), dtype), np.ones(n_units, dtype), np.ones(n_units, dtype)
    r = Reservoir(W, *parts)
    assert_array_equal(from_slices(r.sequence_graph, n_units, dtype), W.toarray())
    assert r.sequence_graph.shifts.size == 0
    lanes = r.lane_graph
    assert_array_equal(sp.csr_array((lanes.weights, lanes.indices, lanes.pointers), W.shape).toarray(), W.toarray())


@pytest.mark.parametrize("dtype", DTYPES)
def test_shifts_are_laid_out_by_blocks_of_diagonals_and_by_row(dtype):
    r = build(topology="shifts", dtype=dtype, n_units=37, in_degree=3)
    two_packs, graph = pad(1, dtype), r.sequence_graph
    diagonals = np.hstack(list(graph.weights.reshape(-1, 3, two_packs)))
    assert_array_equal(diagonals[:, :37], r.W.weights)
    assert diagonals.shape == (3, pad(37, dtype))
    assert not diagonals[:, 37:].any()
    assert_array_equal(graph.shifts, r.W.shifts)
    lanes = r.lane_graph
    assert_array_equal(sp.csr_array((lanes.weights, lanes.indices, lanes.pointers), (37, 37)).toarray(), dense(r.W))


@pytest.mark.parametrize(("in_degree", "topology"), [(10, "sparse"), (10, "shifts"), (9, "sparse"), (10, "ring")])
def test_rows_of_ten_entries_are_told_to_the_kernels(in_degree, topology):
    r = build(topology=topology, in_degree=in_degree)
    is_even = (np.diff(r.lane_graph.pointers) == UNROLLED).all()
    assert is_even == (in_degree == 10 and topology != "ring")
    assert r.lane_graph.unrolled == ((0,) * UNROLLED if is_even else ())
    assert r.sequence_graph.unrolled == r.lane_graph.unrolled


@pytest.mark.parametrize("topology", ["sparse", "shifts"])
def test_layouts_are_made_once_and_not_pickled(topology):
    r = build(topology=topology)
    bare = len(pickle.dumps(r))
    assert r.units is r.units
    assert r.lane_graph is r.lane_graph
    assert r.sequence_graph is r.sequence_graph
    assert len(pickle.dumps(r)) == bare
    again = pickle.loads(pickle.dumps(r))
    assert same_matrix(again.W, r.W)
    assert_array_equal(again.units.input_weights, r.units.input_weights)
    assert again.activation_code == r.activation_code
    assert vars(again).keys() >= {"W", "bias", "leak"}


@pytest.mark.parametrize("name", topology.NAMES)
def test_room_is_asked_for_before_a_reservoir_is_drawn(monkeypatch, name):
    asked = []
    monkeypatch.setattr(weights, "check_memory", lambda n_bytes, what: asked.append((n_bytes, what)))
    r = build(n_units=300, topology=name)
    W = r.W.to_csr() if isinstance(r.W, Shifts) else r.W
    ((n_bytes, what),) = asked
    assert W.data.nbytes + W.indices.nbytes + r.input_weights.nbytes < n_bytes
    assert what == "a reservoir of n_units=300"


def test_a_reservoir_without_room_is_refused():
    with pytest.raises(MemoryError, match=r"expected room for a reservoir, which needs .* GiB available; use fewer"):
        check_memory(2**70, "a reservoir")
