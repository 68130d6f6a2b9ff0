"""What an optimiser needs to know about a problem: a loss, its gradient, and products with its curvature.

Everything is a sum over the sequences of a batch together with the weight of that sum; the loss that is
minimised is the mean::

    f(θ) = loss_sum(θ) / weight          ∇f = grad / weight          G = Σ Jᵀ H_ℓ J / weight

Sums make chunks, masks and shards exact: they are added, and divided once. ``weight`` is the number of
unmasked target rows of the batch, or any other positive measure of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from optim.arguments import brief, integer, number
from optim.device import is_array, namespace, to_host


@dataclass(frozen=True)
class Evaluation:
    """Loss of a batch as a sum, the weight of that sum, and the gradient of the sum if it was asked for.

    Parameters
    ----------
    loss_sum : float
    weight : float > 0
    grad : (P,) array or None
        Gradient of ``loss_sum``, not of the mean.

    Examples
    --------
    >>> from optim import Evaluation
    >>> Evaluation(loss_sum=6.0, weight=4.0).loss
    1.5
    """

    loss_sum: float
    weight: float
    grad: np.ndarray | None = None

    @property
    def loss(self) -> float:
        """Mean loss, ``loss_sum / weight``."""
        return float(self.loss_sum) / float(self.weight)


@runtime_checkable
class Linearization(Protocol):
    """A model linearised at one point, with the forward states kept: products cost no further forward pass.

    It may also have ``squared_gradients()``: (P,) sum over the sequences of the batch of their squared
    gradients, which a preconditioner is made from. And it may have ``preconditioner(damping)``, which returns a
    function ``(r, out)`` that writes M⁻¹ r to ``out``: M symmetric, positive definite, and near the mean curvature plus
    ``damping`` times the identity.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Linearization, from_callables
    >>> bowl = from_callables(lambda x: (0.5 * x @ x, x), lambda x, v: v, n_params=2)
    >>> isinstance(bowl.linearize(np.ones(2)), Linearization)
    True
    """

    weight: float

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Σ Jᵀ H_ℓ J v, plus ``structural`` = λμ times the curvature of the hidden-state distance."""
        ...


@runtime_checkable
class Objective(Protocol):
    """A sum of losses over sequences as a function of one flat vector of parameters.

    ``theta``, ``v`` and ``grad`` are 1-D, float32 or float64 of one dtype; ``batch`` is None for all
    sequences, or an integer array of their indices. An objective may also say how many sequences it has in
    ``n_sequences``, and leave out ``linearize`` where only first-order methods are used. What a method
    returns stays as it is until the same method is called again; a linearisation, while ``theta`` does.

    It may also have ``digests()``, a dict of short texts that tell its data and its settings from others', such as
    ``{"inputs": optim.digests.digest_of(X)}``: a checkpoint keeps them, and where one differs it is refused by that
    name. Without it, the loss at the best parameters kept must be what it was, where steps take all sequences; with
    mini-batches other data of the same size are not noticed.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Evaluation, SGD, minimize
    >>> class Bowl:
    ...     n_params = 2
    ...     def value(self, theta, batch=None):
    ...         return Evaluation(0.5 * float(theta @ theta), 1.0)
    ...     def value_and_grad(self, theta, batch=None):
    ...         return Evaluation(0.5 * float(theta @ theta), 1.0, theta.copy())
    >>> minimize(Bowl(), np.ones(2), SGD(1.0), max_iterations=1).value
    0.0
    """

    n_params: int

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch."""
        ...

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch."""
        ...

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearization:
        """The batch's model linearised at ``theta``; the forward pass runs once, here."""
        ...


@dataclass(frozen=True)
class Batches:
    """Sequences for the roles they play in one step; None is all of them.

    Parameters
    ----------
    gradient : (n,) integer array or None
        Where the gradient is taken; the larger, the better the direction. First-order methods use no other.
    curvature : (m,) integer array or None
        Where Gauss-Newton products are taken. A subset of ``gradient`` is the custom of the literature.
    acceptance : (k,) integer array or None
        Where losses decide on backtracking, reduction ratio and step length.
    debias : (l,) integer array or None
        Here None means that there is none. Sequences apart from ``curvature`` on which the curvature along
        the directions of CG is measured again (Tatzel et al. 2025).

    Examples
    --------
    >>> import numpy as np
    >>> from optim import Batches
    >>> Batches(curvature=np.arange(10)).gradient is None
    True
    """

    gradient: np.ndarray | None = None
    curvature: np.ndarray | None = None
    acceptance: np.ndarray | None = None
    debias: np.ndarray | None = None


def from_callables(
    value_and_grad: Callable[..., Any],
    gauss_newton: Callable[..., np.ndarray] | None = None,
    *,
    n_params: int,
    value: Callable[..., float] | None = None,
    squared_gradients: Callable[..., np.ndarray] | None = None,
    weight: float = 1.0,
    n_sequences: int | None = None,
) -> Objective:
    """An objective made of plain functions.

    Parameters
    ----------
    value_and_grad : callable
        ``value_and_grad(theta) -> (loss, grad)``; with ``n_sequences``, ``value_and_grad(theta, batch)``.
        It may also return an :class:`Evaluation`, then ``weight`` is not used.
    gauss_newton : callable, optional
        ``gauss_newton(theta, v) -> G v`` on the same scale as ``grad``; any symmetric matrix without negative
        eigenvalues. With ``n_sequences``, ``gauss_newton(theta, v, batch)``. First-order methods do without.
    n_params : int >= 1
    value : callable, optional
        ``value(theta) -> loss`` where that is cheaper than loss and gradient; arguments as above.
    squared_gradients : callable, optional
        ``squared_gradients(theta) -> (P,)`` sum of squared gradients over samples; arguments as above.
    weight : float > 0
        Number of terms in the sum that the functions return; 1 if they return a mean.
    n_sequences : int, optional
        Number of sequences that a batch may be drawn from. Given, every function takes ``batch`` last and
        ``value_and_grad`` must return an :class:`Evaluation` with the weight of the batch.

    Returns
    -------
    Objective

    Examples
    --------
    >>> import numpy as np
    >>> from optim import from_callables
    >>> A = np.diag([1.0, 10.0])
    >>> bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2)
    >>> bowl.value(np.ones(2)).loss
    5.5
    """
    number("weight", weight, above=0)
    integer("n_params", n_params, remedy="give the length of theta")
    if n_sequences is not None:
        integer("n_sequences", n_sequences, remedy="give a number of sequences, or None")
    functions = {
        "value_and_grad": value_and_grad,
        "gauss_newton": gauss_newton,
        "value": value,
        "squared_gradients": squared_gradients,
    }
    for name, function in functions.items():
        if not callable(function) and (function is not None or name == "value_and_grad"):
            raise TypeError(f"{name} must be a function of theta, got {brief(function)}; pass the function itself.")
    kind = _FirstOrderCallables if gauss_newton is None else _Callables
    return kind(value_and_grad, gauss_newton, value, squared_gradients, int(n_params), float(weight), n_sequences)


@dataclass(frozen=True)
class _FirstOrderCallables:
    _value_and_grad: Callable[..., Any]
    _gauss_newton: Callable[..., np.ndarray] | None
    _value: Callable[..., float] | None
    _squared_gradients: Callable[..., np.ndarray] | None
    n_params: int
    weight: float
    n_sequences: int | None

    def arguments(self, batch: np.ndarray | None) -> tuple:
        if self.n_sequences is not None:
            return (np.arange(self.n_sequences) if batch is None else batch,)
        if batch is not None:
            raise ValueError(
                "batch must be None for an objective made by from_callables without n_sequences, got an array; "
                "give n_sequences, and functions that take the batch last."
            )
        return ()

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        if self._value is None:
            return self.value_and_grad(theta, batch)
        return self.evaluation(self._value(theta, *self.arguments(batch)), None)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        found = self._value_and_grad(theta, *self.arguments(batch))
        return found if isinstance(found, Evaluation) else self.evaluation(*found)

    def evaluation(self, loss: Any, grad: np.ndarray | None) -> Evaluation:
        if isinstance(loss, Evaluation):
            return loss
        if self.n_sequences is not None:
            raise TypeError(
                "functions of a batch must return an Evaluation, which tells the weight of the batch, got "
                f"{type(loss).__name__}; return Evaluation(loss_sum, weight, grad)."
            )
        return Evaluation(float(loss), self.weight, grad)


class _Callables(_FirstOrderCallables):
    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearization:
        weight = self.weight if self.n_sequences is None else self.value(theta, batch).weight
        kind = _Products if self._squared_gradients is None else _ProductsAndSquares
        return kind(self, theta.copy(), batch, weight)


@dataclass(frozen=True)
class _Products:
    _functions: _Callables
    _theta: np.ndarray
    _batch: np.ndarray | None
    weight: float

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        if structural != 0.0:  # exact: zero is how structural damping is switched off
            raise NotImplementedError(
                f"structural must be 0 for an objective made by from_callables, got {structural!r}; set "
                "structural=0 in HessianFree, or give an objective whose linearisation knows its hidden states."
            )
        return self._functions._gauss_newton(self._theta, v, *self._functions.arguments(self._batch))


class _ProductsAndSquares(_Products):
    def squared_gradients(self) -> np.ndarray:
        return self._functions._squared_gradients(self._theta, *self._functions.arguments(self._batch))


def check_problem(objective: Any, theta: Any, *, needs_linearize: bool = False, name: str = "theta") -> None:
    """Raise unless ``theta`` is a finite float vector of the size that ``objective``, complete, asks for.

    ``name`` is what the user calls it.

    Raises
    ------
    TypeError, ValueError
        Naming what is missing, or what does not fit.
    """
    names = ["n_params", "value", "value_and_grad", *(["linearize"] if needs_linearize else [])]
    missing = [wanted for wanted in names if not hasattr(objective, wanted)]
    if missing:
        raise TypeError(
            f"objective must have {', '.join(names)}, got a {type(objective).__name__} without {', '.join(missing)}; "
            "write these methods, or make one with optim.from_callables"
            + (" and its argument gauss_newton (first-order methods do without)." if "linearize" in missing else ".")
        )
    if not is_array(theta) or theta.dtype not in (np.float32, np.float64):
        came = f"dtype {theta.dtype}" if is_array(theta) else brief(theta)
        raise TypeError(
            f"{name} must be a NumPy or CuPy array of float32 or float64, got {came}; use numpy.asarray({name}, float)."
        )
    if theta.shape != (objective.n_params,):
        raise ValueError(
            f"{name} must have shape ({objective.n_params},), the objective's n_params, got {theta.shape}; "
            "flatten the parameters into one vector."
        )
    if not np.isfinite(to_host(theta)).all():
        bad = int(np.flatnonzero(~np.isfinite(to_host(theta)))[0])
        raise ValueError(f"{name} must be finite, got {theta[bad]} at position {bad}; start from finite parameters.")


def check_evaluation(evaluation: Any, theta: np.ndarray, *, with_grad: bool) -> None:
    """Raise unless an objective's answer has a positive weight and, if asked for, a gradient that fits ``theta``."""
    if not isinstance(evaluation, Evaluation):
        raise TypeError(
            f"an objective must return an Evaluation, got {type(evaluation).__name__}; "
            "return optim.Evaluation(loss_sum, weight, grad)."
        )
    if not (np.isfinite(evaluation.weight) and evaluation.weight > 0):
        raise ValueError(
            f"the weight of a batch must be a finite number > 0, got {evaluation.weight!r}; "
            "leave out batches in which every target is masked."
        )
    if with_grad:
        check_vector("the gradient", evaluation.grad, theta)


def check_vector(name: str, vector: Any, theta: np.ndarray) -> None:
    """Raise unless ``vector`` has the shape and the dtype of ``theta``, and lives where it does."""
    if is_array(vector):
        namespace(vector, theta)
    if not is_array(vector) or vector.shape != theta.shape or vector.dtype != theta.dtype:
        came = f"{vector.dtype} of shape {vector.shape}" if is_array(vector) else type(vector).__name__
        raise ValueError(
            f"{name} must be {theta.dtype} of shape {theta.shape}, as theta is, got {came}; "
            "compute it in theta's dtype, one entry a parameter."
        )


def agreed(objective: Any, number: float) -> float:
    """``number`` as the objective's processes agree on it: those of :mod:`optim.distributed` take that of rank 0."""
    return objective.agree(number) if hasattr(objective, "agree") else number
