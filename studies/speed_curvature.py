"""How fast is a Gauss-Newton product of a recurrent net, beside torch, JAX and our own gradient?

Method. One layer of cells and a linear readout at every step; products of the linearised net with one direction, states
being kept. torch runs the faster of two routes (double backward, forward mode under reverse mode), JAX one
linearisation and its transpose under jit. vᵀ G v must agree to 1e-3. Times are medians of `n_repeats` warm calls in
rounds of three, in one process on the same weights and data. `ratio` is the best rival's time over ours;
`over_gradient` our product's time over our own loss and gradient. "adding" has one output and half squared error,
"char" 65 outputs and softmax. The package hessianfree, which has no gates, takes part in "Elman adding"; with its
softmax the curvature is another.

Rivals are optional: pip install torch jax hessianfree==0.4.0 matplotlib.

Sources. The cases are the project's own. The route by double backward is folklore of reverse-mode libraries. Rasmussen
2016, hessianfree 0.4.0.

Expected run time: about four minutes by default on two cores. Run it alone, with --jobs 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from studies.bench.findings import of_ratios

if TYPE_CHECKING:
    from studies.learners.recurrent_rivals import Problem

NAN = float("nan")
# cell, (units, sequences, steps, inputs), outputs: ratio to reach, and bound on over_gradient
CASES = {
    "Elman char": ("Elman", (128, 32, 100, 65), 65, 1.4, NAN),
    "Elman adding": ("Elman", (100, 1000, 100, 2), 1, 2.0, NAN),
    "LSTM adding": ("LSTM", (100, 1000, 100, 2), 1, 3.0, 1.5),
    "GRU adding": ("GRU", (100, 1000, 100, 2), 1, 3.0, 1.5),
}


@dataclass(frozen=True)
class Settings:
    """One row of the table."""

    case: str
    n_repeats: int = 15
    seed: int = 0


GRID = {
    "quick": [{"case": ["Elman char"], "n_repeats": 3}],
    "default": [{"case": list(CASES)}],
}
EXPECTED_S = {"quick": 5, "default": 220}
COLUMNS = ("ours_ms", "torch_ms", "jax_ms", "hessianfree_ms", "gradient_ms", "ratio", "reach", "over_gradient", "bound")
BY = ("case",)


def run(settings: Settings) -> list[dict]:
    """Medians of one case."""
    from studies.bench.timing import in_turn
    from studies.learners.recurrent_rivals import RIVALS
    from studies.speed_bptt import make

    cell, shape, n_out, reach, bound = CASES[settings.case]
    _, objective, theta, v, problem = make(cell, shape, "float32", n_out, settings.seed)
    linear = objective.linearize(theta)
    ours = float(np.dot(linear.gauss_newton(v).astype(float), v))
    made = {name: rival(problem) for name, rival in RIVALS.items()}
    rivals = {name: pair[1] for name, pair in made.items() if pair is not None and pair[1] is not None}
    if settings.case == "Elman adding" and find_spec("hessianfree"):
        rivals["hessianfree"] = _hessianfree(problem)
    for name, rival in rivals.items():
        if abs(rival() - ours) > 1e-3 * ours:
            raise ArithmeticError(f"expected vᵀ G v = {ours}, got {rival()} from {name}")
    own = {"ours": lambda: linear.gauss_newton(v), "gradient": lambda: objective.value_and_grad(theta)}
    times = in_turn(own | rivals, settings.n_repeats)
    best = min((time for name, time in times.items() if name not in own), default=NAN)
    row = {f"{name}_ms": 1e3 * times.get(name, NAN) for name in ("ours", "torch", "jax", "hessianfree", "gradient")}
    ratios = {"ratio": best / times["ours"], "over_gradient": times["ours"] / times["gradient"]}
    return [row | ratios | {"reach": reach, "bound": bound}]


def _hessianfree(problem: Problem) -> Callable[[], float]:
    """vᵀ G v by the package hessianfree, which divides by the number of sequences."""
    from studies.speed_hessian_free import hessianfree_net, hessianfree_order

    X, y = (np.ascontiguousarray(array.transpose(1, 0, 2)) for array in (problem.X, problem.y))
    net = hessianfree_net(problem.weights, X, y)
    v, out = hessianfree_order(net, problem.v), np.zeros_like(net.W)
    return lambda: len(X) * float(net.calc_G(v, out=out) @ v)


def finding(rows) -> str:
    """In how many cases ours is faster."""
    return of_ratios(rows)


def remarks(rows) -> list[str]:
    """Which rivals were missing."""
    from studies import speed_hessian_free
    from studies.learners.recurrent_rivals import hint

    return [text for text in (hint(), *speed_hessian_free.remarks(rows)) if text]


def plot(rows):
    """Ratio to the best rival beside what was to be reached."""
    from studies.bench.figures import ratios

    return ratios(rows, "case", "Gauss-Newton products: times faster than the best rival")
