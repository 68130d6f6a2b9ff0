"""SimpleRNN, LSTM and both GRUs against Keras' stored answers: outputs and gradients, ragged batches.

``make_keras_reference.py`` made the file and says what is in it.
"""

import numpy as np
from numpy.testing import assert_allclose

from cells import GRU, LSTM, Elman, Network
from cells.passes.layer import Input
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters
from cells.passes.rows import Rows
from cells.shares.run import Run
from cells.state_dict import from_state_dict, to_state_dict
from contracts import every
from make_keras_reference import FILE, KINDS, LAYERS

# Both in float64: a few hundred operations one after the other, on numbers up to 100 or so.
RTOL, ATOL = 1e-11, 1e-12

MAKERS = {
    "rnn-tanh": Elman,
    "rnn-relu": lambda n_in, n_units: Elman(n_in, n_units, activation="relu"),
    "lstm": LSTM,
    "gru-after": lambda n_in, n_units: GRU(n_in, n_units, reset_after=True),
    "gru-before": GRU,
}
CASES = {f"{kind}-{layers}": (kind, layers) for kind in KINDS for layers in LAYERS}


class Case:
    """What Keras answered, and our network with its parameters."""

    def __init__(self, kind, layers):
        with np.load(FILE) as records:
            record = records[f"{kind}-{layers}"]
        self.stored = {name: record[name] for name in record.dtype.names}
        self.parameters, self.gradients = self.group("parameter/"), self.group("gradient/")
        (n_layers, bidirectional), (_, _, I) = LAYERS[layers], self.stored["x"].shape
        H = next(array.shape[0] for name, array in self.parameters.items() if name.endswith("/recurrent_kernel"))
        width = 2 * H if bidirectional else H
        cells = [MAKERS[kind](I, H), *(MAKERS[kind](width, H) for _ in range(n_layers - 1))]
        self.network = Network(cells, n_out=self.stored["y"].shape[2], bidirectional=bidirectional)
        self.rows = Rows(self.stored["lengths"])
        self.theta = from_state_dict(self.network, self.parameters, "keras")

    def group(self, prefix):
        """The arrays whose names begin with the prefix, without it."""
        return {name.removeprefix(prefix): a for name, a in self.stored.items() if name.startswith(prefix)}

    def packed(self, name):
        """The rows of a padded array."""
        return np.ascontiguousarray(self.stored[name][self.rows.sequence, self.rows.step])

    def run(self):
        """Outputs, and the gradient by theta."""
        parameters = Parameters(self.network, self.theta, self.rows.n_sequences)
        run = Run(self.network, self.rows, np.float64, Memory())
        outputs = run.forward(parameters, Input(self.packed("x")), [(0.0, 0.0)] * len(self.network.parts)).copy()
        gradient = np.zeros(self.network.n_params)
        run.backward(parameters, self.packed("dy"), gradient)
        return outputs, gradient


@every(CASES)
def test_outputs_are_those_of_keras(case):
    case = Case(*case)
    assert_allclose(case.run()[0], case.packed("y"), rtol=RTOL, atol=ATOL)


@every(CASES)
def test_gradients_are_those_of_keras(case):
    """Second biases, where their sum with the first counts, have the same gradient as these."""
    case = Case(*case)
    ours = to_state_dict(case.network, case.run()[1], "keras", recurrent="sequential")
    is_ours = to_state_dict(case.network, np.ones(case.network.n_params), "keras", recurrent="sequential")
    for name, gradient in case.gradients.items():
        found = np.where(is_ours[name] == 1, ours[name], ours[name][0])  # the first of two rows of biases
        assert_allclose(found, gradient, rtol=RTOL, atol=ATOL, err_msg=name)


@every(CASES)
def test_names_shapes_and_their_order_are_those_of_keras(case):
    case = Case(*case)
    ours = to_state_dict(case.network, case.theta, "keras", recurrent="sequential")
    theirs = {name: array.shape for name, array in case.parameters.items()}
    assert list({name: array.shape for name, array in ours.items()}.items()) == list(theirs.items())
