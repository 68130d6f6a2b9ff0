"""Tasks as arrays: the benchmark systems and generators that the studies learn from.

Every function returns plain arrays (rows are time steps) and draws from the generator it is handed, so a task
is a pure function of its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reservoir.jit import njit

LORENZ_LYAPUNOV_EXPONENT = 0.9056  # largest exponent at (10, 28, 8/3); Sprott 2003, Chaos and Time-Series Analysis
LORENZ_LYAPUNOV_TIME = 1.0 / LORENZ_LYAPUNOV_EXPONENT
MACKEY_GLASS_METHODS = ("rk4", "euler")


@njit(cache=True)
def _narma10(u, y):
    """Fill y[10:] in place. u, y : (T,) float64; y[:10] is the start and must be set."""
    for t in range(9, u.size - 1):
        recent = 0.0
        for k in range(10):
            recent += y[t - k]
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * recent + 1.5 * u[t - 9] * u[t] + 0.1


def narma10(n_steps: int, *, rng: np.random.Generator, n_discard: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Draw an input series and the response of the tenth-order NARMA system to it.

        y(t+1) = 0.3 y(t) + 0.05 y(t) sum_{i=0..9} y(t-i) + 1.5 u(t-9) u(t) + 0.1,     u ~ uniform(0, 0.5)

    The pair handed out is (u(t), y(t+1)): the response at a row already contains that row's input. A few
    inputs in a thousand million drive the system away to infinity; such a draw is thrown away and drawn
    again.

    Parameters
    ----------
    n_steps : int >= 1
    rng : numpy.random.Generator
    n_discard : int >= 10, steps thrown away so that the zero start is forgotten

    Returns
    -------
    u : (n_steps, 1)
    y : (n_steps, 1)

    References
    ----------
    Atiya and Parlos 2000, "New results on recurrent network training", IEEE TNN 11, eq. 86.

    Examples
    --------
    >>> u, y = narma10(1000, rng=np.random.default_rng(0))
    >>> u.shape, y.shape, bool(y.max() < 1.5)
    ((1000, 1), (1000, 1), True)
    """
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
    rng: np.random.Generator,
    tau: float = 17.0,
    method: str = "rk4",
    n_substeps: int = 10,
    n_discard: int = 1000,
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
    rng : numpy.random.Generator, draws the history
    tau : float > 0, a multiple of 1/n_substeps; 17 is mildly and 30 strongly chaotic
    method : "rk4" or "euler"
    n_substeps : int >= 1, integration steps per unit of time
    n_discard : int >= 0, units of time thrown away

    Returns
    -------
    x : (n_steps, 1)

    References
    ----------
    Mackey and Glass 1977, Science 197. Jaeger 2001, GMD report 148, section 6.

    Examples
    --------
    >>> x = mackey_glass(500, rng=np.random.default_rng(0))
    >>> x.shape, bool(0.2 < x.min() and x.max() < 1.5)
    ((500, 1), True)
    """
    if method not in MACKEY_GLASS_METHODS:
        raise ValueError(f"method must be one of {MACKEY_GLASS_METHODS}, got {method!r}. Choose one of them.")
    n_lag = round(tau * n_substeps)
    if n_lag < 1 or abs(n_lag - tau * n_substeps) > 1e-9:
        raise ValueError(
            f"tau must be a positive multiple of 1/n_substeps = {1 / n_substeps:g}, got {tau!r}. Change n_substeps."
        )
    n_total = (n_discard + n_steps) * n_substeps
    x = np.empty(n_lag + n_total)
    x[: n_lag + 1] = 1.2 + rng.uniform(-0.1, 0.1)
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
    rng: np.random.Generator,
    dt: float = 0.02,
    n_substeps: int = 10,
    n_discard: int = 1000,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8.0 / 3.0,
) -> np.ndarray:
    """Integrate the Lorenz system and sample it every `dt`.

        dx/dt = sigma (y - x),   dy/dt = x (rho - z) - y,   dz/dt = x y - beta z

    Classical fourth-order Runge-Kutta with step dt/n_substeps from a random start near the attractor. One
    Lyapunov time at the standard parameters is `LORENZ_LYAPUNOV_TIME` = 1/0.9056 units of time.

    Parameters
    ----------
    n_steps, n_substeps : int >= 1
    rng : numpy.random.Generator, draws the start
    dt : float > 0
    n_discard : int >= 0, samples thrown away

    Returns
    -------
    states : (n_steps, 3)

    References
    ----------
    Lorenz 1963, "Deterministic nonperiodic flow", J. Atmos. Sci. 20, eqs. 25-27.

    Examples
    --------
    >>> lorenz63(200, rng=np.random.default_rng(0)).shape
    (200, 3)
    """
    state = np.array([1.0, 1.0, 20.0]) + rng.uniform(-1.0, 1.0, 3)
    out = np.empty((n_discard + n_steps, 3))
    _lorenz63(out, state, dt / n_substeps, n_substeps, sigma, rho, beta)
    return np.ascontiguousarray(out[n_discard:])


@dataclass(frozen=True)
class CommandedSine:
    """A command and the swing that follows it: frequency (T,) in cycles per step, output (T,)."""

    frequency: np.ndarray
    output: np.ndarray


def commanded_sine(
    n_steps: int,
    levels: np.ndarray,
    *,
    rng: np.random.Generator,
    hold: int = 200,
    disturbance: float = 0.0,
    relaxation: float = 0.05,
) -> CommandedSine:
    """A sine whose frequency is commanded from outside and whose amplitude, when disturbed, returns to one.

        phase(t) = phase(t-1) + 2 pi frequency(t)
        r(t) = r(t-1) + relaxation (1 - r(t-1)),     y(t) = r(t) sin(phase(t))

    The frequency is held for `hold` steps at one of `levels`, drawn at random, then jumps; at each jump r is
    set to 1 + uniform(-disturbance, disturbance).

    Parameters
    ----------
    n_steps, hold : int >= 1
    levels : (n_levels,) cycles per step, each in (0, 0.5)
    rng : numpy.random.Generator
    disturbance : float in [0, 1)
    relaxation : float in (0, 1]

    Returns
    -------
    CommandedSine

    References
    ----------
    Jaeger 2001, GMD report 148: the frequency generator with slow input and output feedback.

    Examples
    --------
    >>> swing = commanded_sine(4, np.array([0.25]), rng=np.random.default_rng(0))
    >>> swing.output.round(6) + 0.0
    array([ 1.,  0., -1.,  0.])
    """
    n_blocks = -(-n_steps // hold)
    frequency = np.repeat(rng.choice(levels, n_blocks), hold)[:n_steps]
    kicks = rng.uniform(-disturbance, disturbance, n_blocks) if disturbance else np.zeros(n_blocks)
    since = np.arange(n_steps) % hold
    amplitude = 1.0 + np.repeat(kicks, hold)[:n_steps] * (1.0 - relaxation) ** since
    return CommandedSine(frequency, amplitude * np.sin(2.0 * np.pi * np.cumsum(frequency)))


def delayed_copies(u: np.ndarray, n_delays: int) -> np.ndarray:
    """Targets of a memory task: column k holds the series k + 1 steps ago, zero before it began.

    Parameters
    ----------
    u : (T,)
    n_delays : int >= 1

    Returns
    -------
    copies : (T, n_delays)

    References
    ----------
    Jaeger 2001, "Short term memory in echo state networks", GMD report 152.

    Examples
    --------
    >>> delayed_copies(np.array([1.0, 2.0, 3.0]), 2)
    array([[0., 0.],
           [1., 0.],
           [2., 1.]])
    """
    padded = np.concatenate([np.zeros(n_delays), u])
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_delays)[: u.size]
    return np.ascontiguousarray(windows[:, ::-1])
