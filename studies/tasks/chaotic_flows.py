"""Twenty chaotic flows of three variables: half to develop on, half to report on once.

Of the autonomous flows that dysts collects, those which textbooks name; chosen before any was forecast. Equations,
parameters, starts on the attractor and dominant periods are those of dysts.

References
----------
Gilpin (2021), Chaos as an interpretable benchmark for forecasting and data-driven modelling, NeurIPS Datasets and
Benchmarks; https://github.com/williamgilpin/dysts, version 0.96.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import sin

import numpy as np

TOLERANCE = 1e-10
TRANSIENT = 10  # periods before the first row


@dataclass(frozen=True)
class Flow:
    """A chaotic system.

    Parameters
    ----------
    slope : callable
        (t, (x, y, z)) -> (dx/dt, dy/dt, dz/dt).
    period : float > 0
        The dominant one, in the unit of t.
    start : (x, y, z)
    """

    slope: Callable[[float, np.ndarray], tuple[float, float, float]]
    period: float
    start: tuple[float, float, float]


def _aizawa(t, v):
    x, y, z = v
    return x * z - 0.7 * x - 3.5 * y, 3.5 * x + y * z - 0.7 * y, _aizawa_height(x, y, z)


def _aizawa_height(x, y, z):
    return 0.6 + 0.95 * z - z**3 / 3 - (x**2 + y**2) * (1 + 0.25 * z) + 0.1 * z * x**3


def _arneodo(t, v):
    x, y, z = v
    return y, z, 5.5 * x - 4.5 * y - z - x**3


def _burke_shaw(t, v):
    x, y, z = v
    return -10 * (x + y), y - 10 * x * z, 10 * x * y + 13


def _chen(t, v):
    x, y, z = v
    return 35 * (y - x), -7 * x - x * z + 28 * y, x * y - 3 * z


def _chua(t, v):
    x, y, z = v
    ramp = -0.71429 * x - 0.2142835 * (abs(x + 1) - abs(x - 1))
    return 15.6 * (y - x - ramp), x - y + z, -28 * y


def _dadras(t, v):
    x, y, z = v
    return y - 3 * x + 2.7 * y * z, 1.7 * y - x * z + z, 2 * x * y - 9 * z


def _genesio_tesi(t, v):
    x, y, z = v
    return y, z, -x - 1.1 * y - 0.44 * z + x**2


def _hadley(t, v):
    x, y, z = v
    return -(y**2) - z**2 - 0.2 * x + 1.8, x * y - 4 * x * z - y + 1, 4 * x * y + x * z - z


def _halvorsen(t, v):
    x, y, z = v
    return (
        -1.4 * x - 4 * y - 4 * z - y**2,
        -1.4 * y - 4 * z - 4 * x - z**2,
        -1.4 * z - 4 * x - 4 * y - x**2,
    )


def _hastings_powell(t, v):
    x, y, z = v
    eaten, hunted = 5 * x * y / (1 + 3 * x), 0.1 * y * z / (1 + 2 * y)
    return x * (1 - x) - eaten, eaten - hunted - 0.4 * y, hunted - 0.01 * z


def _lorenz(t, v):
    x, y, z = v
    return 10 * (y - x), 28 * x - x * z - y, x * y - 2.667 * z


def _lorenz84(t, v):
    x, y, z = v
    return -1.32 * x - y**2 - z**2 + 1.32 * 4.83, -y + x * y - 7.91 * x * z + 4.194, -z + 7.91 * x * y + x * z


def _newton_leipnik(t, v):
    x, y, z = v
    return -0.4 * x + y + 10 * y * z, -x - 0.4 * y + 5 * x * z, 0.175 * z - 5 * x * y


def _rabinovich_fabrikant(t, v):
    x, y, z = v
    return y * (z - 1 + x**2) + 0.87 * x, x * (3 * z + 1 - x**2) + 0.87 * y, -2 * z * (1.1 + x * y)


def _rikitake(t, v):
    x, y, z = v
    return -x + y * z, -y - x + x * z, 1 - x * y


def _rossler(t, v):
    x, y, z = v
    return -y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)


def _rucklidge(t, v):
    x, y, z = v
    return -2 * x + 6.7 * y - y * z, x, -z + y**2


def _shimizu_morioka(t, v):
    x, y, z = v
    return y, x - 0.85 * y - x * z, -0.5 * z + x**2


def _sprott_b(t, v):
    x, y, z = v
    return y * z, x - y, 1 - x * y


def _thomas(t, v):
    x, y, z = v
    return -1.85 * x + 10 * sin(y), -1.85 * y + 10 * sin(z), -1.85 * z + 10 * sin(x)


FLOWS = (
    ("Aizawa", Flow(_aizawa, 2.5837, (-0.78450179, -0.62887672, -0.17620268))),
    ("Arneodo", Flow(_arneodo, 3.1641, (-2.7515698, 0.19079818, 3.4703629))),
    ("BurkeShaw", Flow(_burke_shaw, 0.78333, (-0.79153188, 0.65244479, 0.22517831))),
    ("Chen", Flow(_chen, 0.58689, (3.2689697, 5.2990458, 19.435349))),
    ("Chua", Flow(_chua, 1.4235, (1.1262351, -0.11386474, -0.78324421))),
    ("Dadras", Flow(_dadras, 3.2886, (1.0284085, -3.5348655, -0.72081646))),
    ("GenesioTesi", Flow(_genesio_tesi, 5.9431, (-0.053772565, -0.26162564, 0.33501557))),
    ("Hadley", Flow(_hadley, 1.4541, (1.3664423, 0.9309146, 0.64283417))),
    ("Halvorsen", Flow(_halvorsen, 1.4889, (-8.6807408, -2.4741399, 0.070775762))),
    ("HastingsPowell", Flow(_hastings_powell, 135.19, (0.73207001, 0.17549271, 9.9014657))),
    ("Lorenz", Flow(_lorenz, 1.5008, (-9.7869288, -15.03852, 20.533978))),
    ("Lorenz84", Flow(_lorenz84, 6.2586, (1.926479236, -0.134021102, -1.721467267))),
    ("NewtonLeipnik", Flow(_newton_leipnik, 8.5095, (0.29430753, 0.10649486, 0.29081125))),
    ("RabinovichFabrikant", Flow(_rabinovich_fabrikant, 2.3356, (-1.8207276, 0.83440917, 0.2078248))),
    ("Rikitake", Flow(_rikitake, 5.8975, (-0.779156279, -0.63022446, 2.671200187))),
    ("Rossler", Flow(_rossler, 5.9086, (6.5134412, 0.4772013, 0.34164294))),
    ("Rucklidge", Flow(_rucklidge, 6.0721, (1.9257158, 3.1923835, 5.7829655))),
    ("ShimizuMorioka", Flow(_shimizu_morioka, 12.038, (0.016838697, 0.03489384, 0.35346848))),
    ("SprottB", Flow(_sprott_b, 11.0501, (1.6878282, 1.4848132, -0.53706628))),
    ("Thomas", Flow(_thomas, 4.969, (2.199442, 2.3634225, 3.220197))),
)
NAMES = tuple(name for name, _ in FLOWS)
DEVELOPMENT, REPORTED = NAMES[0::2], NAMES[1::2]  # what may choose defaults, and what chooses nothing


@functools.cache
def trajectory(name: str, n_steps: int, rows_a_period: int) -> np.ndarray:
    """(n_steps, 3) states of one of :data:`NAMES`, after a transient, by DOP853; not to be written to.

    Examples
    --------
    >>> from studies.tasks.chaotic_flows import trajectory
    >>> trajectory("Rossler", 30, 15).shape
    (30, 3)
    """
    from scipy.integrate import solve_ivp

    flow = dict(FLOWS)[name]
    t = (TRANSIENT + np.arange(n_steps) / rows_a_period) * flow.period
    found = solve_ivp(flow.slope, (0.0, t[-1]), flow.start, "DOP853", t, rtol=TOLERANCE, atol=TOLERANCE)
    rows = np.ascontiguousarray(found.y.T)
    rows.flags.writeable = False
    return rows
