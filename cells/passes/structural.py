"""Structural damping: the curvature of a distance between a network's planes before and after a step.

With S(θ) = sum over rows and planes of a distance D between the values at θ and those at θ_n, the Gauss-Newton matrix
of S at θ_n is J_aᵀ diag(D'') J_a, a the planes before their nonlinearity. Its product needs one line: D'' R a is added
to the cotangents of the planes, which are then back-propagated like all others. S and its gradient vanish at θ_n: only
curvature is added.

The curvature D'' by a, for a plane with value s = φ(a):

    distance                     tanh        logistic     relu        identity
    "matching"                   1 - s²      s (1 - s)    1 if s > 0  1        cross-entropy of (1 + s)/2, of s; squares
    "matching_quarter"           (1 - s²)/4  s (1 - s)    1 if s > 0  1        the 2011 release's constant for tanh
    "squared_values"             φ'(a)² everywhere                             squares of the values
    "squared_activations"        1 everywhere                                  squares of a

References
----------
Martens & Sutskever (2011), Learning recurrent neural networks with Hessian-free optimization, section 3. Sutskever
(2013), Training recurrent neural networks (thesis), section 4.2.3, for the matching constant 1 - s².
"""

from __future__ import annotations

from cells.passes.pointwise import give, take
from reservoir.jit import njit
from reservoir.simd.activations import times_slope
from reservoir.simd.vectors import like, pack_size

DISTANCES = {"matching": 0, "matching_quarter": 1, "squared_values": 2, "squared_activations": 3}
_QUARTER, _VALUES, _ACTIVATIONS = 1, 2, 3


@njit(cache=True, nogil=True, error_model="numpy")
def apply_distance(distance, code, values, first, column, factors, rz, rz_column, width):
    """Columns of ``rz``, R a on entry, become ``factors[r]`` D'' R a.

    Parameters
    ----------
    distance : int in :data:`DISTANCES`
    code : entry of ``reservoir.simd.activations.CODES``
    values : (., .), in; the values s of row r stand in row ``first + r`` from ``column`` on
    factors : (R,), in
    rz : (R, Z), in and out, from ``rz_column`` on, ``width`` columns
    """
    P = pack_size(rz)
    for r in range(rz.shape[0]):
        for j in range(0, width, P):
            v = take(rz, r, rz_column, j, width)
            slope = times_slope(like(v, 1.0), code, take(values, first + r, column, j, width))
            if distance == _QUARTER and len(code) == 1:
                slope = slope * like(v, 0.25)
            elif distance == _VALUES:
                slope = slope * slope
            elif distance == _ACTIVATIONS:
                slope = like(v, 1.0)
            give(rz, r, rz_column, j, width, like(v, factors[r]) * slope * v)
