"""A look at an objective before the first second-order step: one answer, and symmetric, non-negative products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.checks.probing import PRODUCT_RTOL, direction
from optim.long_vectors import dot, is_finite, norm
from optim.problem import check_evaluation, check_vector
from optim.result import StopReason

# Rounding that shows a product not to be linear may show it less symmetric by so much, in another pair of vectors.
LINEAR_TO_SYMMETRIC = 10.0
HOW_TO_GO_ON = "With check=False a run starts without this look."


@dataclass(frozen=True)
class Seen:
    """What :func:`preflight` found: a reason not to start, or None; what was seen, in words; products taken."""

    reason: StopReason | None = None
    message: str = ""
    n_products: int = 0


def preflight(
    objective: Any, theta: np.ndarray, batch: np.ndarray | None, structural: float, *, may_be_negative: bool = False
) -> Seen:
    """Whether there is a reason not to start.

    Two losses, two linearisations and three products; differences within the rounding of the dtype are let pass, so
    that devices that sum in no fixed order are not refused. What a function resolves may be less than its dtype does,
    where it computes in float32 or takes differences: in a doubt, two more products measure how far it is from being
    linear, and what is not more than that is let pass too. :mod:`optim.checks` looks closer.

    Parameters
    ----------
    objective : Objective
    theta : (P,) array
    batch : integer array or None
    structural : float >= 0
        λμ.
    may_be_negative : bool
        Whether negative curvature is no reason.

    Returns
    -------
    Seen
    """
    losses = []
    for _ in range(2):
        found = objective.value(theta, batch)
        check_evaluation(found, theta, with_grad=False)
        losses.append(found.loss)
    rtol = PRODUCT_RTOL[4 if fit_float32(losses) else theta.itemsize]
    if math.isfinite(losses[0]) and abs(losses[1] - losses[0]) > rtol * abs(losses[0]):
        message = f"Two calls of value gave {losses[0]!r} and {losses[1]!r}. {HOW_TO_GO_ON}"
        return Seen(StopReason.NOT_DETERMINISTIC, message)
    rng = np.random.default_rng(0)
    u, v = direction(theta, rng), direction(theta, rng)
    linear = objective.linearize(theta, batch)

    def product(vector: np.ndarray, at: Any = linear) -> np.ndarray:
        found = at.gauss_newton(vector, structural=structural)
        check_vector("a curvature product", found, theta)
        return found.copy()

    Gu, Gv, Gv_again = product(u), product(v), product(v, objective.linearize(theta, batch))
    if not (is_finite(Gu) and is_finite(Gv)):
        return Seen(n_products=3)  # raising the damping deals with it
    rtol = PRODUCT_RTOL[theta.itemsize]
    reason, message = _judged(u, v, Gu, Gv, Gv_again, rtol, may_be_negative)
    if reason is None:
        return Seen(n_products=3)
    apart = max(norm(product(u + sign * v) - Gu - sign * Gv) for sign in (1, -1)) / (norm(Gu) + norm(Gv))
    if apart <= PRODUCT_RTOL[4]:
        rtol = max(rtol, min(LINEAR_TO_SYMMETRIC * apart, PRODUCT_RTOL[4]))
        reason, message = _judged(u, v, Gu, Gv, Gv_again, rtol, may_be_negative)
    return Seen(reason, f"{message} {HOW_TO_GO_ON}" if reason is not None else "", n_products=5)


def fit_float32(numbers: list[float]) -> bool:
    """Whether float32 holds every one of them, as it does what was computed in float32."""
    with np.errstate(over="ignore"):
        return all(float(np.float32(number)) == number for number in numbers)  # exact: it is that, or it is not


def _judged(
    u: np.ndarray,
    v: np.ndarray,
    Gu: np.ndarray,
    Gv: np.ndarray,
    Gv_again: np.ndarray,
    rtol: float,
    may_be_negative: bool,
) -> tuple[StopReason | None, str]:
    if abs(Gv_again - Gv).max() > rtol * abs(Gv).max():
        return StopReason.NOT_DETERMINISTIC, "Two linearisations at one point gave different products."
    uGv, vGu, vGv = dot(u, Gv), dot(v, Gu), dot(v, Gv)
    size = norm(v) * norm(Gv)
    if abs(uGv - vGu) > rtol * max(size, norm(u) * norm(Gu)):
        return StopReason.NOT_SYMMETRIC, f"For random u and v, uᵀGv = {uGv:.9g} and vᵀGu = {vGu:.9g}."
    if vGv < -rtol * size and not may_be_negative:
        return StopReason.NEGATIVE_CURVATURE, f"For a random v, vᵀGv = {vGv:.6g}."
    return None, ""
