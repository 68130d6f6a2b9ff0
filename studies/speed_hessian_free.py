"""How long does one step of the Hessian-free method take, beside the package hessianfree?

Method. "adding": the adding problem with 50 steps, 1,000 sequences for every role, a tanh net 2-100-1 in float32, 30
iterations of CG without a rule that ends them sooner, structural damping; one step from the same weights, with λ and μ
the same, again and again. Both count curvature at the last step only and penalise squared changes of hidden values,
summed over time: loss, slope and vᵀ (G + λ I + λμ S) v must agree to 1e-3 before anything is timed, and both must make
the same number of iterations. Both look for the best iterate backwards by the loss, and search the line. What differs:
hessianfree reads its outputs out at every step, has a bias more for the first step (0 here), keeps fewer iterates (6,
7, 10, ... where ours keeps 1, 2, 3, 4, ...), and begins CG by a product with zero. Medians of `n_repeats` steps in
rounds of three, in one process, on all threads that each takes by itself. `ratio` is its time over ours; 3 is what the
project set itself. "temporal order": 10,000 sequences of 50 to 55 steps for the gradient, 1,000 of them for curvature
and acceptance, drawn anew for every step, at most 100 iterations of CG; ours alone, because hessianfree knows one
batch only: "inf" stands for what was not run.

Rivals are optional: pip install hessianfree==0.4.0 matplotlib. It is NumPy on the CPU.

Sources. Rasmussen 2016, hessianfree 0.4.0, from which the rival is run as it is, with one loss of its kind that has no
curvature where there is no target (its own has). Le, Jaitly and Hinton 2015 for the adding problem, Martens and
Sutskever 2011 for temporal order and the sizes of its batches.

Expected run time: about five minutes by default on two cores. Run it alone, with --jobs 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from studies.bench.findings import of_ratios

NAN = float("nan")
INSTALL = "pip install hessianfree==0.4.0 matplotlib"
N_UNITS, DAMPING, STRUCTURAL = 100, 0.1, 1 / 30
CASES = ("adding", "temporal order")


@dataclass(frozen=True)
class Settings:
    """One row of the table; ``n_sequences`` are those for curvature."""

    case: str
    n_sequences: int = 1000
    T: int = 50
    n_cg: int = 30
    n_repeats: int = 15
    seed: int = 0


GRID = {
    "quick": [{"case": list(CASES), "n_sequences": 50, "T": 20, "n_cg": 10, "n_repeats": 3}],
    "default": [{"case": "adding"}, {"case": "temporal order", "n_cg": 100}],
}
EXPECTED_S = {"quick": 5, "default": 300}
COLUMNS = ("ours_s", "hessianfree_s", "ratio", "cg_iterations")
BY = ("case",)


def run(settings: Settings) -> list[dict]:
    """Medians of one case."""
    from studies.bench.timing import in_turn

    made = {"adding": _adding, "temporal order": _temporal_order}[settings.case](settings)
    times = in_turn({name: step for name, (step, _) in made.items()}, settings.n_repeats)
    counts = {name: count() for name, (_, count) in made.items()}
    if len(set(counts.values())) > 1:
        raise ArithmeticError(f"expected the same number of iterations of CG from all, got {counts}")
    ours, other = times["ours"], times.get("hessianfree", NAN)
    return [{"ours_s": ours, "hessianfree_s": other, "ratio": other / ours, "cg_iterations": counts["ours"]}]


Contestant = tuple[Callable[[], Any], Callable[[], int]]  # one step, and how many iterations the last one made


def _adding(settings: Settings) -> dict[str, Contestant]:
    from cells import Elman, initial_theta
    from studies.learners.training import network_for, objective_on
    from studies.tasks.puzzles import draw

    rng = np.random.default_rng(settings.seed)
    drawn = draw("addition", "le2015-irnn", n_sequences=settings.n_sequences, T=settings.T, rng=rng)
    network = network_for(drawn, Elman(drawn.n_inputs, N_UNITS))
    objective = objective_on(network, drawn, structural_distance="squared_values")
    theta = initial_theta(network, "sparse", rng=rng, dtype=np.float32)
    contestants = {"ours": _ours(settings, objective, theta, lambda: None)}
    if find_spec("hessianfree") is None:
        return contestants
    targets = np.full((*drawn.inputs.shape[:2], 1), np.nan, np.float32)
    targets[:, -1] = drawn.targets
    net = hessianfree_net(network.views(theta), drawn.dense(), targets, structural=STRUCTURAL, n_cg=settings.n_cg)
    _compare(network, objective, theta, net, rng)
    return contestants | {"hessianfree": _theirs(net)}


def _temporal_order(settings: Settings) -> dict[str, Contestant]:
    from cells import Elman, initial_theta
    from optim import RandomBatches
    from studies.learners.training import network_for, objective_on
    from studies.tasks.puzzles import draw

    rng, n = np.random.default_rng(settings.seed), 10 * settings.n_sequences
    drawn = draw("temporal order", "martens2011-thesis", n_sequences=n, T=settings.T, rng=rng)
    network = network_for(drawn, Elman(drawn.n_inputs, N_UNITS))
    theta = initial_theta(network, "sparse", rng=rng, dtype=np.float32)
    policy = RandomBatches(n, gradient=n, curvature=settings.n_sequences)
    return {"ours": _ours(settings, objective_on(network, drawn), theta, lambda: policy(rng, 0))}


def _ours(settings: Settings, objective: Any, theta: np.ndarray, batches: Callable[[], Any]) -> Contestant:
    from optim import CGSettings, HessianFree, LevenbergMarquardt

    method = HessianFree(
        damping=LevenbergMarquardt(DAMPING, model="damped"),
        structural=STRUCTURAL,
        cg=CGSettings(max_iterations=settings.n_cg, progress=0.0),
        check=False,  # the rival looks at nothing either, and a run does so once only
    )
    last: dict[str, Any] = {}

    def step() -> None:
        last.update(method.step(objective, theta.copy(), method.init(theta), batches=batches())[2].row)

    return step, lambda: last["cg_iterations"]


# ------------------------------------------------------------------------------------------------ the rival


def hessianfree_net(
    weights: dict[str, np.ndarray], X: np.ndarray, y: np.ndarray, *, structural: float = 0.0, n_cg: int = 30
) -> Any:
    """A tanh net with a linear readout as the package hessianfree has it, its optimizer set, its batch in place.

    Parameters
    ----------
    weights : of a network of one Elman layer, as ``cells.Network`` names them, float32
    X : (B, T, I) float32
    y : (B, T, 1) float32, NaN where there is no target; half squared error
    """
    import hessianfree

    class SquaredError(hessianfree.loss_funcs.SquaredError):
        @hessianfree.loss_funcs.output_loss
        def d2_loss(self, output, targets):
            return (~np.isnan(targets)).astype(output.dtype)

    (I, H), kinds = weights["layer0.input"].shape, hessianfree.nl
    optimizer = hessianfree.opt.HessianFree(CG_iter=n_cg, init_damping=DAMPING)
    losses = [SquaredError()]
    if structural > 0.0:
        losses.append(hessianfree.loss_funcs.StructuralDamping(structural, optimizer=optimizer))
    net = hessianfree.RNNet(
        [I, H, 1], layers=[kinds.Linear(), kinds.Tanh(), kinds.Linear()], loss_type=losses, rng=np.random.RandomState(0)
    )
    net.optimizer = optimizer
    net.W = hessianfree_order(net, weights)
    net.cache_minibatch(X, y)
    return net


def hessianfree_order(net: Any, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Our parameters as its vector; the bias that it adds at the first step only is 0."""
    flat = np.zeros_like(net.W)
    for pair, (matrix, bias) in {
        (0, 1): ("layer0.input", "layer0.bias"),
        (1, 2): ("readout.weights", "readout.bias"),
        (1, 1): ("layer0.recurrent", None),
    }.items():
        W, b = net.get_weights(flat, pair)
        W[...] = weights[matrix]
        if bias is not None:
            b[...] = weights[bias]
    return flat


def _compare(network: Any, objective: Any, theta: np.ndarray, net: Any, rng: np.random.Generator) -> None:
    """Loss, gradient and damped curvature of both, on one direction."""
    v = rng.normal(size=theta.size).astype(np.float32)
    found, B = objective.value_and_grad(theta), objective.n_sequences
    product = objective.linearize(theta).gauss_newton(v, structural=DAMPING * STRUCTURAL)
    ours = found.loss_sum, float(found.grad @ v), float(product @ v) + B * DAMPING * float(v @ v)
    their_v = hessianfree_order(net, network.views(v))
    theirs = [net.error(), net.calc_grad() @ their_v, net.calc_G(their_v, damping=DAMPING) @ their_v]
    for name, own, other in zip(("loss", "slope", "curvature"), ours, theirs, strict=True):
        if abs(own - B * other) > 1e-3 * abs(own):
            raise ArithmeticError(f"expected {name} {own}, got {B * other} from hessianfree")


def _theirs(net: Any) -> Contestant:
    start, X, y, optimizer = net.W.copy(), net.inputs, net.targets, net.optimizer

    def step() -> None:
        net.W[:] = start
        optimizer.damping, optimizer.init_delta = DAMPING, None
        net.cache_minibatch(X, y)
        net.W += optimizer.compute_update()

    return step, lambda: optimizer.plots["CG iterations"][-1] + 1


def finding(rows) -> str:
    """In how many cases ours is faster."""
    return of_ratios(rows)


def remarks(rows) -> list[str]:
    """What to install so that the rival runs."""
    return [] if find_spec("hessianfree") else [f"The rival is not installed. To add it: {INSTALL}"]


def plot(rows):
    """Seconds of a step."""
    from studies.bench.figures import COLOURS, panels

    table = rows.groupby("case", sort=False)[["ours_s", "hessianfree_s"]].median().iloc[::-1]
    figure, (axes,) = panels(1, width=7.5)
    figure.set_size_inches(7.5, 0.7 * len(table) + 1.2)
    for place, (column, name) in enumerate({"ours_s": "this package", "hessianfree_s": "hessianfree 0.4.0"}.items()):
        where = np.arange(len(table)) + 0.2 - 0.4 * place
        axes.barh(where, table[column], height=0.35, color=COLOURS[place], label=name)
    axes.set_yticks(range(len(table)), list(table.index))
    axes.set(xlabel="seconds per step", title="one step of the Hessian-free method")
    axes.legend(loc="lower right")
    return figure
