"""Parameters in the names of torch and Keras: there and back, gate by gate, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import GRU, LSTM, ForgetGate, Network, predict
from cells.kinds.elman import Elman
from cells.state_dict import from_state_dict, to_state_dict
from contracts import every

I, H = 3, 4


def after(n_in, n_units):
    return GRU(n_in, n_units, reset_after=True)


def stack(make, *, bidirectional=False, n_layers=2, **options):
    width = 2 * H if bidirectional else H
    layers = [make(I, H), *(make(width, H) for _ in range(n_layers - 1))]
    return Network(layers, n_out=2, bidirectional=bidirectional, **options)


NETWORKS = {
    f"{name}-{framework}{'-bidirectional' * bidirectional}": (stack(make, bidirectional=bidirectional), framework)
    for name, make, frameworks in [
        ("elman", Elman, ("torch", "keras")),
        ("relu", lambda *sizes: Elman(*sizes, activation="relu"), ("torch", "keras")),
        ("lstm", LSTM, ("torch", "keras")),
        ("gru-after", after, ("torch", "keras")),
        ("gru", GRU, ("keras",)),
    ]
    for framework in frameworks
    for bidirectional in (False, True)
}


def some_theta(network, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(network.n_params).astype(dtype)


def set_of(state):
    """The numbers of a state dict without zeros, sorted."""
    numbers = np.concatenate([array.ravel() for array in state.values()])
    return np.sort(numbers[numbers != 0])


# ------------------------------------------------------------------------------------------------ there and back


@every(NETWORKS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_there_and_back_is_where_we_were(network_and_framework, dtype):
    network, framework = network_and_framework
    theta = some_theta(network, dtype)
    back = from_state_dict(network, to_state_dict(network, theta, framework), framework)
    assert back.dtype == dtype
    assert_array_equal(back, theta)


@every(NETWORKS)
def test_every_parameter_is_written_once_into_new_arrays_and_the_rest_are_zeros(network_and_framework):
    network, framework = network_and_framework
    theta = some_theta(network)
    state = to_state_dict(network, theta, framework)
    assert_array_equal(set_of(state), np.sort(theta))
    assert not any(np.shares_memory(array, theta) for array in state.values())


@every(NETWORKS)
def test_values_may_be_lists_of_integers_in_any_order_that_names_allow(network_and_framework):
    network, framework = network_and_framework
    state = to_state_dict(network, np.arange(network.n_params) % 7, framework)
    names = sorted(state) if framework == "torch" else state
    back = from_state_dict(network, {name: state[name].tolist() for name in names}, framework)
    assert back.dtype == np.float64
    assert_array_equal(back, np.arange(network.n_params) % 7)


# ------------------------------------------------------------------------------------------------ gate by gate


def lettered(network):
    """theta with the code of its gate in every element, plus 1000 for weights of the state, 2000 for biases."""
    theta = np.zeros(network.n_params)
    cell, views = network.layers[0], network.views(theta)
    for map_, kind in (("input", 0), ("recurrent", 1000), ("candidate", 1000), ("bias", 2000)):
        for plane in cell.planes:
            for one in [one for one in cell.maps if one.name == map_]:
                first = cell.column_of(plane.name) - one.column
                if 0 <= first < one.width:
                    views[f"layer0.{map_}"][..., first : first + H] = kind + ord(plane.name)
    return theta


def spelled(array, kind, axis):
    """The letters along an axis, one a gate."""
    blocks = np.split(np.asarray(array), array.shape[axis] // H, axis)
    codes = [np.unique(block) for block in blocks]
    return "".join(chr(int(code[0]) - kind) if code.size == 1 and code[0] else "." for code in codes)


@pytest.mark.parametrize(
    ("make", "W", "R", "b", "second"),
    [(LSTM, "ifgo", "ifgo", "ifgo", "...."), (after, "rug", "ruq", "rug", "..q"), (Elman, "a", "a", "a", ".")],
)
def test_gates_in_torch_are_rows_in_its_order(make, W, R, b, second):
    network = stack(make, n_layers=1)
    state = to_state_dict(network, lettered(network), "torch")
    assert spelled(state["weight_ih_l0"], 0, 0) == W
    assert spelled(state["weight_hh_l0"], 1000, 0) == R
    assert spelled(state["bias_ih_l0"], 2000, 0) == b
    assert spelled(state["bias_hh_l0"], 2000, 0) == second


@pytest.mark.parametrize(
    ("make", "layer", "W", "R", "b"),
    [
        (LSTM, "lstm/lstm_cell", "ifgo", "ifgo", ["ifgo"]),
        (after, "gru/gru_cell", "urg", "urq", ["urg", "..q"]),
        (GRU, "gru/gru_cell", "urg", "urg", ["urg"]),
        (Elman, "simple_rnn/simple_rnn_cell", "a", "a", ["a"]),
    ],
)
def test_gates_in_keras_are_columns_in_its_order(make, layer, W, R, b):
    network = stack(make, n_layers=1)
    state = to_state_dict(network, lettered(network), "keras")
    assert spelled(state[f"{layer}/kernel"], 0, 1) == W
    assert spelled(state[f"{layer}/recurrent_kernel"], 1000, 1) == R
    assert [spelled(row, 2000, 0) for row in np.atleast_2d(state[f"{layer}/bias"])] == b
    assert state[f"{layer}/bias"].ndim == len(b)


def test_weights_in_torch_are_transposed_and_in_keras_are_not():
    network = stack(Elman, n_layers=1)
    theta = some_theta(network)
    views = network.views(theta)
    torch, keras = to_state_dict(network, theta, "torch"), to_state_dict(network, theta, "keras")
    assert_array_equal(torch["weight_ih_l0"], views["layer0.input"].T)
    assert_array_equal(torch["weight_hh_l0"], views["layer0.recurrent"].T)
    assert_array_equal(torch["readout.weight"], views["readout.weights"].T)
    assert_array_equal(keras["simple_rnn/simple_rnn_cell/kernel"], views["layer0.input"])
    assert_array_equal(keras["simple_rnn/simple_rnn_cell/recurrent_kernel"], views["layer0.recurrent"])
    assert_array_equal(keras["dense/kernel"], views["readout.weights"])


@pytest.mark.parametrize("make", [Elman, LSTM])
def test_two_biases_of_torch_are_added(make):
    network = stack(make, n_layers=1)
    state = to_state_dict(network, some_theta(network), "torch")
    expected = network.views(from_state_dict(network, state, "torch"))["layer0.bias"] + 0.25
    state["bias_hh_l0"] += 0.25
    assert_array_equal(network.views(from_state_dict(network, state, "torch"))["layer0.bias"], expected)


@pytest.mark.parametrize(("framework", "name"), [("torch", "bias_hh_l0"), ("keras", "gru/gru_cell/bias")])
def test_second_biases_of_a_gru_are_added_but_for_that_inside_the_reset(framework, name):
    network = stack(after, n_layers=1)
    state = to_state_dict(network, np.zeros(network.n_params), framework)
    state[name][(1,) if framework == "keras" else ()] = 1.0
    theta = from_state_dict(network, state, framework)
    bias = network.views(theta)["layer0.bias"].reshape(4, H)  # g, r, u, q
    assert_array_equal(bias, np.repeat([[0.0], [1.0], [1.0], [1.0]], H, axis=1))


# ------------------------------------------------------------------------------------------------ names


def test_names_of_a_module_are_those_of_its_attributes():
    network = stack(LSTM, n_layers=1)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "torch", recurrent="encoder.rnn", readout="head")
    assert list(state) == [
        *(f"encoder.rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")),
        "head.weight",
        "head.bias",
    ]
    assert_array_equal(from_state_dict(network, state, "torch", recurrent="encoder.rnn", readout="head"), theta)


def test_names_in_keras_are_compared_by_their_end():
    network = stack(LSTM)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "keras", recurrent="sequential_7", readout="scores")
    assert next(iter(state)) == "sequential_7/lstm/lstm_cell/kernel"
    renamed = {name.replace("lstm_1/", "lstm_23/").replace("lstm/", "upper/"): array for name, array in state.items()}
    assert not set(renamed) & set(state) - {"sequential_7/scores/kernel", "sequential_7/scores/bias"}
    assert_array_equal(from_state_dict(network, renamed, "keras"), theta)


def test_the_readout_of_keras_may_stand_anywhere():
    network = stack(GRU)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "keras")
    order = sorted(state, key=lambda name: not name.startswith("dense"))
    assert_array_equal(from_state_dict(network, {name: state[name] for name in order}, "keras"), theta)


def test_layers_of_different_kinds_have_their_own_numbers_in_keras():
    network = Network([LSTM(I, H), GRU(H, 5), LSTM(5, H)], n_out=1)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "keras")
    kernels = [name for name in state if name.endswith("/kernel")]
    assert kernels == ["lstm/lstm_cell/kernel", "gru/gru_cell/kernel", "lstm_1/lstm_cell/kernel", "dense/kernel"]
    assert_array_equal(from_state_dict(network, state, "keras"), theta)


# ------------------------------------------------------------------------------------------------ several modules


def of_two_sizes(make, *, bidirectional=False):
    """Two layers of H units below one of 5, as torch has in two modules."""
    width = 2 * H if bidirectional else H
    return Network([make(I, H), make(width, H), make(width, 5)], n_out=2, bidirectional=bidirectional)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("make", [Elman, LSTM, after])
def test_layers_of_two_sizes_are_two_modules_in_any_order(make, bidirectional):
    network = of_two_sizes(make, bidirectional=bidirectional)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "torch", recurrent=("net.low", "up"), readout="head")
    assert {name.rpartition(".")[0] for name in state} == {"net.low", "up", "head"}
    assert {name for name in state if "_l1" in name} == {name for name in state if "low" in name and "_l1" in name}
    backwards = dict(reversed(state.items()))
    assert_array_equal(from_state_dict(network, state, "torch"), theta)
    assert_array_equal(from_state_dict(network, backwards, "torch"), theta)
    assert_array_equal(from_state_dict(network, state, "torch", recurrent=["net.low", "up"], readout="head"), theta)


def test_modules_of_equal_sizes_are_told_apart_by_name_only():
    network = Network([LSTM(H, H), LSTM(H, H)], n_out=2)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "torch", recurrent=("first", "second"))
    with pytest.raises(ValueError, match=r"sizes tell their order, .* of which 2 .*recurrent=\('first'"):
        from_state_dict(network, state, "torch")
    assert_array_equal(from_state_dict(network, state, "torch", recurrent=("first", "second")), theta)
    views = network.views(from_state_dict(network, state, "torch", recurrent=("second", "first")))
    assert_array_equal(views["layer0.input"], network.views(theta)["layer1.input"])


def test_a_cell_of_torch_that_runs_one_step_has_names_without_a_layer():
    network = stack(LSTM, n_layers=1)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "torch", recurrent="cell")
    state = {name.removesuffix("_l0"): array for name, array in state.items()}
    assert_array_equal(from_state_dict(network, state, "torch"), theta)


@pytest.mark.parametrize("recurrent", [("a",), ("a", "b", "c", "d"), ("a", "a"), (), 3, ("a", 3)])
def test_names_that_cannot_be_meant_are_refused(recurrent):
    network = of_two_sizes(LSTM)
    with pytest.raises((TypeError, ValueError, NotImplementedError), match="recurrent"):
        to_state_dict(network, some_theta(network), "torch", recurrent=recurrent)


# ------------------------------------------------------------------------------------------------ biases


@every(NETWORKS)
def test_biases_that_a_module_does_not_have_are_zero(network_and_framework):
    network, framework = network_and_framework
    theta = some_theta(network)
    state = to_state_dict(network, theta, framework)
    found = from_state_dict(network, {name: array for name, array in state.items() if "bias" not in name}, framework)
    for name, view in network.views(theta).items():
        if name.endswith("bias"):
            view[:] = 0.0
    assert_array_equal(found, theta)


def test_one_module_with_biases_and_one_without():
    network = of_two_sizes(LSTM)
    theta = some_theta(network)
    state = to_state_dict(network, theta, "torch", recurrent=("low", "up"))
    found = from_state_dict(network, {k: v for k, v in state.items() if not k.startswith("up.bias")}, "torch")
    network.views(theta)["layer2.bias"][:] = 0.0
    assert_array_equal(found, theta)
    with pytest.raises(ValueError, match=r"missing are low.bias_ih_l1, and"):
        from_state_dict(network, {k: v for k, v in state.items() if k != "low.bias_ih_l1"}, "torch")


# ------------------------------------------------------------------------------------------------ torch itself


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_stacks_of_torch_answer_as_ours_do(kind, bias):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    choices = {"bias": bias, "bidirectional": True, "batch_first": True}
    parts = {
        "up": getattr(torch.nn, kind)(2 * H, 5, **choices),
        "low": getattr(torch.nn, kind)(I, H, 2, **choices),
        "head": torch.nn.Linear(10, 2, bias=bias),
    }
    module = torch.nn.ModuleDict(parts).double()
    X = np.random.default_rng(0).standard_normal((3, 7, I))
    expected = parts["head"](parts["up"](parts["low"](torch.from_numpy(X))[0])[0]).detach().numpy()
    network = of_two_sizes({"RNN": Elman, "LSTM": LSTM, "GRU": after}[kind], bidirectional=True)
    theta = from_state_dict(network, dict(module.named_parameters()), "torch")
    assert_allclose(predict(network, theta, X), expected, rtol=1e-12, atol=1e-13)  # a few hundred operations


# ------------------------------------------------------------------------------------------------ what is refused


def changed(framework="torch", make=LSTM, **changes):
    """A network with one layer, and its state dict with some names replaced, or dropped if None."""
    network = stack(make, n_layers=1)
    state = to_state_dict(network, some_theta(network), framework) | changes
    return network, {name: array for name, array in state.items() if array is not None}, framework


def test_a_missing_name_is_named():
    with pytest.raises(ValueError, match=r"missing are bias_hh_l0, and not expected are none"):
        from_state_dict(*changed(bias_hh_l0=None))


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match=r"missing are none, and not expected are weight_ih_l1"):
        from_state_dict(*changed(weight_ih_l1=np.zeros((4, 4))))


def test_a_projected_lstm_is_refused_with_what_is_supported():
    with pytest.raises(NotImplementedError, match=r"proj_size = 0, got weight_hr_l0; supported are RNN, LSTM and GRU"):
        from_state_dict(*changed(weight_hr_l0=np.zeros((4, 4))))


def test_names_of_another_module_are_named():
    network, state, _ = changed()
    with pytest.raises(ValueError, match=r"expected are weight_ih_l0, .*name modules with recurrent="):
        from_state_dict(network, state, "torch", recurrent="rnn")


def test_a_missing_name_in_keras_is_named_as_the_layer_is():
    network, state, _ = changed("keras")
    state = {f"model/{name}": array for name, array in state.items() if not name.endswith("cell/kernel")}
    with pytest.raises(ValueError, match=r"missing are model/lstm/lstm_cell/kernel, and"):
        from_state_dict(network, state, "keras")


def test_other_numbers_of_layers_in_keras_are_listed():
    one, two = stack(GRU, n_layers=1), stack(GRU)
    with pytest.raises(ValueError, match=r"each of 2 cells \(layer0, layer1\) .* got 1 with \(gru/gru_cell/\)"):
        from_state_dict(two, to_state_dict(one, some_theta(one), "keras"), "keras")
    state = to_state_dict(one, some_theta(one), "keras")
    with pytest.raises(ValueError, match=r"and 2 without \(dense/, normal/\)"):
        from_state_dict(one, state | {"normal/gamma": np.ones(3)}, "keras")


@pytest.mark.parametrize(("name", "shape"), [("weight_ih_l0", (3, 16)), ("bias_ih_l0", (12,)), ("readout.bias", ())])
def test_a_wrong_shape_is_named_with_both(name, shape):
    network, state, framework = changed(**{name: np.zeros(shape)})
    right = to_state_dict(network, some_theta(network), framework)[name].shape
    with pytest.raises(ValueError) as caught:
        from_state_dict(network, state, framework)
    assert str(caught.value).startswith(f"{name} must have shape {right} for this network, got {shape};")


def test_the_bias_of_the_other_gru_of_keras_is_refused():
    """reset_after=True has two rows of biases."""
    network, _, _ = changed("keras", GRU)
    _, state, _ = changed("keras", after)
    with pytest.raises(ValueError, match=r"gru/gru_cell/bias must have shape \(12,\) for this network, got \(2, 12\)"):
        from_state_dict(network, state, "keras")


@pytest.mark.parametrize("framework", ["torch", "keras"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_what_is_not_finite_is_refused_by_name(framework, value):
    network, state, _ = changed(framework)
    name = next(name for name in state if "bias" in name)
    state[name][2] = value
    with pytest.raises(ValueError, match=f"{name} must be finite, got NaN or infinity"):
        from_state_dict(network, state, framework)
    with pytest.raises(ValueError, match="theta must be finite"):
        to_state_dict(network, np.full(network.n_params, value), framework)


@pytest.mark.parametrize("value", ["zeros", [[1.0], [1.0, 2.0]], np.zeros(16, complex), np.zeros(16, bool)])
def test_what_is_no_array_of_numbers_is_refused(value):
    with pytest.raises(TypeError, match=r"bias_ih_l0 must be an array of real numbers, got"):
        from_state_dict(*changed(bias_ih_l0=value))


def test_a_name_that_is_no_text_is_refused():
    network, state, framework = changed()
    with pytest.raises(TypeError, match="state must have names of parameters as keys, got 3"):
        from_state_dict(network, state | {3: np.zeros(4)}, framework)


def test_a_list_of_arrays_is_refused():
    network, state, framework = changed()
    with pytest.raises(TypeError, match=r"state must be a mapping of names to arrays, got list"):
        from_state_dict(network, list(state.values()), framework)


REFUSED = {
    "peepholes": (LSTM(I, H, has_peepholes=True), "torch", "LSTM with has_peepholes = False only, got True"),
    "no forget gate": (LSTM(I, H, has_forget_gate=False), "keras", "has_forget_gate = True only, got False"),
    "coupled": (LSTM(I, H, is_coupled=True), "torch", "is_coupled = False only"),
    "activates first": (Elman(I, H, activates_first=True), "keras", "activates_first = False only"),
    "logistic": (Elman(I, H, "logistic"), "torch", "activation = 'tanh' or 'relu' only, got 'logistic'"),
    "reset before": (GRU(I, H), "torch", "GRU with reset_after = True only, got False"),
    "forget-gate cell": (ForgetGate(I, H), "keras", "the cells Elman, LSTM, GRU only, got ForgetGate as layer 0"),
}


@every(REFUSED)
def test_cells_that_the_framework_does_not_have_are_refused(case):
    cell, framework, message = case
    network = Network(cell, n_out=1)
    for ask in (to_state_dict, from_state_dict):
        with pytest.raises(NotImplementedError, match=message):
            ask(network, {} if ask is from_state_dict else np.zeros(network.n_params), framework)


def test_layers_of_two_sizes_or_kinds_are_refused_for_one_module_of_torch():
    for above in (LSTM(H, 5), after(H, H)):
        network = Network([LSTM(I, H), above], n_out=1)
        with pytest.raises(NotImplementedError, match=r"layers of one kind and size only, got .*LSTM\(4 units\)"):
            to_state_dict(network, np.zeros(network.n_params), "torch")


def test_the_initial_forget_bias_is_no_obstacle():
    network = Network([LSTM(I, H, forget_bias=1.0), LSTM(H, H, forget_bias=0.0)], n_out=1)
    assert "weight_ih_l1" in to_state_dict(network, some_theta(network), "torch")


def test_an_unknown_framework_is_named():
    network = stack(LSTM)
    with pytest.raises(ValueError, match=r"framework must be one of 'torch', 'keras', got 'jax'"):
        to_state_dict(network, some_theta(network), "jax")


def test_learnt_initial_states_must_be_zero_and_come_back_as_zero():
    network = stack(LSTM, learn_initial_state=True)
    theta = some_theta(network)
    with pytest.raises(ValueError, match=r"initial states must be 0 .* got layer0.initial_h up to"):
        to_state_dict(network, theta, "torch")
    for name, view in network.views(theta).items():
        if ".initial_" in name:
            view[:] = 0
    assert_array_equal(from_state_dict(network, to_state_dict(network, theta, "torch"), "torch"), theta)


def test_a_theta_of_another_size_is_refused():
    network = stack(LSTM)
    with pytest.raises(ValueError, match="theta"):
        to_state_dict(network, np.zeros(3), "torch")
