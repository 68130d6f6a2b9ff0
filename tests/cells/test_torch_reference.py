"""RNN, LSTM and GRU against PyTorch's stored answers: outputs, final states and every gradient, ragged batches.

``make_torch_reference.py`` made the file and says what is in it.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cells import GRU, LSTM, Elman, Network
from cells.passes.layer import Input, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.rows import Rows
from cells.shares.carried import parted, rows_after
from cells.shares.run import Run
from cells.state_dict import from_state_dict, to_state_dict
from contracts import every
from make_torch_reference import FILE, KINDS, LAYERS

# Both in float64: a few hundred operations one after the other, on numbers up to 100 or so.
RTOL, ATOL = 1e-11, 1e-12

MAKERS = {
    "rnn-tanh": Elman,
    "rnn-relu": lambda n_in, n_units: Elman(n_in, n_units, activation="relu"),
    "lstm": LSTM,
    "gru": lambda n_in, n_units: GRU(n_in, n_units, reset_after=True),
}
CASES = {f"{kind}-{layers}": (kind, layers) for kind in KINDS for layers in LAYERS}


class Case:
    """What torch answered, and our network with its parameters."""

    def __init__(self, kind, layers):
        with np.load(FILE) as records:
            record = records[f"{kind}-{layers}"]
        self.stored = {name: record[name] for name in record.dtype.names}
        (n_layers, bidirectional), (_, _, I) = LAYERS[layers], self.stored["x"].shape
        H = self.stored["h0"].shape[2]
        width = 2 * H if bidirectional else H
        cells = [MAKERS[kind](I, H), *(MAKERS[kind](width, H) for _ in range(n_layers - 1))]
        self.network = Network(cells, n_out=self.stored["y"].shape[2], bidirectional=bidirectional)
        self.rows = Rows(self.stored["lengths"])
        self.theta = from_state_dict(self.network, self.group("parameter/"), "torch", recurrent="rnn")

    def group(self, prefix):
        """The arrays of the modules among those that begin with the prefix, without it."""
        found = {name.removeprefix(prefix): a for name, a in self.stored.items() if name.startswith(prefix)}
        return {name: array for name, array in found.items() if "." in name}

    def packed(self, name):
        """The rows of a padded array."""
        return np.ascontiguousarray(self.stored[name][self.rows.sequence, self.rows.step])

    def states(self, h, c):
        """The states of every part, in torch's order."""
        nothing = [0.0] * len(self.network.parts)
        return list(zip(self.stored[h], self.stored.get(c, nothing), strict=True))

    def forward(self):
        parameters = Parameters(self.network, self.theta, self.rows.n_sequences)
        run = Run(self.network, self.rows, np.float64, Memory())
        return parameters, run, run.forward(parameters, Input(self.packed("x")), self.states("h0", "c0"))

    def backward(self):
        parameters, run, _ = self.forward()
        gradient = np.zeros(self.network.n_params)
        return gradient, run.backward(parameters, self.packed("dy"), gradient, final=self.states("dh", "dc"))


@every(CASES)
def test_outputs_are_those_of_torch(case):
    case = Case(*case)
    assert_allclose(case.forward()[2], case.packed("y"), rtol=RTOL, atol=ATOL)


@every(CASES)
def test_final_states_are_those_of_torch(case):
    """At the true end of each sequence; of the backward direction, at its beginning."""
    case = Case(*case)
    run = case.forward()[1]
    after = parted(case.network, rows_after(run, run.rows.running.size))
    for part, (h, c) in enumerate(after):
        assert_allclose(h, case.stored["h"][part], rtol=RTOL, atol=ATOL)
        if "c" in case.stored:
            assert_allclose(c, case.stored["c"][part], rtol=RTOL, atol=ATOL)


@every(CASES)
def test_gradients_by_parameters_are_those_of_torch(case):
    """Torch's second biases, where their sum with the first counts, have the same gradient as these."""
    case = Case(*case)
    ours = to_state_dict(case.network, case.backward()[0], "torch", recurrent="rnn")
    is_ours = to_state_dict(case.network, np.ones(case.network.n_params), "torch", recurrent="rnn")
    theirs = case.group("gradient/")
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        twin = theirs[name.replace("bias_hh", "bias_ih")]
        assert_allclose(np.where(is_ours[name] == 1, ours[name], twin), gradient, rtol=RTOL, atol=ATOL, err_msg=name)


@every(CASES)
def test_gradients_by_initial_states_are_those_of_torch(case):
    case = Case(*case)
    for part, (h, c) in enumerate(case.backward()[1]):
        assert_allclose(h, case.stored["gradient/h0"][part], rtol=RTOL, atol=ATOL)
        if "c0" in case.stored:
            assert_allclose(c, case.stored["gradient/c0"][part], rtol=RTOL, atol=ATOL)


@every({name: case for name, case in CASES.items() if not LAYERS[case[1]][1]})
def test_gradients_by_the_input_are_those_of_torch(case):
    case = Case(*case)
    parameters, run, _ = case.forward()
    options, final = PassOptions(keeps_planes=True), case.states("dh", "dc")
    run.backward(parameters, case.packed("dy"), np.zeros_like(case.theta), options, final=final)
    dx = run.layers[0].input_cotangent(parameters.matrices[0], run.planes[0])
    assert_allclose(dx, case.packed("gradient/x"), rtol=RTOL, atol=ATOL)


@every(CASES)
def test_names_and_shapes_are_those_of_torch(case):
    case = Case(*case)
    ours, theirs = to_state_dict(case.network, case.theta, "torch", recurrent="rnn"), case.group("parameter/")
    assert list(ours) == list(theirs)
    assert {name: array.shape for name, array in ours.items()} == {name: a.shape for name, a in theirs.items()}


def test_torch_takes_what_we_write_and_answers_the_same():
    torch = pytest.importorskip("torch")
    network = Network([LSTM(3, 4), LSTM(8, 4)], n_out=2, bidirectional=True)
    rng = np.random.default_rng(0)
    theta, rows = rng.standard_normal(network.n_params), Rows(np.array([6, 6]))
    x = rng.standard_normal((rows.n_rows, 3))
    module = torch.nn.ModuleDict(
        {"rnn": torch.nn.LSTM(3, 4, 2, bidirectional=True), "readout": torch.nn.Linear(8, 2)}
    ).double()
    state = to_state_dict(network, theta, "torch", recurrent="rnn")
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    with torch.no_grad():
        theirs = module["readout"](module["rnn"](torch.from_numpy(x.reshape(6, 2, 3)))[0]).numpy()
    parameters = Parameters(network, theta, 2)
    ours = Run(network, rows, np.float64, Memory()).forward(parameters, Input(x), [(0.0, 0.0)] * 4)
    assert_allclose(ours, theirs.reshape(-1, 2), rtol=RTOL, atol=ATOL)
