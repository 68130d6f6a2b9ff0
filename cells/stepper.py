"""A network run one step at a time, nothing kept but the state: for sampling, control, and whatever arrives live."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.layer import Input
from cells.passes.losses import predictions
from cells.passes.memory import Memory
from cells.passes.parameters import Parameters, check_theta
from cells.passes.rows import Rows
from cells.shares.arrays import as_array, class_numbers, finite_numbers
from cells.shares.carried import check_rows, initial_rows, joined, parted, refuse_unless_carried
from cells.shares.run import Run, States
from optim.arguments import integer
from optim.device import all_to_host, beside, to_host

_MOST_SEQUENCES = 2**31 - 1  # more than memory holds states of


class Stepper:
    """A network at fixed parameters that takes one input after the other.

    Parameters
    ----------
    network : Network
        In one direction.
    theta : (P,)
        Its dtype is the working precision. Copied. Of CuPy, what comes back is so too; steps are the processor's.
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
        check_theta(network, theta)
        B = integer("n_sequences", n_sequences, most=_MOST_SEQUENCES, remedy="give the number that step side by side")
        self.network, self.n_sequences, self.dtype = network, B, theta.dtype.type
        self._given, theta = theta[:0], to_host(theta)
        self._parameters = Parameters(network, theta, B)
        self._run = Run(network, Rows(np.ones(B, np.int64)), self.dtype, Memory())
        self._no_rows = np.empty((0, network.n_in), self.dtype)
        self._after: States = [
            (layer.tape.h[B:], layer.tape.c[B:] if layer.tape.c.size else 0.0) for layer in self._run.layers
        ]
        self._states = parted(network, initial_rows(network, theta, B))
        if state is not None:
            self.state = state

    @property
    def state(self) -> np.ndarray:
        """(B, S) states, a copy; columns as in ``cells.shares.carried``. Set it to go on from elsewhere."""
        return beside(self._given, joined(self.network, self._states, self.n_sequences, self.dtype))

    @state.setter
    def state(self, state: Any) -> None:
        self._states = parted(self.network, check_rows(self.network, all_to_host(state), self.n_sequences, self.dtype))

    def step(self, x: Any) -> np.ndarray:
        """Predictions (B, O) after one more input, an array that the next step overwrites.

        Parameters
        ----------
        x : (B, I) numbers, or integers (B,) in [0, I) that stand for one-hot rows
            One sequence needs no axis of its own, nor does one input column: what it holds are numbers, integers too.
        """
        return beside(self._given, predictions(self.network.loss, self._outputs(x)))

    def outputs(self, x: Any) -> np.ndarray:
        """What :meth:`step` makes its predictions of, (B, O): of a softmax the exponents, known where p has no digits.

        Parameters
        ----------
        x : as in :meth:`step`
        """
        return beside(self._given, self._outputs(x))

    def _outputs(self, x: Any) -> np.ndarray:
        outputs = self._run.forward(self._parameters, self._input(x), self._states)
        self._states = self._after
        return outputs

    def _input(self, x: Any) -> Input:
        B, I = self.n_sequences, self.network.n_in
        x = as_array("x", all_to_host(x))
        if B == 1 and x.ndim < 2 and (x.ndim == 0 or x.size != 1):
            x = x[None]
        if x.ndim == 1 and I == 1:
            x = x[:, None]
        if x.shape == (B,) and x.dtype.kind in "iu":
            return Input(self._no_rows, 0, class_numbers("x", x, I, "n_in of the first layer"))
        if x.shape == (B, I):
            return Input(finite_numbers("x", x, self.dtype))
        raise ValueError(
            f"x must hold numbers ({B}, {I}), n_in of the first layer wide, or integers ({B},) that stand for one-hot "
            f"rows, got {x.dtype} of shape {x.shape}; give a row for each of {B} sequences."
        )
