"""The systems of `reservoir.datasets`, written from their equations with Python floats."""


def narma10(u):
    """y(0..T) for inputs u(0..T-1), from ten zeros. Atiya and Parlos 2000, eq. 86."""
    y = [0.0] * 10
    for t in range(9, len(u)):
        y.append(0.3 * y[t] + 0.05 * y[t] * sum(y[t - i] for i in range(10)) + 1.5 * u[t - 9] * u[t] + 0.1)
    return y


def mackey_glass_slope(x, delayed):
    return 0.2 * delayed / (1.0 + delayed**10) - 0.1 * x


def mackey_glass_rk4(start, n_steps, *, tau, n_substeps):
    """Samples at t = 0, 1, .. after a constant history; the delayed value halfway by a Hermite cubic."""
    h = 1.0 / n_substeps
    n_lag = round(tau * n_substeps)
    x = [start]
    slope = []

    def value(i):
        return start if i < 0 else x[i]

    def halfway(i):
        """x at (i + 1/2) h."""
        if i < 0:
            return start
        return 0.5 * (x[i] + x[i + 1]) + h / 8.0 * (slope[i] - slope[i + 1])

    slope.append(mackey_glass_slope(start, start))
    for i in range(n_steps * n_substeps):
        d0, d1, d2 = value(i - n_lag), halfway(i - n_lag), value(i - n_lag + 1)
        k1 = mackey_glass_slope(x[i], d0)
        k2 = mackey_glass_slope(x[i] + h / 2 * k1, d1)
        k3 = mackey_glass_slope(x[i] + h / 2 * k2, d1)
        k4 = mackey_glass_slope(x[i] + h * k3, d2)
        x.append(x[i] + h * (k1 + 2 * k2 + 2 * k3 + k4) / 6)
        slope.append(mackey_glass_slope(x[i + 1], d2))
    return x[::n_substeps][:n_steps]


def mackey_glass_euler(start, n_steps, *, tau, n_substeps):
    """Samples at t = 0, 1, .. of the forward rule after a constant history."""
    n_lag = round(tau * n_substeps)
    x = [start]
    for i in range(n_steps * n_substeps):
        x.append(x[i] + mackey_glass_slope(x[i], start if i < n_lag else x[i - n_lag]) / n_substeps)
    return x[::n_substeps][:n_steps]


def lorenz63_slope(_, state):
    x, y, z = state
    return [10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z]


def lorenz96_slope(forcing):
    def slope(_, x):
        J = len(x)
        return [(x[(j + 1) % J] - x[(j - 2) % J]) * x[(j - 1) % J] - x[j] + forcing for j in range(J)]

    return slope


def henon(start, n_steps, a, b):
    orbit = [tuple(start)]
    while len(orbit) < n_steps:
        x, y = orbit[-1]
        orbit.append((1.0 - a * x * x + y, b * x))
    return orbit
