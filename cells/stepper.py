"""A network run one step at a time, nothing kept but the state: for sampling, control, and whatever arrives live."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.carried import check_rows, initial_rows, joined, parted, refuse_unless_carried
from cells.layer import Input
from cells.losses import predictions
from cells.memory import Memory
from cells.network import Network
from cells.parameters import Parameters
from cells.rows import Rows
from cells.run import Run, States


class Stepper:
    """A network at fixed parameters that takes one input after the other.

    Parameters
    ----------
    network : Network
        In one direction.
    theta : (P,)
        Its dtype is the working precision. Copied.
    n_sequences : int >= 1
        Sequences B that step side by side.
    state : (B, S) or (S,), optional
        States to start from, see :attr:`state`.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import GRU, Network, Stepper, initial_theta
    >>> network = Network(GRU(4, 3), n_out=4, loss="softmax")
    >>> stepper = Stepper(network, initial_theta(network, rng=np.random.default_rng(0)))
    >>> probabilities = stepper.step(2)
    >>> probabilities.shape, round(float(probabilities.sum()), 6)
    ((1, 4), 1.0)
    """

    def __init__(self, network: Network, theta: np.ndarray, *, n_sequences: int = 1, state: Any = None) -> None:
        refuse_unless_carried(network, "a step at a time")
        self.network, self.n_sequences, self.dtype = network, n_sequences, theta.dtype.type
        self._parameters = Parameters(network, n_sequences).set(theta.copy())
        self._run = Run(network, Rows(np.ones(n_sequences, np.int64)), self.dtype, Memory())
        self._no_rows = np.empty((0, network.n_in), self.dtype)
        B = n_sequences
        self._after: States = [
            (layer.tape.h[B:], layer.tape.c[B:] if layer.tape.c.size else 0.0) for layer in self._run.layers
        ]
        self._states = parted(network, initial_rows(network, theta, B))
        if state is not None:
            self.state = state

    @property
    def state(self) -> np.ndarray:
        """(B, S) states, a copy; columns as in ``cells.carried``. Set it to go on from elsewhere."""
        return joined(self.network, self._states, self.n_sequences, self.dtype)

    @state.setter
    def state(self, state: Any) -> None:
        self._states = parted(self.network, check_rows(self.network, state, self.n_sequences, self.dtype))

    def step(self, x: Any) -> np.ndarray:
        """Predictions (B, O) after one more input, an array that the next step overwrites.

        Parameters
        ----------
        x : (B, I) numbers, or integers (B,) that stand for one-hot rows; for one sequence also (I,), or an int
        """
        return predictions(self.network.loss, self.outputs(x))

    def outputs(self, x: Any) -> np.ndarray:
        """What :meth:`step` makes its predictions of, (B, O): of a softmax the exponents, known where p has no digits.

        Parameters
        ----------
        x : as in :meth:`step`
        """
        outputs = self._run.forward(self._parameters, self._input(x), self._states)
        self._states = self._after
        return outputs

    def _input(self, x: Any) -> Input:
        if isinstance(x, int | np.integer) and self.n_sequences == 1:
            return Input(self._no_rows, 0, np.array([x]))
        x = np.asarray(x)
        if x.dtype.kind in "iu" and x.ndim == 1 and self.network.n_in != 1:
            return Input(self._no_rows, 0, x.astype(np.int64))
        return Input(np.ascontiguousarray(x.reshape(self.n_sequences, self.network.n_in), self.dtype))
