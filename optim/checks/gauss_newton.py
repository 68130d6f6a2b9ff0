"""Whether curvature products are symmetric, without negative eigenvalues, and those of the dense matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optim.arguments import integer
from optim.checks.probing import GRADIENT_RTOL, Check, direction, dot, product_at, product_rtol
from optim.problem import Objective, check_problem


def symmetry(
    objective: Objective,
    theta: np.ndarray,
    batch: np.ndarray | None = None,
    *,
    structural: float = 0.0,
    n_pairs: int = 5,
    rtol: float | None = None,
    rng: np.random.Generator | None = None,
) -> Check:
    """uᵀ G v = vᵀ G u for random u and v, relative to |u| |G v|.

    Parameters
    ----------
    objective : Objective with linearize
    theta : (P,) array
    batch : integer array, optional
    structural : float >= 0
        Coefficient λμ of structural damping.
    n_pairs : int >= 1
    rtol : float >= 0, optional
        1e-10 in float64, 1e-3 in float32.
    rng : numpy.random.Generator, optional

    Returns
    -------
    Check

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> skew = np.array([[1.0, 1.0], [-1.0, 1.0]])
    >>> wrong = from_callables(lambda x: (0.5 * x @ x, x), lambda x, v: skew @ v, n_params=2)
    >>> checks.symmetry(wrong, np.ones(2)).passed
    False
    """
    check_problem(objective, theta, needs_linearize=True)
    integer("n_pairs", n_pairs)
    rng = np.random.default_rng(0) if rng is None else rng
    product = product_at(objective, theta, batch, structural)
    worst, detail = 0.0, ""
    for _ in range(n_pairs):
        u, v = direction(theta, rng), direction(theta, rng)
        Gu, Gv = product(u), product(v)
        one, other = dot(u, Gv), dot(v, Gu)
        size = max(np.sqrt(dot(u, u) * dot(Gv, Gv)), np.sqrt(dot(v, v) * dot(Gu, Gu)))
        error = 0.0 if size == 0.0 else abs(one - other) / size  # exact: NaN must stay NaN
        if not error <= worst:
            worst, detail = error, f"uᵀ G v = {one:.12g}, vᵀ G u = {other:.12g}"
    return Check("symmetry", worst, product_rtol(theta, rtol), detail)


def positivity(
    objective: Objective,
    theta: np.ndarray,
    batch: np.ndarray | None = None,
    *,
    structural: float = 0.0,
    n_directions: int = 10,
    rtol: float | None = None,
    rng: np.random.Generator | None = None,
) -> Check:
    """vᵀ G v >= 0 for random v, relative to |v| |G v|. The gradient is one of the directions.

    Parameters
    ----------
    objective : Objective with linearize
    theta : (P,) array
    batch : integer array, optional
    structural : float >= 0
    n_directions : int >= 1
    rtol : float >= 0, optional
        1e-10 in float64, 1e-3 in float32.
    rng : numpy.random.Generator, optional

    Returns
    -------
    Check

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> saddle = np.diag([1.0, -1.0])
    >>> wrong = from_callables(lambda x: (0.5 * x @ saddle @ x, saddle @ x), lambda x, v: saddle @ v, n_params=2)
    >>> checks.positivity(wrong, np.ones(2)).passed
    False
    """
    check_problem(objective, theta, needs_linearize=True)
    integer("n_directions", n_directions, least=0)
    rng = np.random.default_rng(0) if rng is None else rng
    product = product_at(objective, theta, batch, structural)
    directions = [direction(theta, rng) for _ in range(n_directions)]
    directions.append(objective.value_and_grad(theta, batch).grad.copy())
    worst, detail = 0.0, ""
    for v in directions:
        Gv = product(v)
        size = np.sqrt(dot(v, v) * dot(Gv, Gv))
        error = 0.0 if size == 0.0 else -dot(v, Gv) / size  # exact: NaN must stay NaN
        if not error <= worst:
            worst, detail = error, f"vᵀ G v = {dot(v, Gv):.6g} for |v| |G v| = {size:.6g}"
    return Check("positivity", worst, product_rtol(theta, rtol), detail)


def dense_gauss_newton(
    objective: Objective, theta: np.ndarray, batch: np.ndarray | None = None, *, structural: float = 0.0
) -> np.ndarray:
    """(P, P) matrix of the curvature products, column by column: P products, for tiny problems.

    Parameters
    ----------
    objective : Objective with linearize
    theta : (P,) array
    batch : integer array, optional
    structural : float >= 0

    Returns
    -------
    (P, P) array

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> A = np.diag([1.0, 10.0])
    >>> bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2)
    >>> checks.dense_gauss_newton(bowl, np.ones(2)).tolist()
    [[1.0, 0.0], [0.0, 10.0]]
    """
    check_problem(objective, theta, needs_linearize=True)
    product = product_at(objective, theta, batch, structural)
    return np.stack([product(unit) for unit in np.eye(theta.size, dtype=theta.dtype)], axis=1)


def gauss_newton(
    objective: Objective,
    theta: np.ndarray,
    outputs: Callable[[np.ndarray], np.ndarray],
    curvature: np.ndarray | Callable[[np.ndarray], np.ndarray],
    *,
    batch: np.ndarray | None = None,
    structural: float = 0.0,
    rtol: float = GRADIENT_RTOL,
) -> Check:
    """Products against the dense Σ Jᵀ H J of a tiny problem, with J by central differences of ``outputs``.

    For structural damping, let ``outputs`` append the pre-activations, and ``curvature`` the λμ D that belongs to them.

    Parameters
    ----------
    objective : Objective with linearize
    theta : (P,) float64 array
    outputs : callable
        ``outputs(theta) -> (M,)`` what the loss is a function of, all sequences and steps in one vector.
    curvature : (M,), (M, M) array, or callable of the outputs that returns one
        H, second derivatives of the summed loss by the outputs; one dimension is a diagonal.
    batch : integer array, optional
    structural : float >= 0
    rtol : float > 0
        Bound on the largest error relative to the largest entry.

    Returns
    -------
    Check

    Examples
    --------
    >>> import numpy as np
    >>> from optim import checks, from_callables
    >>> A = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
    >>> G = A.T @ A
    >>> fit = from_callables(lambda x: (0.5 * x @ G @ x, G @ x), lambda x, v: G @ v, n_params=2)
    >>> checks.gauss_newton(fit, np.ones(2), outputs=lambda x: A @ x, curvature=np.ones(3)).passed
    True
    """
    h = np.finfo(np.float64).eps ** (1 / 3)
    columns = []
    for p in range(theta.size):
        there, back = theta.copy(), theta.copy()
        there[p] += h
        back[p] -= h
        columns.append((np.ravel(outputs(there)) - np.ravel(outputs(back))) / (there[p] - back[p]))
    J = np.stack(columns, axis=1)
    H = np.asarray(curvature(outputs(theta)) if callable(curvature) else curvature)
    expected = J.T @ (H[:, None] * J if H.ndim == 1 else H @ J)
    came = dense_gauss_newton(objective, theta, batch, structural=structural)
    difference = np.abs(came - expected)
    row, column = np.unravel_index(int(np.argmax(difference)), difference.shape)
    detail = f"entry ({row}, {column}): product {came[row, column]:.9g}, dense {expected[row, column]:.9g}"
    size = max(float(np.max(np.abs(expected))), np.finfo(np.float64).tiny)
    return Check("gauss-newton", float(np.max(difference)) / size, rtol, detail)
