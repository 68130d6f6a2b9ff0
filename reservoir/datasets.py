"""Systems on which echo state networks are taught and compared, as series of any length.

Every function gives a float64 array with a row for each step and a column for each variable, from a start that
``random_state`` draws and that ``n_discard`` rows have forgotten. Flows are integrated by the classical Runge-Kutta
rule of fourth order, ``n_substeps`` steps a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.arguments import choice, generator, integer, number
from reservoir.jit import njit
from reservoir.memory import check_memory

LORENZ_LYAPUNOV_EXPONENT = 0.9056  # largest exponent at (10, 28, 8/3); Sprott 2003, Chaos and Time-Series Analysis
LORENZ_LYAPUNOV_TIME = 1.0 / LORENZ_LYAPUNOV_EXPONENT
HENON_LYAPUNOV_EXPONENT = 0.41922  # of the map at (1.4, 0.3), a step; Sprott 2003
MACKEY_GLASS_METHODS = ("rk4", "euler")

__all__ = [
    "HENON_LYAPUNOV_EXPONENT",
    "LORENZ_LYAPUNOV_EXPONENT",
    "LORENZ_LYAPUNOV_TIME",
    "henon",
    "lorenz63",
    "lorenz96",
    "mackey_glass",
    "narma10",
]


@njit(cache=True)
def _narma10(u, y):
    """Fill y[10:] in place. u, y : (T,) float64; y[:10] is the start and must be set."""
    for t in range(9, u.size - 1):
        recent = 0.0
        for k in range(10):
            recent += y[t - k]
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * recent + 1.5 * u[t - 9] * u[t] + 0.1


def narma10(n_steps: int, *, n_discard: int = 200, random_state: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Draw an input series and the response of the tenth-order NARMA system to it.

        y(t+1) = 0.3 y(t) + 0.05 y(t) sum_{i=0..9} y(t-i) + 1.5 u(t-9) u(t) + 0.1,     u ~ uniform(0, 0.5)

    The pair handed out is (u(t), y(t+1)): the response at a row already contains that row's input. A few
    inputs in a thousand million drive the system away to infinity; such a draw is thrown away and drawn
    again.

    Parameters
    ----------
    n_steps : int >= 1
    n_discard : int >= 10
        Steps thrown away so that the zero start is forgotten.
    random_state : int, Generator or None
        Draws the input.

    Returns
    -------
    u, y : (n_steps, 1)

    References
    ----------
    Atiya and Parlos 2000, "New results on recurrent network training", IEEE TNN 11, eq. 86.

    Examples
    --------
    >>> from reservoir.datasets import narma10
    >>> u, y = narma10(1000, random_state=0)
    >>> u.shape, y.shape, bool(y.max() < 1.5)
    ((1000, 1), (1000, 1), True)
    """
    n_steps, n_discard = _lengths(n_steps, n_discard, least_discard=10)
    rng = generator(random_state)
    _check_room(2 * (n_discard + n_steps))
    while True:
        u = rng.uniform(0.0, 0.5, n_discard + n_steps)
        y = np.zeros(n_discard + n_steps + 1)
        _narma10(np.append(u, 0.0), y)
        if np.abs(y).max() < 2.0:
            return u[n_discard:, None], y[n_discard + 1 :, None]


@njit(cache=True)
def _mackey_glass_slope(x, delayed):
    """dx/dt. x, delayed : scalars."""
    return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * x


@njit(cache=True)
def _mackey_glass_rk4(x, slope, n_lag, h):
    """Method of steps. x, slope : (n,) float64, both written; x[:n_lag + 1] is the history, a constant.

    The delayed value at half a step is the cubic through the two neighbouring values and their slopes. The
    slope jumps where the history ends, so the last interval of the history does not look at it.
    """
    slope[n_lag] = _mackey_glass_slope(x[n_lag], x[0])
    for i in range(n_lag, x.size - 1):
        j = i - n_lag
        early, late = x[j], x[j + 1]
        middle = early if j < n_lag else 0.5 * (early + late) + 0.125 * h * (slope[j] - slope[j + 1])
        k1 = _mackey_glass_slope(x[i], early)
        k2 = _mackey_glass_slope(x[i] + 0.5 * h * k1, middle)
        k3 = _mackey_glass_slope(x[i] + 0.5 * h * k2, middle)
        k4 = _mackey_glass_slope(x[i] + h * k3, late)
        x[i + 1] = x[i] + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        slope[i + 1] = _mackey_glass_slope(x[i + 1], late)


@njit(cache=True)
def _mackey_glass_euler(x, n_lag, h):
    """Forward Euler. x : (n,) float64; x[:n_lag + 1] is the history."""
    for i in range(n_lag, x.size - 1):
        x[i + 1] = x[i] + h * _mackey_glass_slope(x[i], x[i - n_lag])


def mackey_glass(
    n_steps: int,
    *,
    tau: float = 17.0,
    method: str = "rk4",
    n_substeps: int = 10,
    n_discard: int = 1000,
    random_state: Any = None,
) -> np.ndarray:
    """Integrate the Mackey-Glass delay equation and sample it once per unit of time.

        dx/dt = 0.2 x(t-tau) / (1 + x(t-tau)^10) - 0.1 x(t)

    "rk4" is the classical fourth-order rule by the method of steps: the delayed value halfway through a step
    comes from the cubic Hermite interpolant, which keeps the order. "euler" is the forward rule at step
    1/n_substeps used by Jaeger 2001 (0.1), in whose discrete system the older benchmark figures were
    measured. Both start from a constant history drawn from uniform(1.1, 1.3).

    Parameters
    ----------
    n_steps : int >= 1
    tau : float > 0
        A multiple of 1/n_substeps; 17 is mildly and 30 strongly chaotic.
    method : "rk4" or "euler"
    n_substeps : int >= 1
        Integration steps per unit of time.
    n_discard : int >= 0
        Units of time thrown away.
    random_state : int, Generator or None
        Draws the history.

    Returns
    -------
    x : (n_steps, 1)

    References
    ----------
    Mackey and Glass 1977, Science 197. Jaeger 2001, GMD report 148, section 6.

    Examples
    --------
    >>> from reservoir.datasets import mackey_glass
    >>> x = mackey_glass(500, random_state=0)
    >>> x.shape, bool(0.2 < x.min() and x.max() < 1.5)
    ((500, 1), True)
    """
    n_steps, n_discard = _lengths(n_steps, n_discard)
    choice("method", method, MACKEY_GLASS_METHODS)
    n_substeps = integer("n_substeps", n_substeps)
    tau = number("tau", tau, above=0, remedy="17 is the usual delay")
    n_lag = round(tau * n_substeps)
    if n_lag < 1 or abs(n_lag - tau * n_substeps) > 1e-9:
        raise ValueError(
            f"tau must be a positive multiple of 1/n_substeps = {1 / n_substeps:g}, got {tau!r}; change n_substeps."
        )
    n_total = (n_discard + n_steps) * n_substeps
    _check_room(2 * (n_lag + n_total))
    x = np.empty(n_lag + n_total)
    x[: n_lag + 1] = 1.2 + generator(random_state).uniform(-0.1, 0.1)
    if method == "rk4":
        _mackey_glass_rk4(x, np.empty_like(x), n_lag, 1.0 / n_substeps)
    else:
        _mackey_glass_euler(x, n_lag, 1.0 / n_substeps)
    return np.ascontiguousarray(x[n_lag:][::n_substeps][n_discard:, None])


@njit(cache=True)
def _lorenz63(out, state, h, n_substeps, sigma, rho, beta):
    """Classical RK4. out : (T, 3) float64 written; state : (3,) float64 in and out."""
    x, y, z = state
    for t in range(out.shape[0]):
        out[t, 0], out[t, 1], out[t, 2] = x, y, z
        for _ in range(n_substeps):
            ax, ay, az = sigma * (y - x), x * (rho - z) - y, x * y - beta * z
            px, py, pz = x + 0.5 * h * ax, y + 0.5 * h * ay, z + 0.5 * h * az
            bx, by, bz = sigma * (py - px), px * (rho - pz) - py, px * py - beta * pz
            px, py, pz = x + 0.5 * h * bx, y + 0.5 * h * by, z + 0.5 * h * bz
            cx, cy, cz = sigma * (py - px), px * (rho - pz) - py, px * py - beta * pz
            px, py, pz = x + h * cx, y + h * cy, z + h * cz
            dx, dy, dz = sigma * (py - px), px * (rho - pz) - py, px * py - beta * pz
            x += h / 6.0 * (ax + 2.0 * (bx + cx) + dx)
            y += h / 6.0 * (ay + 2.0 * (by + cy) + dy)
            z += h / 6.0 * (az + 2.0 * (bz + cz) + dz)
    state[0], state[1], state[2] = x, y, z


def lorenz63(
    n_steps: int,
    *,
    dt: float = 0.02,
    n_substeps: int = 10,
    n_discard: int = 1000,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8.0 / 3.0,
    random_state: Any = None,
) -> np.ndarray:
    """Integrate the Lorenz system and sample it every ``dt``.

        dx/dt = sigma (y - x),   dy/dt = x (rho - z) - y,   dz/dt = x y - beta z

    Fourth-order Runge-Kutta with step dt/n_substeps from a random start near the attractor. One Lyapunov time at the
    standard parameters is ``LORENZ_LYAPUNOV_TIME`` = 1/0.9056 units of time.

    Parameters
    ----------
    n_steps, n_substeps : int >= 1
    dt : float > 0
        Time between two rows.
    n_discard : int >= 0
        Rows thrown away.
    sigma, rho, beta : float
    random_state : int, Generator or None
        Draws the start.

    Returns
    -------
    states : (n_steps, 3)

    Raises
    ------
    ValueError
        For a step so long that the rule diverges, among others.

    References
    ----------
    Lorenz 1963, "Deterministic nonperiodic flow", J. Atmos. Sci. 20, eqs. 25-27.

    Examples
    --------
    >>> from reservoir.datasets import lorenz63
    >>> lorenz63(200, random_state=0).shape
    (200, 3)
    """
    n_steps, n_discard = _lengths(n_steps, n_discard)
    h = _substep(dt, n_substeps)
    sigma, rho, beta = (number(name, value) for name, value in (("sigma", sigma), ("rho", rho), ("beta", beta)))
    state = np.array([1.0, 1.0, 20.0]) + generator(random_state).uniform(-1.0, 1.0, 3)
    _check_room(3 * (n_discard + n_steps))
    out = np.empty((n_discard + n_steps, 3))
    _lorenz63(out, state, h, n_substeps, sigma, rho, beta)
    return _bounded(out[n_discard:], "dt", dt)


@njit(cache=True)
def _lorenz96(out, x, h, n_substeps, forcing):
    """Classical RK4. out : (T, J) float64 written; x : (J,) float64 in and out, J >= 4."""
    J = x.size
    moved, slope, total = np.empty(J), np.zeros(J), np.empty(J)
    for t in range(out.shape[0]):
        for j in range(J):
            out[t, j] = x[j]
        for _ in range(n_substeps):
            total[:] = 0.0
            for reach, weight in ((0.0, 1.0), (0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
                for j in range(J):
                    moved[j] = x[j] + reach * h * slope[j]
                for j in range(J):
                    slope[j] = (moved[(j + 1) % J] - moved[j - 2]) * moved[j - 1] - moved[j] + forcing
                    total[j] += weight * slope[j]
            for j in range(J):
                x[j] += h / 6.0 * total[j]


def lorenz96(
    n_steps: int,
    *,
    n_features: int = 40,
    forcing: float = 8.0,
    dt: float = 0.01,
    n_substeps: int = 1,
    n_discard: int = 1000,
    random_state: Any = None,
) -> np.ndarray:
    """Integrate the Lorenz-96 system, a ring of variables, and sample it every ``dt``.

        dx_j/dt = (x_{j+1} - x_{j-2}) x_{j-1} - x_j + forcing

    Fourth-order Runge-Kutta with step dt/n_substeps, from the state at rest, x_j = forcing, moved by normal(0, 1).

    Parameters
    ----------
    n_steps, n_substeps : int >= 1
    n_features : int >= 4
        Variables on the ring.
    forcing : float
        8 is chaotic for 40 variables, 10 more so.
    dt : float > 0
        Time between two rows.
    n_discard : int >= 0
        Rows thrown away.
    random_state : int, Generator or None
        Draws the start.

    Returns
    -------
    states : (n_steps, n_features)

    Raises
    ------
    ValueError
        For a step so long that the rule diverges, among others.

    References
    ----------
    Lorenz 1996, "Predictability: a problem partly solved", ECMWF Seminar on Predictability, vol. 1.

    Examples
    --------
    >>> from reservoir.datasets import lorenz96
    >>> lorenz96(200, n_features=8, random_state=0).shape
    (200, 8)
    """
    n_steps, n_discard = _lengths(n_steps, n_discard)
    n_features = integer("n_features", n_features, least=4, remedy="a ring has 4 variables at least")
    forcing = number("forcing", forcing)
    h = _substep(dt, n_substeps)
    _check_room(n_features * (n_discard + n_steps))
    state = forcing + generator(random_state).standard_normal(n_features)
    out = np.empty((n_discard + n_steps, n_features))
    _lorenz96(out, state, h, n_substeps, forcing)
    return _bounded(out[n_discard:], "dt", dt)


@njit(cache=True)
def _henon(out, x, y, a, b):
    """The orbit of (x, y). out : (T, 2) float64 written."""
    for t in range(out.shape[0]):
        out[t, 0], out[t, 1] = x, y
        x, y = 1.0 - a * x * x + y, b * x


def henon(
    n_steps: int, *, a: float = 1.4, b: float = 0.3, n_discard: int = 100, random_state: Any = None
) -> np.ndarray:
    """Iterate the Hénon map, a chaotic map of the plane.

        x(t+1) = 1 - a x(t)^2 + y(t),   y(t+1) = b x(t)

    From a start drawn from uniform(-0.1, 0.1)^2. At the standard parameters an error grows by the factor
    exp(``HENON_LYAPUNOV_EXPONENT``) = exp(0.419) a step.

    Parameters
    ----------
    n_steps : int >= 1
    a, b : float
    n_discard : int >= 0
        Steps thrown away.
    random_state : int, Generator or None
        Draws the start.

    Returns
    -------
    states : (n_steps, 2)

    Raises
    ------
    ValueError
        For a and b at which the orbit leaves for infinity, among others.

    References
    ----------
    Hénon 1976, "A two-dimensional mapping with a strange attractor", Commun. Math. Phys. 50.

    Examples
    --------
    >>> from reservoir.datasets import henon
    >>> henon(3, random_state=0).shape
    (3, 2)
    """
    n_steps, n_discard = _lengths(n_steps, n_discard)
    a, b = number("a", a), number("b", b)
    _check_room(2 * (n_discard + n_steps))
    out = np.empty((n_discard + n_steps, 2))
    _henon(out, *generator(random_state).uniform(-0.1, 0.1, 2), a, b)
    return _bounded(out[n_discard:], "a", a)


def _lengths(n_steps: Any, n_discard: Any, *, least_discard: int = 0) -> tuple[int, int]:
    """Both as integers in their range."""
    return (
        integer("n_steps", n_steps, remedy="give the number of rows"),
        integer("n_discard", n_discard, least=least_discard, remedy="give the rows to throw away"),
    )


def _substep(dt: Any, n_substeps: Any) -> float:
    """The step of the rule."""
    return number("dt", dt, above=0, remedy="give the time between two rows") / integer("n_substeps", n_substeps)


def _check_room(n_floats: int) -> None:
    check_memory(8 * n_floats, "the series", remedy="use fewer steps")


def _bounded(states: np.ndarray, name: str, value: float) -> np.ndarray:
    """``states``, in memory of their own, if they are finite."""
    if not np.isfinite(states).all():
        raise ValueError(
            f"{name} must be a value at which the orbit stays finite, got {value!r}; make it smaller, or take more "
            "n_substeps where there are such."
        )
    return np.ascontiguousarray(states)
