"""Whether a gradient and curvature products are right: held against differences, each other, a dense matrix."""

from optim.checks.gauss_newton import dense_gauss_newton, gauss_newton, positivity, symmetry
from optim.checks.gradients import CheckError, adjoint_identity, check, determinism, gradient
from optim.checks.probing import Check

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
