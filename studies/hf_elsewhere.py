"""The same Hessian-free steps through NumPy, SciPy, PyTorch and JAX: how far apart are they, and how fast is each?

Method. A network of tanh units with a linear readout learns the addition puzzle in the version "le2015-irnn": two
marked numbers among T, their sum asked for at the end. Whoever computes it, it begins from the same weights and takes
`n_steps` steps of `optim.HessianFree` with the same settings, in float64, with all sequences in every role, on one
thread. What computes losses, gradients and curvature products differs:

- `NumPy`: our kernels, `cells.SequenceObjective` under `optim.minimize`; the others are measured against it.
- `SciPy`: the same kernels behind `fun` and `hessp` of `scipy.optimize.minimize`.
- `torch`: a `torch.nn.RNN` in `optim.for_torch.TorchObjective`. `torch optimizer`: the same module trained by
  `optim.for_torch.HessianFree` and a closure.
- `JAX`: a `lax.scan` in `optim.for_jax.JaxObjective`.

A row is a step: its λ, the loss after it, how far that is from NumPy's (relative), and its seconds. The first step of
JAX contains its compilation. Sums are taken in another order everywhere, so losses may differ by rounding; λ must not.

Tuning. None. Runs are made with and without backtracking along the iterates of conjugate gradients. Where these have
converged, the last of them have the same loss up to the last bits, which backtracking takes as equal: else rounding
would decide where it stops, and losses would differ in the fifth digit. The smaller λ is, the more rounding grows; from
λ = 10 on ten steps are few enough. The second bias of the torch module, which duplicates the first, is frozen at zero,
because it would change the problem's geometry.

Sources. Martens and Sutskever 2012 for the method; Le, Jaitly and Hinton 2015 for the puzzle.

Expected run time: about two minutes by default on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

NEEDS = {"NumPy": None, "SciPy": None, "torch": "torch", "torch optimizer": "torch", "JAX": "jax"}


@dataclass(frozen=True)
class Settings:
    """One framework on one problem."""

    framework: str = "NumPy"
    T: int = 20
    n_units: int = 20
    n_sequences: int = 500
    n_steps: int = 10
    damping: float = 10.0
    backtracking: str = "none"
    max_cg: int = 50
    seed: int = 0


PRESENT = tuple(name for name, module in NEEDS.items() if module is None or find_spec(module))
GRID = {
    "quick": [{"framework": list(PRESENT), "T": 10, "n_units": 5, "n_sequences": 50, "n_steps": 4, "seed": range(1)}],
    "default": [{"backtracking": ["none", "first_rise"], "framework": list(PRESENT), "seed": range(5)}],
}
EXPECTED_S = {"quick": 5, "default": 100}
COLUMNS = ("step", "damping_used", "loss", "difference", "largest_difference", "same_damping", "time_s")
BY = ("backtracking", "framework")


def run(settings: Settings) -> list[dict]:
    """A row for every step of one framework, beside NumPy's."""
    from optim.threads import single_blas_thread

    problem = Problem(settings)
    steps = {
        "NumPy": by_numpy,
        "SciPy": by_scipy,
        "torch": by_torch,
        "torch optimizer": by_torch_optimizer,
        "JAX": by_jax,
    }[settings.framework]
    with single_blas_thread():
        expected, found = by_numpy(problem), steps(problem)
    differences = np.abs(found["loss_after"] / expected["loss_after"] - 1.0)
    return [
        {
            "step": i + 1,
            "damping_used": float(found["damping"][i]),
            "loss": float(found["loss_after"][i]),
            "difference": float(differences[i]),
            "largest_difference": float(differences.max()),
            "same_damping": int(found["damping"][i] == expected["damping"][i]),
            "time_s": float(time_s),
        }
        for i, time_s in enumerate(np.diff(found["seconds"], prepend=0.0))
    ]


class Problem:
    """The network, its data and its weights at the start, for every framework to take what it needs."""

    def __init__(self, settings: Settings):
        from cells import Elman, initial_theta
        from optim import HessianFree
        from studies.learners.training import network_for, objective_on
        from studies.tasks.puzzles import draw

        rng = np.random.default_rng([settings.seed, 2024])
        drawn = draw("addition", "le2015-irnn", n_sequences=settings.n_sequences, T=settings.T, rng=rng)
        self.X, self.y = drawn.inputs.astype(np.float64), drawn.targets.astype(np.float64)
        self.network = network_for(drawn, Elman(drawn.n_inputs, settings.n_units))
        self.theta = initial_theta(self.network, rng=np.random.default_rng(settings.seed))
        self.objective = objective_on(self.network, drawn, dtype=np.float64, n_jobs=1)
        self.weights = {name: array.copy() for name, array in self.network.views(self.theta).items()}
        self.n_steps, self.n_units = settings.n_steps, settings.n_units
        self.choices = {"damping": settings.damping, "cg": settings.max_cg, "backtracking": settings.backtracking}
        self.method = HessianFree(**self.choices)

    def minimised(self, objective: Any, theta: np.ndarray) -> Any:
        """Trace of our own loop."""
        from optim import minimize

        return minimize(objective, theta, self.method, max_iterations=self.n_steps).trace


def by_numpy(problem: Problem) -> Any:
    """Our kernels, our loop."""
    return problem.minimised(problem.objective, problem.theta)


def by_scipy(problem: Problem) -> Any:
    """Our kernels, SciPy's loop. SciPy's ``hessp`` is told x every time; the linearisation is kept while x stays."""
    from scipy.optimize import minimize

    from optim.for_scipy import hessian_free

    kept: dict[str, Any] = {"x": None}

    def mean(x):
        found = problem.objective.value_and_grad(x)
        return found.loss, found.grad / found.weight

    def product(x, v):
        if kept["x"] is None or not np.array_equal(kept["x"], x):
            kept.update(x=x.copy(), linear=problem.objective.linearize(x))
        return kept["linear"].gauss_newton(v) / kept["linear"].weight

    options = {"maxiter": problem.n_steps, "gtol": 0.0, **problem.choices}
    found = minimize(mean, problem.theta, jac=True, hessp=product, method=hessian_free, options=options)
    return found.trace


def torch_net(problem: Problem) -> Any:
    """The network as a module that answers after the last step."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            n_inputs, n_outputs = problem.X.shape[2], problem.y.shape[1]
            self.layer = torch.nn.RNN(n_inputs, problem.n_units, batch_first=True, dtype=torch.float64)
            self.readout = torch.nn.Linear(problem.n_units, n_outputs, dtype=torch.float64)

        def forward(self, X):
            return self.readout(self.layer(X)[0][:, -1])

    net, weights = Net(), {name: torch.from_numpy(array) for name, array in problem.weights.items()}
    with torch.no_grad():
        net.layer.weight_ih_l0.copy_(weights["layer0.input"].T)
        net.layer.weight_hh_l0.copy_(weights["layer0.recurrent"].T)
        net.layer.bias_ih_l0.copy_(weights["layer0.bias"])
        net.layer.bias_hh_l0.zero_().requires_grad_(False)
        net.readout.weight.copy_(weights["readout.weights"].T)
        net.readout.bias.copy_(weights["readout.bias"])
    return net, torch.from_numpy(problem.X), torch.from_numpy(problem.y)


def half_square(outputs: Any, y: Any) -> Any:
    """½ |outputs - y|², summed; tensors and JAX arrays alike."""
    return 0.5 * ((outputs - y) ** 2).sum()


def by_torch(problem: Problem) -> Any:
    """torch's kernels, our loop."""
    from optim.for_torch import TorchObjective

    with one_torch_thread():
        net, X, y = torch_net(problem)
        objective = TorchObjective(net, half_square, X, y)
        return problem.minimised(objective, objective.read())


def by_torch_optimizer(problem: Problem) -> Any:
    """torch's kernels, torch's kind of loop."""
    from optim.for_torch import HessianFree

    with one_torch_thread():
        net, X, y = torch_net(problem)
        optimizer = HessianFree((p for p in net.parameters() if p.requires_grad), **problem.choices)

        def closure(role):
            outputs = net(X)
            return half_square(outputs, y), len(X), outputs

        for _ in range(problem.n_steps):
            optimizer.step(closure)
        return optimizer.trace


def by_jax(problem: Problem) -> Any:
    """JAX's kernels, our loop. Float64 is switched on while it runs."""
    import jax
    import jax.numpy as jnp

    from optim.for_jax import JaxObjective

    def apply(weights, X):
        def step(h, x):
            return jnp.tanh(
                x @ weights["layer0.input"] + weights["layer0.bias"] + h @ weights["layer0.recurrent"]
            ), None

        h, _ = jax.lax.scan(step, jnp.zeros((len(X), problem.n_units)), jnp.swapaxes(X, 0, 1))
        return h @ weights["readout.weights"] + weights["readout.bias"]

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        objective = JaxObjective(apply, half_square, problem.weights, (problem.X, problem.y))
        return problem.minimised(objective, objective.theta0)
    finally:
        jax.config.update("jax_enable_x64", before)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch computes on one thread inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def finding(rows) -> str:
    """How many frameworks take NumPy's path."""
    same = rows[rows["framework"] != "NumPy"].groupby("framework", sort=False)["same_damping"].mean()
    exact, worst = int((same == 1.0).sum()), rows["difference"].max()
    return f"{exact} of {len(same)} frameworks have NumPy's λ at every step; losses differ by {worst:.1e} or less."


def remarks(rows) -> list[str]:
    """How far each is from NumPy, and which are missing."""
    said = []
    for (rule, name), here in rows[rows["framework"] != "NumPy"].groupby(["backtracking", "framework"], sort=False):
        largest, same, n = here["difference"].max(), int(here["same_damping"].sum()), len(here)
        said.append(
            f"{name}, backtracking {rule}: the λ of NumPy in {same} of {n} steps; losses differ by at most "
            f"{largest:.1e}, relative."
        )
    missing = {module for name, module in NEEDS.items() if name not in PRESENT}
    hints = [f"{module} is not installed and was left out; run: pip install {module}" for module in sorted(missing)]
    return said + hints


def plot(rows):
    """λ of every step, differences of the losses, and seconds per step."""
    from studies.bench.figures import COLOURS, FAINT, MARKERS, log_axis, panels, strip

    names = [name for name in NEEDS if name in set(rows["framework"])]
    figure, (left, middle, right) = panels(3, width=4.4)
    one = rows[rows["seed"] == rows["seed"].min()]
    for i, name in enumerate(names):
        size = 4 + 2.5 * (len(names) - i)  # rings around one another: all must be seen
        for rule, style in (("none", "-"), ("first_rise", "--")):
            here = one[(one["framework"] == name) & (one["backtracking"] == rule)]
            if style == "-":
                ring = {"color": COLOURS[i], "label": name, "fillstyle": "none", "markersize": size}
                left.plot(here["step"], here["damping_used"], MARKERS[i], **ring)
            here = rows[(rows["framework"] == name) & (rows["backtracking"] == rule)]
            if name != "NumPy" and len(here):
                worst = here.groupby("step")["difference"].max().clip(lower=1e-17)
                label = f"{name}, backtracking" if style == "--" else name
                middle.plot(worst.index, worst, MARKERS[i] + style, color=COLOURS[i], label=label, markersize=4)
    left.set(xlabel="step", ylabel="λ", title=f"damping, seed {one['seed'].iloc[0]}, no backtracking")
    left.legend()
    log_axis(left)
    middle.set(xlabel="step", ylabel="relative difference, worst seed", title="loss against NumPy's")
    middle.axhline(1e-6, color=COLOURS[6], linewidth=0.8)
    middle.set_yscale("log")
    middle.set_ylim(5e-18, 1.0)
    middle.legend(fontsize=7, ncols=2, loc="upper left")
    for axes in (left, middle):
        axes.set_xticks(sorted(rows["step"].unique()))
    labels, later = {name: name.replace(" ", "\n") for name in names}, rows[rows["step"] > 1].groupby("framework")
    strip(
        right,
        {labels[name]: later.get_group(name)["time_s"] for name in names},
        colours={labels[name]: COLOURS[i] for i, name in enumerate(names)},
    )
    first = rows[rows["step"] == 1].groupby("framework")["time_s"].median()
    right.plot(range(len(names)), first[names], "D", color=FAINT, fillstyle="none", label="first step")
    right.legend(loc="upper left")
    log_axis(right)
    right.set(ylabel="seconds per step", title="time of a step")
    return figure
