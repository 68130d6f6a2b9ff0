"""Whether an objective is what it says: gradient, curvature products, and the same answer twice.

Every check returns a :class:`Check` and raises nothing; :func:`check` runs those that apply and raises on the
first that fails. Use float64, a few dozen parameters and a few short sequences: rounding of central differences is
judged for that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optim.arguments import number
from optim.checks.gauss_newton import dense_gauss_newton, gauss_newton, positivity, symmetry
from optim.checks.probing import GRADIENT_RTOL, Check, direction, dot, product_at, product_rtol
from optim.problem import Objective, check_evaluation, check_problem

__all__ = [
    "Check",
    "CheckError",
    "adjoint_identity",
    "check",
    "dense_gauss_newton",
    "determinism",
    "gauss_newton",
    "gradient",
    "positivity",
    "symmetry",
]


class CheckError(AssertionError):
    """An objective failed one of the checks of this module."""


def gradient(
    objective: Objective,
    theta: np.ndarray,
    batch: np.ndarray | None = None,
    *,
    step: float | None = None,
    rtol: float = GRADIENT_RTOL,
) -> Check:
    """Gradient against central differences, entry by entry: (L(θ + h e) - L(θ - h e)) / 2h.

    Parameters
    ----------
    objective : Objective
    theta : (P,) float64 array
    batch : integer array, optional
    step : float > 0, optional
        h; the cube root of eps times max(1, |θ|) if not given.
    rtol : float > 0
        Bound on the largest error relative to the largest entry of the gradient.

    Returns
    -------
    Check

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> wrong = from_callables(lambda x: (0.5 * x @ x, 2.0 * x), n_params=2)
    >>> checks.gradient(wrong, np.ones(2)).passed
    False
    """
    check_problem(objective, theta)
    given = None if step is None else number("step", step, above=0)
    found = objective.value_and_grad(theta, batch)
    check_evaluation(found, theta, with_grad=True)
    grad = found.grad.astype(np.float64)
    differences = np.empty_like(grad)
    for p in range(theta.size):
        h = given or np.finfo(theta.dtype).eps ** (1 / 3) * max(1.0, abs(float(theta[p])))
        there, back = theta.copy(), theta.copy()
        there[p] += h
        back[p] -= h
        rise = objective.value(there, batch).loss_sum - objective.value(back, batch).loss_sum
        differences[p] = rise / (float(there[p]) - float(back[p]))
    worst = int(np.argmax(np.abs(grad - differences)))
    size = max(float(np.max(np.abs(differences))), np.finfo(np.float64).tiny)
    detail = f"entry {worst}: gradient {grad[worst]:.9g}, differences {differences[worst]:.9g}"
    return Check("gradient", float(np.max(np.abs(grad - differences))) / size, rtol, detail)


def determinism(
    objective: Objective,
    theta: np.ndarray,
    batch: np.ndarray | None = None,
    *,
    structural: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Check:
    """Whether loss, gradient and curvature product are, bit for bit, the same twice.

    Parameters
    ----------
    objective : Objective
    theta : (P,) array
    batch : integer array, optional
    structural : float >= 0
    rng : numpy.random.Generator, optional
        For the vector of the product.

    Returns
    -------
    Check
        The error is 0, or 1.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> rng = np.random.default_rng(0)
    >>> noisy = from_callables(lambda x: (x @ x + rng.normal(), 2.0 * x), n_params=2)
    >>> checks.determinism(noisy, np.ones(2)).detail
    'two calls of value_and_grad gave other losses'
    """
    check_problem(objective, theta)
    evaluations = []
    for _ in range(2):
        found = objective.value_and_grad(theta, batch)
        check_evaluation(found, theta, with_grad=True)
        evaluations.append((found.loss_sum, found.grad.copy()))
    (loss, grad), (again, grad_again) = evaluations
    if not np.array_equal(loss, again, equal_nan=True):
        return Check("determinism", 1.0, 0.0, "two calls of value_and_grad gave other losses")
    if not np.array_equal(grad, grad_again, equal_nan=True):
        return Check("determinism", 1.0, 0.0, "two calls of value_and_grad gave other gradients")
    if hasattr(objective, "linearize"):
        v = direction(theta, np.random.default_rng(0) if rng is None else rng)
        products = [product_at(objective, theta, batch, structural)(v) for _ in range(2)]
        if not np.array_equal(*products, equal_nan=True):
            return Check("determinism", 1.0, 0.0, "two linearisations at one point gave other products")
    return Check("determinism", 0.0, 0.0)


def adjoint_identity(
    forward: Callable[[np.ndarray], np.ndarray],
    backward: Callable[[np.ndarray], np.ndarray],
    v: np.ndarray,
    u: np.ndarray,
    *,
    rtol: float | None = None,
) -> Check:
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩ for a directional derivative and the backward pass that belongs to it.

    Parameters
    ----------
    forward : callable
        ``forward(v) -> J v``, of the shape of ``u``.
    backward : callable
        ``backward(u) -> Jᵀ u``, of the shape of ``v``.
    v, u : arrays of any shape
    rtol : float > 0, optional
        Relative to |u| |J v|; 1e-10 in float64, 1e-3 in float32.

    Returns
    -------
    Check

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks
    >>> J = np.arange(6.0).reshape(2, 3)
    >>> checks.adjoint_identity(lambda v: J @ v, lambda u: J.T @ u, np.ones(3), np.ones(2)).passed
    True
    """
    Jv, Ju = np.asarray(forward(v)), np.asarray(backward(u))
    one, other = dot(u, Jv), dot(Ju, v)
    size = max(np.sqrt(dot(u, u) * dot(Jv, Jv)), np.sqrt(dot(v, v) * dot(Ju, Ju)))
    error = 0.0 if size == 0.0 else abs(one - other) / size  # exact: NaN must stay NaN
    detail = f"uᵀ J v = {one:.12g}, vᵀ Jᵀ u = {other:.12g}"
    return Check("adjoint identity", error, product_rtol(np.asarray(v), rtol), detail)


def check(
    objective: Objective, theta: np.ndarray, batch: np.ndarray | None = None, *, structural: float = 0.0
) -> list[Check]:
    """Gradient, determinism and, where there are products, symmetry and positivity; raises on the first failure.

    Parameters
    ----------
    objective : Objective
    theta : (P,) float64 array
    batch : integer array, optional
    structural : float >= 0
        Coefficient λμ with which the products are checked again, where it is not 0.

    Returns
    -------
    list of Check

    Raises
    ------
    CheckError
        Naming the check, what was found, and where.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> bowl = from_callables(lambda x: (0.5 * x @ x, x), lambda x, v: v, n_params=2)
    >>> [done.name for done in checks.check(bowl, np.ones(2))]
    ['determinism', 'gradient', 'symmetry', 'positivity']
    """
    waiting: list[Callable[[], Check]] = [
        lambda: determinism(objective, theta, batch, structural=structural),
        lambda: gradient(objective, theta, batch),
    ]
    if hasattr(objective, "linearize"):
        for coefficient in dict.fromkeys([0.0, structural]):
            waiting.append(lambda c=coefficient: symmetry(objective, theta, batch, structural=c))
            waiting.append(lambda c=coefficient: positivity(objective, theta, batch, structural=c))
    done = []
    for run in waiting:
        done.append(run())
        if not done[-1].passed:
            raise CheckError(
                f"{done[-1].name} must be right to {done[-1].tolerance:g}, got an error of {done[-1].error:.3g} "
                f"({done[-1].detail}); correct the objective, or check it in float64 if it is in float32."
            )
    return done
