"""Does Hessian-free training of a deep autoencoder end below first-order methods and L-BFGS at equal seconds?

Method. An autoencoder 64-32-16-8-16-32-64 of logistic units learns scikit-learn's 1,797 handwritten digits, intensities
between 0 and 1. What is minimised is the cross-entropy of every pixel; what is reported is the squared error of a
reconstruction, summed over its 64 pixels and averaged over all 1,797 images, as the papers do, and the cross-entropy
beside it. This is training error: the question is which method minimises. Everyone has the same float32 arithmetic on
one thread, the same objective and the same start: 15 incoming weights a unit from normal(0, 1), the others and the
biases 0.

Seconds are those of the processor, so that a busy machine changes nothing, and looking at the error is not counted. At
every mark the error is that of the last parameters reached before it. Rows depend on the speed of the machine.

Tuning. On one seed that is not among those reported, for the squared error after 10 s, about half of it in float64. Of
Nesterov's and Adam's settings nearly twenty each were tried: rates in steps of 2 or 3 on either side of the best,
batches of 25 to 200, a final momentum of 0.9 to 0.999 that rises as in Sutskever et al. Of classical momentum's five,
with batches of 50; rates of 0.1 diverge. All first-order rates fall along half a cosine of the seconds, so that these
curves are low at their end only; a curve for fewer seconds would fall sooner. A constant rate was tried once, for Adam
at 0.01, and was no worse (0.583 against 0.591). L-BFGS: the best memory of 10, 30 and 100; SciPy's keeps its own
vectors in float64. Of the Hessian-free method's settings sixty-one, more than of any rival's: first λ, bound on
conjugate gradients, iterates kept, backtracking, warm start, preconditioner and its exponent, batches for curvature and
acceptance, damping's rule. What mattered was the preconditioner, curvature on a few hundred images only, and letting
these grow by 1 % a step. The last sixteen were tried after the objective had been made faster for everyone, which no
rival's settings were; on three seeds apart from those reported, a bound of 80 with a warm start of 0.95 ended at 0.497,
0.512 and 0.505, one of 50 with 0.9 at 0.509, 0.507 and 0.529; Nesterov, on two of them, at 0.519 and 0.512.

Sources. Hinton and Salakhutdinov 2006 for the problem; Martens 2010, "Deep learning via Hessian-free optimization", for
the method and the start; Sutskever, Martens, Dahl and Hinton 2013 for momentum on it. Their autoencoders are larger,
and trained for hours.

Expected run time: about five minutes by default on two cores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

WIDTHS = (64, 32, 16, 8, 16, 32, 64)
N_MARKS = 10
HF = "Hessian-free"
FIRST_ORDER = {"Nesterov": "Nesterov", "classical momentum": "Momentum", "Adam": "Adam"}


@dataclass(frozen=True)
class Settings:
    """One run; fields that a way has no use for keep their defaults."""

    way: str = HF
    seconds: float = 10.0
    learning_rate: float = 0.0
    momentum: float = 0.0
    batch_size: int = 100
    memory: int = 100
    damping: float = 1.0
    max_cg: int = 80
    warm_start: float = 0.95
    n_curvature: int = 300
    curvature_growth: float = 1.01
    preconditioner: str | None = "squared_gradients"
    seed: int = 0


GRID = {
    "quick": [
        {"way": [HF, "Nesterov", "L-BFGS"], "learning_rate": 0.1, "momentum": 0.99, "seconds": 0.6, "seed": range(1)}
    ],
    "default": [
        {"way": HF, "seed": range(5)},
        {"way": "Nesterov", "learning_rate": 0.2, "momentum": 0.99, "batch_size": 50, "seed": range(5)},
        {"way": "classical momentum", "learning_rate": 0.03, "momentum": 0.999, "batch_size": 50, "seed": range(5)},
        {"way": "Adam", "learning_rate": 0.03, "batch_size": 100, "seed": range(5)},
        {"way": "L-BFGS", "seed": range(5)},
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 4, "default": 290}
COLUMNS = ("processor_s", "squared_error", "cross_entropy", "n_steps")
BY = ("way", "processor_s")


class Autoencoder:
    """Cross-entropy between images and their reconstruction by a stack of logistic layers, for any optimiser.

    With a_0 the images, layers k = 1 .. K, and p = a_K the reconstruction::

        z_k = a_{k-1} W_k + b_k          a_k = σ(z_k)          loss = -Σ a_0 log p + (1 - a_0) log(1 - p)

    theta holds W_1, b_1, W_2, ... one after the other, in the dtype of the images. The loss matches the last
    nonlinearity: its gradient by z_K is p - a_0, its curvature p (1 - p).

    Parameters
    ----------
    images : (B, widths[0]) array, intensities in [0, 1]
    widths : tuple of int, of all layers from the input to the output
    """

    def __init__(self, images: np.ndarray, widths: tuple[int, ...] = WIDTHS):
        self.images, self.widths = images, widths
        self.n_sequences, self.dtype = len(images), images.dtype
        self.with_ones = np.hstack([images, np.ones((len(images), 1), images.dtype)])
        self.by_unit = self.with_ones.T.copy()
        self.n_params = sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))

    def layers(self, theta: np.ndarray) -> list[np.ndarray]:
        """Views [W; b] of every layer: (n_in + 1, n_out), the biases last."""
        found, start = [], 0
        for n_in, n_out in pairwise(self.widths):
            end = start + (n_in + 1) * n_out
            found.append(theta[start:end].reshape(n_in + 1, n_out))
            start = end
        return found

    def start(self, rng: np.random.Generator, in_degree: int = 15) -> np.ndarray:
        """Parameters to begin with: `in_degree` incoming weights a unit from normal(0, 1), all else 0."""
        theta = np.zeros(self.n_params, self.dtype)
        for layer in self.layers(theta):
            for unit in layer[:-1].T:
                chosen = rng.choice(unit.size, min(in_degree, unit.size), replace=False)
                unit[chosen] = rng.standard_normal(chosen.size)
        return theta

    def forward(self, theta: np.ndarray, batch: np.ndarray | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Activities a_0 .. a_K of the batch, each with a column of ones, and z_K; (B, n + 1) and (B, n_K).

        All are views of arrays (n + 1, B): the units of an image lie apart, the images of a unit side by side.
        """
        a = self.by_unit if batch is None else self.with_ones.take(batch, axis=0).T.copy()
        activities, layers = [a.T], self.layers(theta)
        for k, layer in enumerate(layers):
            before, a = a, np.empty((layer.shape[1] + 1, a.shape[1]), self.dtype)
            z = np.matmul(layer.T, before, out=None if k == len(layers) - 1 else a[:-1])
            logistic(z, out=a[:-1])
            a[-1] = 1.0
            activities.append(a.T)
        return activities, z.T

    def backward(
        self,
        theta: np.ndarray,
        activities: list[np.ndarray],
        dz: np.ndarray,
        *,
        slopes: list[np.ndarray] | None = None,
        scratch: list[np.ndarray] | None = None,
        power: int = 1,
    ) -> np.ndarray:
        """Σ over images of their gradients by theta, each entry to the `power`, from the gradient by z_K.

        Slopes and scratch are (n, B) for every layer; scratch is overwritten.
        """
        grad, layers, dz = np.empty_like(theta), self.layers(theta), dz.T
        for k, out in reversed(list(enumerate(self.layers(grad)))):
            a, d = (activities[k].T, dz) if power == 1 else (activities[k].T ** power, dz**power)
            np.matmul(a, d.T, out=out)
            if k:
                dz = np.matmul(layers[k][:-1], dz, out=None if scratch is None else scratch[k])
                dz *= slope(activities[k].T[:-1]) if slopes is None else slopes[k]
        return grad

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """Loss of the batch; its weight is the number of images."""
        from optim import Evaluation

        activities, z = self.forward(theta, batch)
        return Evaluation(cross_entropy(z, activities[0][:, :-1]), len(z))

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Any:
        """Loss and gradient of the batch."""
        from optim import Evaluation

        activities, z = self.forward(theta, batch)
        grad = self.backward(theta, activities, difference(activities))
        return Evaluation(cross_entropy(z, activities[0][:, :-1]), len(z), grad)

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Linearized:
        """The batch's net linearised at theta."""
        return Linearized(self, theta.copy(), self.forward(theta, batch)[0])

    def squared_error(self, theta: np.ndarray) -> float:
        """Mean over all images of |a_0 - p|²."""
        activities, _ = self.forward(theta)
        return float(np.mean(np.sum(difference(activities) ** 2, axis=1, dtype=np.float64)))


class Linearized:
    """Products with the Gauss-Newton matrix of an autoencoder at one point; activities and slopes are kept."""

    def __init__(self, model: Autoencoder, theta: np.ndarray, activities: list[np.ndarray]):
        self.model, self.theta, self.activities, self.weight = model, theta, activities, len(activities[0])
        self.slopes = [None, *(slope(a.T[:-1]) for a in activities[1:])]
        # [R a; a; 1] and [W; V; v]: both terms of R z are one product. Only R a, V and v change. Images have no R a.
        hidden = zip(self.slopes[1:-1], activities[1:-1], strict=True)
        self.stacked = [activities[0].T, *(np.concatenate([s, a.T]) for s, a in hidden)]
        self.tangents = [None, *(both[: len(both) // 2] for both in self.stacked[1:]), np.empty_like(self.slopes[-1])]
        self.weights = [None, *(np.concatenate([layer[:-1], layer]) for layer in model.layers(theta)[1:])]

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Jᵀ H J v, J the derivative of z_K and H = p (1 - p).

        R z_k = R a_{k-1} W_k + a_{k-1} V_k + v_k and R a_k = σ'(z_k) R z_k; then back, as any gradient goes.
        """
        if structural:
            raise NotImplementedError(f"structural must be 0 for an Autoencoder, got {structural!r}; leave it out.")
        for k, V in enumerate(self.model.layers(v)):
            if k:
                self.weights[k][len(V) - 1 :] = V
            weights = self.weights[k] if k else V
            Ra = np.matmul(weights.T, self.stacked[k], out=self.tangents[k + 1])
            Ra *= self.slopes[k + 1]
        dz = Ra  # H R z_K, because p (1 - p) is σ' as well
        return self.model.backward(self.theta, self.activities, dz.T, slopes=self.slopes, scratch=self.tangents)

    def squared_gradients(self) -> np.ndarray:
        """Σ over images of their squared gradients."""
        return self.model.backward(
            self.theta, self.activities, difference(self.activities), slopes=self.slopes, power=2
        )


def difference(activities: list[np.ndarray]) -> np.ndarray:
    """p - a_0, (B, n_K)."""
    return (activities[-1].T[:-1] - activities[0].T[:-1]).T


def logistic(z: np.ndarray, out: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) as (1 + tanh(z / 2)) / 2, which overflows nowhere."""
    np.multiply(z, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1.0
    out *= 0.5
    return out


def slope(a: np.ndarray) -> np.ndarray:
    """Derivative of the logistic function where its value is a."""
    found = 1.0 - a
    found *= a
    return found


def cross_entropy(z: np.ndarray, targets: np.ndarray) -> float:
    """Σ log(1 + exp(z)) - target z; the first term as max(z, 0) + log(1 + exp(-|z|)), which overflows nowhere."""
    terms = np.abs(z)
    np.negative(terms, out=terms)
    np.exp(terms, out=terms)
    terms += 1.0
    np.log(terms, out=terms)
    other = np.maximum(z, 0.0)
    terms += other
    terms -= np.multiply(targets, z, out=other)
    return float(np.sum(terms, dtype=np.float64))


def digits() -> np.ndarray:
    """(1797, 64) float32: scikit-learn's digits, intensities in [0, 1]."""
    from sklearn.datasets import load_digits

    return (load_digits().data / 16.0).astype(np.float32)


class Watch:
    """Processor seconds of one run, its own looks not counted, and the errors at its marks.

    Parameters
    ----------
    model : Autoencoder
    theta : (P,) array, the start
    seconds : float > 0, of the last mark; the others are earlier by a factor of 1.5 each
    """

    def __init__(self, model: Autoencoder, theta: np.ndarray, seconds: float):
        self.model, self.seconds = model, seconds
        self.marks = [seconds / 1.5**k for k in reversed(range(N_MARKS))]
        self.rows: list[dict] = []
        self.theta, self.n_steps, self.looking_s = theta.copy(), 0, 0.0
        self.began = time.process_time()

    def elapsed(self) -> float:
        """Seconds of training so far."""
        return time.process_time() - self.began - self.looking_s

    def after_step(self, theta: np.ndarray) -> bool:
        """Look at the last parameters where a mark has passed since; whether the time is up."""
        elapsed = self.elapsed()
        while len(self.rows) < N_MARKS and elapsed > self.marks[len(self.rows)]:
            self.look()
        np.copyto(self.theta, theta)
        self.n_steps += 1
        return len(self.rows) == N_MARKS

    def look(self) -> None:
        """A row of the errors now."""
        began = time.process_time()
        self.rows.append(
            {
                "processor_s": round(self.marks[len(self.rows)], 3),
                "squared_error": self.model.squared_error(self.theta),
                "cross_entropy": self.model.value(self.theta).loss,
                "n_steps": self.n_steps,
            }
        )
        self.looking_s += time.process_time() - began

    def finished(self) -> list[dict]:
        """All rows; where a method ended by itself its last parameters stand at the marks that it did not reach."""
        while len(self.rows) < N_MARKS:
            self.look()
        return self.rows


def run(settings: Settings) -> list[dict]:
    """Errors at every mark of one run."""
    from optim.threads import single_blas_thread

    model = Autoencoder(digits())
    theta = model.start(np.random.default_rng(settings.seed))
    with single_blas_thread():
        watch = Watch(model, theta, settings.seconds)
        if settings.way == "L-BFGS":
            _by_lbfgs(model, theta, watch, settings.memory)
        else:
            _by_our_loop(model, theta, watch, settings)
    return watch.finished()


def _by_lbfgs(model: Autoencoder, theta: np.ndarray, watch: Watch, memory: int) -> None:
    """SciPy's L-BFGS on all images; its own tests of convergence are switched off."""
    from scipy.optimize import minimize

    def mean(x):
        found = model.value_and_grad(x.astype(model.dtype))
        return found.loss, found.grad.astype(np.float64) / found.weight

    def callback(x):
        if watch.after_step(x):
            raise StopIteration

    options = {"maxcor": memory, "maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
    minimize(mean, theta.astype(np.float64), jac=True, method="L-BFGS-B", callback=callback, options=options)


def _by_our_loop(model: Autoencoder, theta: np.ndarray, watch: Watch, settings: Settings) -> None:
    """Hessian-free or first-order; rates of the latter fall along half a cosine of the seconds."""
    import optim

    def rate(step: int) -> float:
        return settings.learning_rate * 0.5 * (1.0 + np.cos(np.pi * min(1.0, watch.elapsed() / watch.seconds)))

    n = model.n_sequences
    if settings.way == HF:
        method = optim.HessianFree(
            damping=settings.damping,
            cg=settings.max_cg,
            warm_start=settings.warm_start,
            preconditioner=settings.preconditioner,
            curvature_growth=settings.curvature_growth,
            growth_when="always",
        )
        batches = optim.RandomBatches(n, gradient=n, curvature=settings.n_curvature)
    else:
        momentum = {"momentum": optim.RisingMomentum(settings.momentum)} if settings.momentum else {}
        method = getattr(optim, FIRST_ORDER[settings.way])(rate, **momentum)
        batches = optim.Epochs(n, settings.batch_size, seed=settings.seed)
    optim.minimize(
        *(model, theta, method),
        batches=batches,
        max_iterations=10**9,
        callback=lambda progress: watch.after_step(progress.theta),
        rng=np.random.default_rng([settings.seed, 2024]),
    )


def remarks(rows) -> list[str]:
    """Where everyone ends, and in how many seeds Hessian-free ends below each."""
    last = rows[rows["processor_s"] == rows["processor_s"].max()].pivot(
        index="seed", columns="way", values="squared_error"
    )
    if HF not in last:
        return []
    ours = last[HF]
    said = [f"After {rows['processor_s'].max():g} s: {HF} {ours.median():.3f} (median of {len(ours)} seeds)."]
    for way in last.columns.drop(HF):
        said.append(f"{way} {last[way].median():.3f}; {HF} ends below it in {(ours < last[way]).sum()} of {len(ours)}.")
    said.append(
        "Rates of first-order methods fall to 0 at that time: their curves compare with others at their end only."
    )
    return said


def plot(rows):
    """Both errors against the seconds, a line a way."""
    from studies.figures import log_axis, median_line, panels, size_axis

    figure, all_axes = panels(2, width=5.4, height=4.0)
    names = {"squared_error": "squared error of a reconstruction", "cross_entropy": "cross-entropy, nats an image"}
    for axes, (column, label) in zip(all_axes, names.items(), strict=True):
        for i, way in enumerate(dict.fromkeys(rows["way"])):
            table = rows[rows["way"] == way].pivot(index="processor_s", columns="seed", values=column)
            median_line(axes, table.index, table, label=way, index=i)
        size_axis(axes, table.index)
        axes.set_xticks(list(table.index), [f"{mark:.2g}" for mark in table.index])
        axes.set(xlabel="seconds of processor time", ylabel=label)
        log_axis(axes)
    all_axes[1].legend()
    return figure
