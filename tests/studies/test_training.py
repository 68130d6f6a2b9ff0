"""Training in the studies: looks at even distances, lost runs told apart, outputs in the order of the draw."""

import itertools

import numpy as np
import pytest

from cells import Elman, initial_theta, predict
from optim import SGD, Adam
from studies import character_text, gradient_norms
from studies.learners import training
from studies.learners.recurrent import KINDS, Recurrent
from studies.tasks import puzzles

pytestmark = pytest.mark.compiled  # networks are trained

# Sums of float32 products, some dozens, of numbers near 1.
SINGLE_RTOL = 1e-4


def drawn(name="temporal order", version="martens2011-thesis", n_sequences=200, T=12):
    return puzzles.draw(name, version, n_sequences=n_sequences, T=T, rng=np.random.default_rng(0))


def begun(draw, n_units=8):
    network = training.network_for(draw, Elman(draw.n_inputs, n_units))
    return network, initial_theta(network, rng=np.random.default_rng(0), dtype=np.float32)


@pytest.mark.parametrize(
    "name, version",
    [("temporal order", "martens2011-thesis"), ("addition", "hochreiter97"), ("arithmetic", "jozefowicz2015-style")],
)
def test_outputs_are_those_of_each_sequence_alone(name, version):
    draw = drawn(name, version, n_sequences=7, T=12 if name != "arithmetic" else 3)
    network, theta = begun(draw)
    outputs = training.outputs_of(network, theta, draw)
    for i, length in enumerate(draw.lengths):
        (p,) = predict(network, theta, [draw.inputs[i, :length]])
        found = outputs[i] if draw.is_at_end else outputs[i, :length]
        if draw.loss == "softmax":
            found = np.exp(found) / np.exp(found).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(found, p, rtol=SINGLE_RTOL)
        if not draw.is_at_end:
            assert not outputs[i, length:].any()


def test_states_stand_where_their_sequence_does():
    draw = drawn(n_sequences=5)
    network, theta = begun(draw)
    states = training.states_of(network, theta, draw)
    readout = network.views(theta)
    last = states[np.arange(5), draw.lengths - 1]
    np.testing.assert_allclose(
        last @ readout["readout.weights"] + readout["readout.bias"],
        training.outputs_of(network, theta, draw),
        rtol=SINGLE_RTOL,
        atol=1e-6,
    )


def looks_of(method, draw=None, **choices):
    draw = drawn() if draw is None else draw
    network, theta = begun(draw)
    usual = {"n_updates": 40, "n_looks": 4, "batch_size": 20}
    return training.train(network, theta, method, draw, draw, **usual | choices)[1]


def test_looks_come_at_even_distances_and_training_helps():
    looks = looks_of(Adam(0.03))
    assert [look.n_updates for look in looks] == [10, 20, 30, 40]
    assert looks[-1].test_loss < looks[0].test_loss
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(looks))


def test_a_lost_run_is_wrong_from_then_on():
    looks = looks_of(SGD(1e20), drawn("addition", "le2015-irnn"))
    assert len(looks) == 4
    assert looks[-1].wrong_share == 1.0 and looks[-1].test_loss == np.inf


def test_a_run_that_is_done_repeats_its_last_look():
    looks = looks_of(Adam(0.03), is_done=lambda look: look.n_updates == 20)
    assert [look.n_updates for look in looks] == [10, 20, 30, 40]
    assert looks[1].test_loss == looks[3].test_loss


def test_gradients_travel_back_as_products_of_matrices_say():
    from cells import Network

    network = Network(Elman(2, 6, activation="identity"), n_out=1, targets="last", learn_initial_state=True)
    theta = initial_theta(network, "esn", rng=np.random.default_rng(0))
    views = network.views(theta)
    X = np.random.default_rng(1).normal(size=(3, 9, 2))
    found = gradient_norms._ratios(network, theta, X)
    w = views["readout.weights"][:, 0]
    expected = np.linalg.norm(np.linalg.matrix_power(views["layer0.recurrent"], 9) @ w) / np.linalg.norm(w)
    assert set(found) == {"h"}
    np.testing.assert_allclose(found["h"], expected, rtol=1e-12)  # nine products of sums of six terms


def test_a_mixture_learns_whom_to_trust():
    rng = np.random.default_rng(0)
    good, poor = np.full(4000, np.log(0.5)), np.full(4000, np.log(0.1))
    mixture = character_text.mixed(good, poor)
    assert mixture[0] == pytest.approx(np.log(0.3))
    assert mixture[-1] > np.log(0.49)
    p, q = rng.uniform(size=(2, 50))
    between = np.exp(character_text.mixed(np.log(p), np.log(q)))
    assert np.all((np.minimum(p, q) <= between) & (between <= np.maximum(p, q)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_network_follows_and_continues_a_sine(kind):
    x = np.sin(0.3 * np.arange(400))[:, None] + 5.0
    n_updates = 15 if kind == "Hessian-free" else 400
    model = Recurrent(kind, n_units=20, learning_rate=0.02, n_updates=n_updates, n_steps=40).fit(x[:-1], x[1:])
    assert np.abs(model.predict(x[:-1]) - x[1:])[50:].max() < 0.1
    future = model.forecast(10, context=np.stack([x[50:150], x[200:300]]))
    assert np.abs(future[:, :, 0] - np.stack([x[150:160, 0], x[300:310, 0]])).max() < 0.2


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"LSTM.*got 'reservoir'"):
        Recurrent("reservoir")
