"""A look at an objective before the first second-order step: one answer, and symmetric, non-negative products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from optim.long_vectors import dot
from optim.probing import PRODUCT_RTOL, direction
from optim.problem import check_evaluation, check_vector
from optim.result import StopReason


def preflight(
    objective: Any, theta: np.ndarray, batch: np.ndarray | None, structural: float
) -> tuple[StopReason | None, str]:
    """Reason not to start, with what was found, or None and nothing.

    Two losses, two linearisations and three products; differences within the rounding of the dtype are let pass, so
    that devices that sum in no fixed order are not refused. :mod:`optim.checks` looks closer.

    Parameters
    ----------
    objective : Objective
    theta : (P,) array
    batch : integer array or None
    structural : float >= 0
        λμ.

    Returns
    -------
    reason, message
    """
    rtol = PRODUCT_RTOL[theta.itemsize]
    losses = []
    for _ in range(2):
        found = objective.value(theta, batch)
        check_evaluation(found, theta, with_grad=False)
        losses.append(found.loss)
    if math.isfinite(losses[0]) and abs(losses[1] - losses[0]) > rtol * abs(losses[0]):
        return StopReason.NOT_DETERMINISTIC, f"Two calls of value gave {losses[0]!r} and {losses[1]!r}."
    rng = np.random.default_rng(0)
    u, v = direction(theta, rng), direction(theta, rng)
    linear, again = objective.linearize(theta, batch), objective.linearize(theta, batch)
    products = []
    for each, vector in ((linear, u), (linear, v), (again, v)):
        product = each.gauss_newton(vector, structural=structural)
        check_vector("a curvature product", product, theta)
        products.append(product.copy())
    Gu, Gv, Gv_again = products
    if not (np.isfinite(Gu).all() and np.isfinite(Gv).all()):
        return None, ""  # raising the damping deals with it
    size = math.sqrt(dot(v, v) * dot(Gv, Gv))
    if np.max(np.abs(Gv_again - Gv)) > rtol * np.max(np.abs(Gv)):
        return StopReason.NOT_DETERMINISTIC, "Two linearisations at one point gave different products."
    uGv, vGu, vGv = dot(u, Gv), dot(v, Gu), dot(v, Gv)
    if abs(uGv - vGu) > rtol * max(size, math.sqrt(dot(u, u) * dot(Gu, Gu))):
        return StopReason.NOT_SYMMETRIC, f"For random u and v, uᵀGv = {uGv:.9g} and vᵀGu = {vGu:.9g}."
    if vGv < -rtol * size:
        return StopReason.NEGATIVE_CURVATURE, f"For a random v, vᵀGv = {vGv:.6g}."
    return None, ""
