"""The Hessian-free method as a method of ``scipy.optimize.minimize``, and curvature as a SciPy linear operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse.linalg import LinearOperator

from optim.arguments import brief, integer, number
from optim.arguments import options as among
from optim.curvature import DampedCurvature
from optim.hessian_free import HessianFree
from optim.long_vectors import norm
from optim.loop import Progress, minimize
from optim.problem import Evaluation, Objective
from optim.result import StopReason

# SciPy's own numbers where it has them: 0 done, 1 a limit, 2 precision loss, 3 not finite, 99 StopIteration.
STATUS = {
    StopReason.CONVERGED: 0,
    StopReason.MAX_ITERATIONS: 1,
    StopReason.MAX_SECONDS: 1,
    StopReason.MAX_PRODUCTS: 1,
    StopReason.NO_PROGRESS: 2,
    StopReason.NOT_FINITE: 3,
    StopReason.NEGATIVE_CURVATURE: 4,
    StopReason.NOT_DETERMINISTIC: 5,
    StopReason.NOT_SYMMETRIC: 6,
    StopReason.INTERRUPTED: 7,
    StopReason.CALLBACK: 99,
}
SETTINGS = tuple(field.name for field in fields(HessianFree))


def hessian_free(
    fun: Callable[..., float],
    x0: np.ndarray,
    args: tuple = (),
    *,
    jac: Callable[..., np.ndarray] | None = None,
    hess: Callable[..., Any] | None = None,
    hessp: Callable[..., np.ndarray] | None = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable | None = None,
    tol: float | None = None,
    gtol: float = 1e-5,
    maxiter: int = 1000,
    disp: bool = False,
    **options: Any,
) -> OptimizeResult:
    """Hessian-free optimisation for ``scipy.optimize.minimize(fun, x0, jac=..., hessp=..., method=hessian_free)``.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args) -> float``; with ``jac=True`` in SciPy's call it returns the gradient as well.
    x0 : (n,) array
        float32 stays float32.
    args : tuple
    jac : callable
        ``jac(x, *args) -> (n,)``. Differences of ``fun`` are not taken.
    hess : callable, optional
        ``hess(x, *args) -> (n, n)`` array, sparse matrix or linear operator, or a number where n is 1; evaluated once a
        step.
    hessp : callable, optional
        ``hessp(x, p, *args) -> (n,)``, taken where both are given. Gauss-Newton products, which have no negative
        eigenvalues, serve best; with a Hessian that has, see ``negative_curvature``. With neither, a product is a
        difference of gradients, (jac(x + h p) - jac(x)) / h, with h = 2 √eps (1 + |x|) / |p| for the eps of the dtype
        that ``jac`` returns.
    bounds, constraints
        Refused, unless they bind nothing: the method knows none.
    callback : callable, optional
        ``callback(xk)``, or ``callback(intermediate_result)`` with an OptimizeResult of x and fun, told by the name of
        its parameter. StopIteration ends the run.
    tol : float, optional
        Takes the place of ``gtol``.
    gtol : float >= 0
        Euclidean norm of the gradient at which the run has converged.
    maxiter : int >= 0
    disp : bool
        Show progress.
    **options
        Settings of :class:`optim.HessianFree`. ``negative_curvature`` is "truncate" unless given.

    Returns
    -------
    scipy.optimize.OptimizeResult
        x, fun, jac, success, status, message, nit, nfev, njev, nhev (products with the curvature), and reason, trace,
        damping and reduction_ratio of the last step, cg_iterations in all.

    Raises
    ------
    ValueError, TypeError
        For bounds, constraints, a missing ``jac``, and unknown options.

    References
    ----------
    The step of a difference: Andrei, 2009, scaled to the length of p.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.optimize import minimize, rosen, rosen_der, rosen_hess_prod
    >>> from optim.for_scipy import hessian_free
    >>> found = minimize(rosen, [1.3, 0.7, 0.8], jac=rosen_der, hessp=rosen_hess_prod, method=hessian_free)
    >>> found.success, found.x.round(4)
    (True, array([1., 1., 1.]))
    """
    _refuse(bounds, constraints, jac, hess, hessp, options)
    theta = _start(x0)
    integer("maxiter", maxiter, least=0)
    tolerance = number("gtol", gtol, least=0) if tol is None else number("tol", tol, least=0)
    objective = _ScipyObjective(fun, jac, hess, hessp, args, theta)
    settings = {name: value for name, value in options.items() if name in SETTINGS}
    method = HessianFree(**{"negative_curvature": "truncate", **settings})
    result = minimize(
        objective,
        theta,
        method,
        max_iterations=maxiter,
        tolerance=tolerance,
        callback=None if callback is None else _Callback(callback, objective),
        verbose=int(bool(disp)),
    )
    trace, reason = result.trace, result.reason
    ratios = trace["reduction_ratio"] if "reduction_ratio" in trace else np.empty(0)
    ratios = ratios[~np.isnan(ratios)]  # a look that moves nothing has none
    nit = result.n_iterations - (1 if reason == StopReason.CONVERGED and result.n_iterations else 0)
    return OptimizeResult(
        x=result.theta,
        fun=result.value,
        jac=objective.value_and_grad(result.theta).grad,
        success=reason == StopReason.CONVERGED,
        status=STATUS[reason],
        message=result.message,
        nit=nit,
        nfev=objective.nfev,
        njev=objective.njev,
        nhev=objective.nhev,
        reason=reason,
        trace=trace,
        damping=result.state.damping,
        reduction_ratio=float(ratios[-1]) if ratios.size else float("nan"),
        cg_iterations=int(np.nansum(trace["cg_iterations"])) if "cg_iterations" in trace else 0,
    )


def as_linear_operator(
    objective: Objective,
    theta: np.ndarray,
    batch: np.ndarray | None = None,
    *,
    damping: float = 0.0,
    structural: float = 0.0,
) -> LinearOperator:
    """The damped curvature of the mean loss, (G + λμ S) / weight + λ I, for SciPy's solvers and eigenvalue routines.

    Parameters
    ----------
    objective : Objective with linearize
    theta : (P,) array
    batch : integer array, optional
    damping : float >= 0
        λ.
    structural : float >= 0
        λμ.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator of shape (P, P)

    Examples
    --------
    >>> import numpy as np
    >>> from optim import from_callables
    >>> from optim.for_scipy import as_linear_operator
    >>> A = np.diag([1.0, 10.0])
    >>> bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2)
    >>> as_linear_operator(bowl, np.ones(2), damping=0.5) @ np.ones(2)
    array([ 1.5, 10.5])
    """
    product = DampedCurvature(objective.linearize(theta, batch), damping, structural, np.empty_like(theta))

    def matvec(v: np.ndarray) -> np.ndarray:
        return product(np.ascontiguousarray(v, dtype=theta.dtype).reshape(-1)).copy()

    return LinearOperator((theta.size, theta.size), matvec=matvec, rmatvec=matvec, dtype=theta.dtype)


class _ScipyObjective:
    """SciPy's functions behind the contract; it counts what SciPy counts."""

    weight = 1.0

    def __init__(
        self, fun: Callable, jac: Callable, hess: Callable | None, hessp: Callable | None, args: tuple, x0: np.ndarray
    ) -> None:
        self.fun, self.jac, self.hess, self.hessp, self.args = fun, jac, hess, hessp, args
        self.n_params, self.dtype = x0.size, x0.dtype
        self.nfev = self.njev = self.nhev = 0

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        self.nfev += 1
        return Evaluation(_number(self.fun(theta.copy(), *self.args)), 1.0)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        value = self.value(theta)
        return Evaluation(value.loss_sum, 1.0, self.vector("jac", self.gradient(theta)))

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        """What ``jac`` returns, in its own dtype."""
        self.njev += 1
        return np.asarray(self.jac(theta.copy(), *self.args))

    def vector(self, name: str, found: Any) -> np.ndarray:
        """What function ``name`` returned, as a vector like x."""
        found = np.asarray(found)
        if found.size != self.n_params or found.dtype.kind not in "iuf":
            raise ValueError(f"{name} must return {self.n_params} real numbers, one an entry of x, got {brief(found)}.")
        return found.astype(self.dtype).reshape(-1)

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> _Products:
        if self.hessp is not None:
            return _Products(self, theta.copy())
        return _Differences(self, theta.copy()) if self.hess is None else _Matrix(self, theta.copy())


class _Products:
    """Products by ``hessp``; those who do otherwise are below."""

    weight = 1.0

    def __init__(self, objective: _ScipyObjective, theta: np.ndarray) -> None:
        self.objective, self.theta = objective, theta

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        self.objective.nhev += 1
        return self.product(v)

    def product(self, v: np.ndarray) -> np.ndarray:
        objective = self.objective
        return objective.vector("hessp", objective.hessp(self.theta.copy(), v.copy(), *objective.args))


class _Matrix(_Products):
    def __init__(self, objective: _ScipyObjective, theta: np.ndarray) -> None:
        super().__init__(objective, theta)
        found = objective.hess(theta.copy(), *objective.args)
        self.matrix = found if hasattr(found, "shape") and len(found.shape) == 2 else np.atleast_2d(np.asarray(found))
        if self.matrix.shape != (theta.size, theta.size):
            raise ValueError(
                f"hess must return a matrix of shape {(theta.size, theta.size)}, got {brief(found)}; "
                "give hessp for products with it."
            )

    def product(self, v: np.ndarray) -> np.ndarray:
        return self.objective.vector("hess", self.matrix @ v)


class _Differences(_Products):
    """Products by differences of gradients."""

    def __init__(self, objective: _ScipyObjective, theta: np.ndarray) -> None:
        super().__init__(objective, theta)
        grad = objective.gradient(theta)
        eps = np.finfo(grad.dtype if grad.dtype.kind == "f" else theta.dtype).eps
        self.grad = objective.vector("jac", grad)
        self.step = 2.0 * float(max(eps, np.finfo(theta.dtype).eps)) ** 0.5 * (1.0 + norm(theta))

    def product(self, v: np.ndarray) -> np.ndarray:
        length = norm(v)
        if length == 0.0:  # exact: a step of any length leads nowhere
            return np.zeros_like(v)
        h = self.step / length
        there = self.objective.vector("jac", self.objective.gradient(self.theta + v.dtype.type(h) * v))
        return np.divide(there - self.grad, h, dtype=v.dtype)


class _Callback:
    """SciPy's two forms of a callback as one of ours."""

    def __init__(self, callback: Callable, objective: _ScipyObjective) -> None:
        self.callback, self.objective = callback, objective
        try:
            self.wants_result = set(inspect.signature(callback).parameters) == {"intermediate_result"}
        except (TypeError, ValueError):  # a builtin that does not tell its parameters
            self.wants_result = False

    def __call__(self, progress: Progress) -> bool:
        x = progress.theta.copy()
        if "loss_after" not in progress.row:  # the last look, which moved nothing
            return False
        if self.wants_result:
            self.callback(intermediate_result=OptimizeResult(x=x, fun=progress.row["loss_after"]))
        else:
            self.callback(x)
        return False


def _start(x0: Any) -> np.ndarray:
    """``x0`` as a vector of float32 or float64."""
    found = np.atleast_1d(np.asarray(x0))
    if found.dtype.kind not in "iuf" or found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"x0 must be a vector of finite real numbers, got {brief(x0)}; start from such a one.")
    return found if found.dtype in (np.float32, np.float64) else found.astype(np.float64)


def _refuse(bounds: Any, constraints: Any, jac: Any, hess: Any, hessp: Any, options: dict[str, Any]) -> None:
    """Raise for what the method cannot do."""
    n_constraints = (
        1 if constraints is not None and not isinstance(constraints, (tuple, list)) else len(constraints or ())
    )
    for name, is_given in {"bounds": _binds(bounds), "constraints": n_constraints > 0}.items():
        if is_given:
            raise ValueError(
                f"{name} must not be given to hessian_free, which minimises without any; "
                "use method='trust-constr' or 'L-BFGS-B', or transform the variables."
            )
    if not callable(jac):
        raise ValueError(
            f"jac must be a function, or True where fun returns the gradient as well, got {brief(jac)}; "
            "hessian_free takes no differences of fun."
        )
    for name, function in {"hess": hess, "hessp": hessp}.items():
        if function is not None and not callable(function):
            raise ValueError(
                f"{name} must be a function, got {brief(function)}; leave it out for products from differences of jac."
            )
    # What SciPy may hand over to every method in times to come is let pass while it says nothing.
    given = {name: value for name, value in options.items() if name in SETTINGS or value is not None}
    among("options", given, ("gtol", "maxiter", "disp", *SETTINGS))


def _binds(bounds: Any) -> bool:
    """Whether any of SciPy's bounds, in either of its forms, is finite."""
    if bounds is None:
        return False
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        low, high = bounds.lb, bounds.ub
    else:
        pairs = [tuple(pair) for pair in bounds]
        low = [-np.inf if pair[0] is None else pair[0] for pair in pairs]
        high = [np.inf if pair[1] is None else pair[1] for pair in pairs]
    return not (np.all(np.asarray(low) == -np.inf) and np.all(np.asarray(high) == np.inf))  # exact: infinite bounds


def _number(value: Any) -> float:
    value = np.asarray(value)
    if value.size != 1:
        raise ValueError(
            f"fun must return one number, got shape {value.shape}; with a gradient beside it set jac=True."
        )
    if value.dtype.kind not in "biuf":
        raise ValueError(f"fun must return one real number, got {brief(value.item())}; return a float.")
    return float(value.reshape(()))
