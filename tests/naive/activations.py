"""tanh and the logistic function to far more digits than float64 has, and the distance from them."""

from decimal import Decimal, localcontext

import numpy as np

DIGITS = 60


def tanh(x):
    """Decimal tanh of a float."""
    with localcontext(prec=DIGITS):
        d = Decimal(float(x))
        if abs(d) < Decimal("1e-12"):
            return d - d**3 / 3  # the next term is below 1e-48 of it
        e = (-2 * abs(d)).exp()
        return ((1 - e) / (1 + e)).copy_sign(d)


def logistic(x):
    """Decimal 1 / (1 + exp(-x)) of a float."""
    with localcontext(prec=DIGITS):
        e = (-abs(Decimal(float(x)))).exp()
        return (1 if x >= 0 else e) / (1 + e)


def relu(x):
    return Decimal(float(x)) if x > 0 else Decimal(0)


def identity(x):
    return Decimal(float(x))


def errors_in_ulp(got, exact):
    """Distance of floats from Decimals in units of the last place of the exact value in the floats' precision."""
    with localcontext(prec=DIGITS):
        ulp = np.spacing(np.abs(np.array([float(e) for e in exact]).astype(got.dtype)))
        return np.array(
            [float(abs(Decimal(float(g)) - e) / Decimal(float(u))) for g, e, u in zip(got, exact, ulp, strict=True)]
        )


def wide_tanh(x):
    """tanh in extended precision, for many numbers at once."""
    return np.tanh(x.astype(np.longdouble))


def wide_logistic(x):
    """1 / (1 + exp(-x)) in extended precision, for many numbers at once."""
    e = np.exp(-np.abs(x.astype(np.longdouble)))
    return np.where(x >= 0, np.longdouble(1), e) / (1 + e)


def wide_errors_in_ulp(got, exact):
    """As :func:`errors_in_ulp`, of extended-precision values."""
    ulp = np.spacing(np.abs(exact.astype(got.dtype)))
    return np.abs(got.astype(np.longdouble) - exact) / ulp
