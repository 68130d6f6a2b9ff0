"""The signals of `studies.tasks.signals`, written from their equations with Python floats."""

import math


def commanded_sine(frequency, hold, kicks, relaxation):
    """y(t) = r(t) sin(phase(t)), r set to 1 + kick at the first step of every block and relaxing to one."""
    y, phase, r = [], 0.0, 1.0
    for t, f in enumerate(frequency):
        phase += 2.0 * math.pi * f
        r = 1.0 + kicks[t // hold] if t % hold == 0 else r + relaxation * (1.0 - r)
        y.append(r * math.sin(phase))
    return y


def delayed_copies(u, n_delays):
    return [[u[t - k] if t >= k else 0.0 for k in range(1, n_delays + 1)] for t in range(len(u))]
