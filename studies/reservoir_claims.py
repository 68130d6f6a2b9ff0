"""What is said of echo state networks - many units, kept activity, inputs of the right size - does it hold?

Method. Three sentences of the lecture, each with its own measure.

- `units`: a random net needs many more hidden units than a trained one for the same error. NARMA-10, 2,000 steps to
  learn from and 1,000 to be scored on, NRMSE. Reservoirs of 20 to 500 units of radius 0.9, their input scaling chosen
  on the last fifth of the training part, their penalty by themselves; tanh nets of 5 to 20 units, trained by the
  Hessian-free method on ten pieces of 200 steps.
- `activity`: the spectral radius keeps the length of the activity vector. Without input, from a state of length 1e-6,
  by what the length is multiplied in a step (geometric mean of steps 101 to 200), over the radius; for sparse random
  and for orthogonal weights.
- `inputs`: the size of the input weights decides between memory and nonlinearity. A reservoir of 200 units, weights of
  the size `value`; NRMSE of NARMA-10, and the share of the variance of the 20 last inputs, uniform(-1, 1), that a
  linear readout of the states explains.

Found (medians of five seeds). Many units: yes; a trained net of 20 units has 0.027 on NARMA-10, 10 units 0.21; a
reservoir needs 200 for 0.14 and has 0.099 with 500. Kept activity: yes up to a radius of 1, where small states shrink
or stay by the radius to 0.2 %; beyond, tanh holds the length where it is, whatever the radius. Input size: small
inputs are remembered whole, of inputs of size 1 a linear readout recovers 0.58, of 10 0.15; NARMA-10 is best at 0.01
(0.12) and worse on both sides (0.27 at 0.001, 0.47 at 1).

Sources. The lecture's list of what makes an echo state network work; Jaeger 2001, GMD reports 148 and 152; Dambre et
al. 2012, Scientific Reports 2, for memory against nonlinearity.

Expected run time: two minutes by default on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESERVOIR = {"spectral_radius": 0.9, "bias_scaling": 0.2, "washout": 100, "alpha": "auto"}
SCALES = (0.03, 0.1, 0.3, 1.0)
N_TRAIN, N_TEST = 2000, 1000


@dataclass(frozen=True)
class Settings:
    """One measurement; `value` is a number of units, a spectral radius or an input scaling."""

    claim: str = "units"
    way: str = "reservoir"
    value: float = 100
    max_products: int = 2000
    seed: int = 0


GRID = {
    "quick": [
        {"claim": "units", "way": "reservoir", "value": [20, 50], "seed": range(2)},
        {"claim": "units", "way": "trained", "value": 5, "max_products": 100, "seed": range(2)},
        {"claim": "activity", "way": ["sparse", "orthogonal"], "value": [0.5, 1.0], "seed": range(2)},
        {"claim": "inputs", "way": ["NARMA-10", "memory"], "value": 0.1, "seed": range(2)},
    ],
    "default": [
        {"claim": "units", "way": "reservoir", "value": [20, 50, 100, 200, 500], "seed": range(5)},
        {"claim": "units", "way": "trained", "value": [5, 10, 20], "seed": range(5)},
        {"claim": "activity", "way": ["sparse", "orthogonal"], "value": [0.5, 0.8, 0.9, 1.0, 1.1, 1.3, 2.0],
         "seed": range(5)},
        {"claim": "inputs", "way": ["NARMA-10", "memory"], "value": [0.001, 0.01, 0.1, 1.0, 10.0], "seed": range(5)},
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 4, "default": 100}
COLUMNS = ("measured",)
BY = ("claim", "way", "value")
SIDE_BY_SIDE = True


def run(settings: Settings) -> list[dict]:
    """One number."""
    rng = np.random.default_rng([settings.seed, 2024])
    measure = {"units": _units, "activity": _activity, "inputs": _inputs}[settings.claim]
    return [{"measured": float(measure(settings, rng))}]


def _units(settings: Settings, rng: np.random.Generator) -> float:
    from reservoir.datasets import narma10

    u, y = narma10(N_TRAIN + N_TEST, random_state=rng)
    u = 4.0 * u - 1.0
    if settings.way == "trained":
        return _trained_error(settings, u, y)
    held = slice(N_TRAIN * 4 // 5, N_TRAIN)
    errors = [_reservoir_error(settings, int(settings.value), scale, u, y, held) for scale in SCALES]
    best = SCALES[int(np.argmin(errors))]
    return _reservoir_error(settings, int(settings.value), best, u, y, slice(N_TRAIN, None))


def _reservoir_error(settings, n_units: int, scale: float, u, y, judged: slice) -> float:
    """NRMSE on the rows `judged` of a reservoir that learnt from those before."""
    from reservoir import ESNRegressor
    from reservoir.metrics import nrmse

    model = ESNRegressor(n_units, input_scaling=scale, random_state=settings.seed, **RESERVOIR)
    model.fit(u[: judged.start], y[: judged.start])
    return float(nrmse(y[judged], model.predict(u[: judged.stop])[judged]))


def _trained_error(settings: Settings, u: np.ndarray, y: np.ndarray) -> float:
    from cells import Elman, Network, SequenceObjective, initial_theta
    from cells.predict import predict
    from optim import HessianFree, minimize
    from reservoir.metrics import nrmse

    network = Network(Elman(1, int(settings.value)), n_out=1)
    pieces = (values[:N_TRAIN].reshape(10, -1, 1) for values in (u, y))
    mask = np.tile(np.arange(N_TRAIN // 10) >= 20, (10, 1))
    objective = SequenceObjective(network, *pieces, mask=mask, n_jobs=1)
    theta = initial_theta(network, "sparse", rng=np.random.default_rng(settings.seed))
    theta = minimize(
        objective, theta, HessianFree(structural=0.03), max_iterations=1000, max_products=settings.max_products
    ).theta
    return float(nrmse(y[N_TRAIN:], np.asarray(predict(network, theta, u[None], n_jobs=1))[0, N_TRAIN:]))


def _activity(settings: Settings, rng: np.random.Generator) -> float:
    from reservoir.spectrum import scale_to_radius

    from reservoir import topology

    W = {"sparse": topology.sparse, "orthogonal": topology.orthogonal}[settings.way](200, rng=rng)
    W = scale_to_radius(W, settings.value).toarray()
    x = rng.standard_normal(200)
    x *= 1e-6 / np.linalg.norm(x)
    lengths = []
    for _ in range(200):
        x = np.tanh(W @ x)
        lengths.append(np.linalg.norm(x))
    return np.exp(np.log(lengths[-1] / lengths[99]) / 100.0) / settings.value


def _inputs(settings: Settings, rng: np.random.Generator) -> float:
    from reservoir import ESNRegressor
    from reservoir.datasets import narma10
    from studies.tasks.signals import delayed_copies

    if settings.way == "NARMA-10":
        u, y = narma10(N_TRAIN + N_TEST, random_state=rng)
        return _reservoir_error(settings, 200, settings.value, 4.0 * u - 1.0, y, slice(N_TRAIN, None))
    u = rng.uniform(-1.0, 1.0, N_TRAIN + N_TEST)
    past = delayed_copies(u, 20)
    model = ESNRegressor(200, input_scaling=settings.value, random_state=settings.seed, **RESERVOIR)
    model.fit(u[:N_TRAIN, None], past[:N_TRAIN])
    wrong = (model.predict(u[:, None])[N_TRAIN:] - past[N_TRAIN:]).var(0) / past[N_TRAIN:].var(0)
    return np.mean(1.0 - np.minimum(wrong, 1.0))


def finding(rows) -> str:
    """Each sentence beside its numbers."""
    median = rows.groupby(["claim", "way", "value"])["measured"].median()
    trained, random = median["units", "trained"], median["units", "reservoir"]
    enough = random.index[random <= trained.min()]
    needs = f"as {enough[0]:.0f} random ones do" if len(enough) else f"{random.index[-1]:.0f} random ones do not"
    factors = median["activity"][median["activity"].index.get_level_values("value") <= 1.0]
    narma, memory = median["inputs", "NARMA-10"], median["inputs", "memory"]
    return (
        f"{trained.idxmin():.0f} trained units reach an NRMSE of {trained.min():.2g}, {needs}. Up to a radius of 1 a "
        f"step multiplies activity by {factors.min():.3f} to {factors.max():.3f} times the radius. NARMA-10 is best "
        f"with inputs of {narma.idxmin():g} ({narma.min():.2g}), memory with {memory.idxmax():g} ({memory.max():.0%})."
    )


def plot(rows):
    """A panel a sentence."""
    from studies.bench.figures import FAINT, log_axis, median_line, panels, size_axis

    labels = {
        "units": ("units", "NRMSE of NARMA-10"),
        "activity": ("spectral radius", "factor of a step, over the radius"),
        "inputs": ("size of the input weights", "NRMSE, or share remembered"),
    }
    claims = [claim for claim in labels if claim in set(rows["claim"])]
    figure, all_axes = panels(len(claims), width=4.2, height=3.6)
    for axes, claim in zip(all_axes, claims, strict=True):
        here = rows[rows["claim"] == claim]
        for i, (way, group) in enumerate(here.groupby("way", sort=False)):
            table = group.pivot_table(index="value", columns="seed", values="measured")
            median_line(axes, table.index, table, label=way, index=i)
        axes.set(title=claim, xlabel=labels[claim][0], ylabel=labels[claim][1])
        axes.legend()
        if claim == "activity":
            axes.axhline(1.0, color=FAINT, linewidth=0.8, zorder=1)
        elif claim == "inputs":
            axes.set_xscale("log")
        else:
            size_axis(axes, sorted(here["value"].astype(int).unique()))
            log_axis(axes)
    return figure
