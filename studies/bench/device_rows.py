"""Rows of checks on a GPU: values that must keep within their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

RELATIVE = {"float32": 1e-5, "float64": 1e-12}


def row(quantity: str, value: float = float("nan"), unit: str = "", bound: float = float("nan")) -> dict[str, Any]:
    """One row; a value above its bound is a failure of the check."""
    if value > bound:
        raise ArithmeticError(f"{quantity}: expected at most {bound} {unit}, got {value}")
    return {"quantity": quantity, "value": value, "unit": unit, "bound": bound}


def relative_error(got: Any, expected: np.ndarray) -> float:
    """Largest error relative to the largest value; infinite where anything is NaN."""
    from optim.device import to_host

    difference = float(np.abs(to_host(got) - expected).max() / np.abs(expected).max())
    return difference if np.isfinite(difference) else float("inf")
