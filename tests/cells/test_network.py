"""A network's parameters and their places, and what it refuses to be."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import GRU, LSTM, Elman, Network
from contracts import CELLS, every

STACK = Network([LSTM(3, 10), Elman(20, 4)], n_out=2, bidirectional=True, learn_initial_state=True)


def test_names_and_shapes_stand_in_the_order_of_theta():
    views = STACK.views(np.arange(float(STACK.n_params)))
    assert [(name, view.shape) for name, view in views.items()] == [
        *[("layer0.input", (3, 40)), ("layer0.recurrent", (10, 40)), ("layer0.bias", (40,))],
        *[("layer0_reverse.input", (3, 40)), ("layer0_reverse.recurrent", (10, 40)), ("layer0_reverse.bias", (40,))],
        *[("layer1.input", (20, 4)), ("layer1.recurrent", (4, 4)), ("layer1.bias", (4,))],
        *[("layer1_reverse.input", (20, 4)), ("layer1_reverse.recurrent", (4, 4)), ("layer1_reverse.bias", (4,))],
        *[("layer0.initial_h", (10,)), ("layer0.initial_c", (10,))],
        *[("layer0_reverse.initial_h", (10,)), ("layer0_reverse.initial_c", (10,))],
        *[("layer1.initial_h", (4,)), ("layer1_reverse.initial_h", (4,))],
        *[("readout.weights", (8, 2)), ("readout.bias", (2,))],
    ]
    assert_array_equal(np.concatenate([view.ravel() for view in views.values()]), np.arange(STACK.n_params))


@every(CELLS)
def test_parameters_of_every_cell_are_counted_once(cell):
    network = Network([cell(3, 3), cell(3, 3)], n_out=2)
    assert network.n_params == 2 * cell(3, 3).n_params + 3 * 2 + 2
    for part in network.parts:
        assert (part.parameters.stop - part.parameters.start) == part.cell.n_params


@pytest.mark.parametrize("theta", [np.zeros(STACK.n_params), np.zeros(2 * STACK.n_params, np.float32)[::2]])
def test_views_write_to_theta(theta):
    STACK.views(theta)["readout.bias"][:] = 3.0
    STACK.views(theta)["layer0.input"][0, 0] = 4.0
    assert theta[-2:].tolist() == [3.0, 3.0] and theta[0] == 4.0
    assert theta.sum() == 10.0


def test_sizes_are_told():
    assert (STACK.n_in, STACK.n_features, STACK.n_directions) == (3, 8, 2)
    assert (Network(GRU(3, 4), n_out=1).n_features, Network(GRU(3, 4), n_out=1).n_directions) == (4, 1)


def test_equal_networks_are_equal():
    one, other = (Network([LSTM(3, 4)], n_out=2) for _ in range(2))
    assert one.n_params  # what is remembered for later is no part of it
    assert one == other and hash(one) == hash(other) and one == Network(LSTM(3, 4), n_out=2)
    assert one != Network([LSTM(3, 4)], n_out=2, loss="softmax")


def test_a_network_cannot_be_changed():
    with pytest.raises(AttributeError):
        STACK.n_out = 5


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"layers": []}, TypeError, r"layers must be a cell or several, got \(\)"),
        ({"layers": 3}, TypeError, r"layers must be a cell or several, got \(3,\)"),
        ({"layers": [LSTM(3, 4), "lstm"]}, TypeError, "layers must be a cell or several"),
        ({"n_out": 0}, ValueError, r"n_out must be an integer in \[1, 2147483648\], got 0"),
        ({"n_out": 10**30}, ValueError, "n_out must be an integer .*, got 10{30};"),
        ({"n_out": True}, TypeError, "n_out must be an integer .*, got True"),
        ({"n_out": 2.0}, TypeError, "n_out must be an integer .*, got 2.0"),
        ({"loss": "hinge"}, ValueError, "loss must be one of 'squared', 'logistic', 'softmax', got 'hinge'"),
        ({"loss": []}, TypeError, r"loss must be one of .*, got \[\]"),
        ({"layers": [LSTM(3, 4), LSTM(4, 2**21)]}, ValueError, "n_units of layer 1 must be an integer .*, got 2097152"),
        ({"targets": "first"}, ValueError, "targets must be one of 'all', 'last', got 'first'"),
        ({"layers": [LSTM(3, 4), LSTM(5, 4)]}, ValueError, "the layer below, 4, got 5; that is n_units"),
        (
            {"layers": [LSTM(3, 4), LSTM(4, 4)], "bidirectional": True},
            ValueError,
            "the layer below, 8, got 4; with bidirectional=True that is twice n_units",
        ),
    ],
)
def test_what_is_no_network_is_refused(arguments, kind, says):
    with pytest.raises(kind, match=says):
        Network(arguments.pop("layers", LSTM(3, 4)), **{"n_out": 2, **arguments})


def test_a_vector_of_another_size_is_refused():
    with pytest.raises(ValueError, match=rf"theta must have shape \({STACK.n_params},\), .*got \(3,\); one vector"):
        STACK.views(np.zeros(3))
