"""The Hessian-free method as a method of ``scipy.optimize.minimize``, and curvature as a SciPy linear operator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.sparse.linalg import LinearOperator

from optim.curvature import DampedCurvature
from optim.hessian_free import HessianFree
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
        ``jac(x, *args) -> (n,)``. Differences are not taken.
    hess : callable, optional
        ``hess(x, *args) -> (n, n)`` array, sparse matrix or linear operator; evaluated once a step.
    hessp : callable, optional
        ``hessp(x, p, *args) -> (n,)``; one of ``hess`` and ``hessp`` must be given. Gauss-Newton products, which have
        no negative eigenvalues, serve best; with a Hessian that has, see ``negative_curvature``.
    bounds, constraints
        Refused: the method knows none.
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
        For bounds, constraints, a missing ``jac`` or ``hessp``, and unknown options.

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
    x0 = np.asarray(x0)
    theta = x0.astype(np.float64) if x0.dtype not in (np.float32, np.float64) else x0
    objective = _ScipyObjective(fun, jac, hess, hessp, args, theta)
    settings = {name: value for name, value in options.items() if name in SETTINGS}
    method = HessianFree(**{"negative_curvature": "truncate", **settings})
    result = minimize(
        objective,
        theta,
        method,
        max_iterations=maxiter,
        tolerance=gtol if tol is None else tol,
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
        self.njev += 1
        grad = np.asarray(self.jac(theta.copy(), *self.args), dtype=self.dtype).reshape(-1)
        return Evaluation(value.loss_sum, 1.0, grad)

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> _ScipyProducts:
        return _ScipyProducts(self, theta.copy())


class _ScipyProducts:
    weight = 1.0

    def __init__(self, objective: _ScipyObjective, theta: np.ndarray) -> None:
        self.objective, self.theta = objective, theta
        self.matrix = None if objective.hess is None else objective.hess(theta.copy(), *objective.args)

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        objective = self.objective
        objective.nhev += 1
        if self.matrix is not None:
            product = self.matrix @ v
        else:
            product = objective.hessp(self.theta, v.copy(), *objective.args)
        return np.asarray(product, dtype=objective.dtype).reshape(-1)


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


def _refuse(bounds: Any, constraints: Any, jac: Any, hess: Any, hessp: Any, options: dict[str, Any]) -> None:
    """Raise for what the method cannot do."""
    n_constraints = (
        1 if constraints is not None and not isinstance(constraints, (tuple, list)) else len(constraints or ())
    )
    for name, is_given in {"bounds": bounds is not None, "constraints": n_constraints > 0}.items():
        if is_given:
            raise ValueError(
                f"{name} must not be given to hessian_free, which minimises without any; "
                "use method='trust-constr' or 'L-BFGS-B', or transform the variables."
            )
    if not callable(jac):
        raise ValueError(
            f"jac must be a function, or True where fun returns the gradient as well, got {jac!r}; "
            "hessian_free takes no differences."
        )
    if not (callable(hessp) or callable(hess)):
        raise ValueError(
            f"hessp or hess must be a function, got {hessp!r} and {hess!r}; give products with a Gauss-Newton matrix "
            "or the Hessian. A value and its gradient alone do not have them."
        )
    # What SciPy may hand over to every method in times to come is let pass while it says nothing.
    unknown = [name for name, value in options.items() if name not in SETTINGS and value is not None]
    if unknown:
        raise ValueError(
            f"options must be among gtol, maxiter, disp and {', '.join(SETTINGS)}, got {', '.join(unknown)}; "
            "see optim.HessianFree."
        )


def _number(value: Any) -> float:
    value = np.asarray(value)
    if value.size != 1:
        raise ValueError(
            f"fun must return one number, got shape {value.shape}; with a gradient beside it set jac=True."
        )
    return float(value.reshape(()))
