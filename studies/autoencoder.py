"""Does Hessian-free training of a deep autoencoder end below first-order methods and L-BFGS at equal seconds?

Method. An autoencoder 64-32-16-8-16-32-64 of logistic units learns scikit-learn's 1,797 handwritten digits, intensities
between 0 and 1. What is minimised is the cross-entropy of every pixel; what is reported is the squared error of a
reconstruction, summed over its 64 pixels and averaged over all 1,797 images, as the papers do, and the cross-entropy
beside it. This is training error: the question is which method minimises. Everyone has the same float32 arithmetic on
one thread, the same objective and the same start: 15 incoming weights a unit from normal(0, 1), the others and the
biases 0.

Seconds are those of the processor, so that a busy machine changes nothing, and looking at the error is not counted. At
every mark the error is that of the last parameters reached before it. Rows depend on the speed of the machine.

The Hessian-free method is shown with two preconditioners: Martens' diagonal of squared gradients, and the Kronecker
factors of every layer with the best diagonal between their eigenvectors (``studies.learners.logistic_layers``), which
the objective brings along as its own.

Tuning. On one seed that is not among those reported, for the squared error after 10 s, about half of it in float64. Of
Nesterov's and Adam's settings nearly twenty each were tried: rates in steps of 2 or 3 on either side of the best,
batches of 25 to 200, a final momentum of 0.9 to 0.999 that rises as in Sutskever et al. Of classical momentum's five,
with batches of 50; rates of 0.1 diverge. All first-order rates fall along half a cosine of the seconds, so that these
curves are low at their end only; a curve for fewer seconds would fall sooner. A constant rate was tried once, for Adam
at 0.01, and was no worse (0.583 against 0.591). L-BFGS: the best memory of 10, 30 and 100; SciPy's keeps its own
vectors in float64. Of the Hessian-free method's settings with the diagonal sixty-one, more than of any rival's: first
λ, bound on conjugate gradients, iterates kept, backtracking, warm start, the exponent, batches for curvature and
acceptance, damping's rule. With the Kronecker factors sixteen: bounds of 15 to 80, curvature on 300 to 1,797 images, a
warm start of 0.8, growth of 2 % a step, an exponent of 0.75, the plain product of the factors' eigenvalues. With bounds
of at most 50 and at least 400 images all ended between 0.461 and 0.487, on three seeds apart from those reported, most
on the first of them alone; Nesterov, three more of its settings beside them, at 0.508 to 0.557.

Sources. Hinton and Salakhutdinov 2006 for the problem; Martens 2010, "Deep learning via Hessian-free optimization", for
the method and the start; Sutskever, Martens, Dahl and Hinton 2013 for momentum on it; Martens and Grosse 2015 and
George et al. 2018 for the factors. Their autoencoders are larger, and trained for hours.

Expected run time: about six minutes by default on two cores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from studies.bench.findings import Ranking
from studies.learners.logistic_layers import Autoencoder

N_MARKS = 10
HF, DIAGONAL = "Hessian-free", "Hessian-free, diagonal"
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
    max_cg: int = 20
    warm_start: float = 0.95
    n_curvature: int = 400
    curvature_growth: float = 1.01
    preconditioner: str | None = "own"
    seed: int = 0


GRID = {
    "quick": [
        {"way": [HF, "Nesterov", "L-BFGS"], "learning_rate": 0.1, "momentum": 0.99, "seconds": 0.6, "seed": range(1)}
    ],
    "default": [
        {"way": HF, "seed": range(5)},
        {"way": DIAGONAL, "preconditioner": "squared_gradients", "max_cg": 80, "n_curvature": 300, "seed": range(5)},
        {"way": "Nesterov", "learning_rate": 0.2, "momentum": 0.99, "batch_size": 50, "seed": range(5)},
        {"way": "classical momentum", "learning_rate": 0.03, "momentum": 0.999, "batch_size": 50, "seed": range(5)},
        {"way": "Adam", "learning_rate": 0.03, "batch_size": 100, "seed": range(5)},
        {"way": "L-BFGS", "seed": range(5)},
    ],
}  # fmt: skip
EXPECTED_S = {"quick": 4, "default": 350}
COLUMNS = ("processor_s", "squared_error", "cross_entropy", "n_steps")
BY = ("way", "processor_s")
RANKING = Ranking("squared_error", last="processor_s")


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
    if settings.way in (HF, DIAGONAL):
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
    """Both errors against the seconds, a line per way."""
    from studies.bench.figures import log_axis, median_line, panels, size_axis

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
