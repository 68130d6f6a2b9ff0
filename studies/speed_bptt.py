"""How fast are loss and gradient of a recurrent net, beside torch, JAX and a plain NumPy twin?

Method. One layer of cells and a linear readout to one number at every step, half squared error, all parameters: what a
training step computes. All contestants in one process on the same weights and data, on all threads they take by
themselves, in rounds of three, medians of `n_repeats` warm calls after loss and gradient were compared. The norm of the
recurrent gradient must agree to 1e-3 (float32) or 1e-8. `ratio` is the best rival's time over ours, `reach` what the
project set itself. GRU has the reset gate after the matrix, as in torch.

Rivals are optional: pip install torch jax.

Sources. The cases are the project's own; torch's float32 LSTM is oneDNN's fused kernel.

Expected run time: about six minutes by default on two cores. Run it alone, with --jobs 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.bench.findings import of_ratios

NAN = float("nan")
# cell, (units, sequences, steps, inputs), precision: ratio to reach
CASES = {
    ("LSTM", (32, 1, 50, 8), "float32"): 6.0,
    ("LSTM", (100, 1, 25, 65), "float32"): 3.0,
    ("LSTM", (128, 32, 100, 65), "float32"): 1.1,
    ("LSTM", (256, 64, 100, 65), "float32"): 1.1,
    ("LSTM", (512, 64, 100, 65), "float32"): 1.0,
    ("LSTM", (100, 1000, 100, 2), "float32"): 1.8,
    ("LSTM", (128, 32, 100, 65), "float64"): 1.6,
    ("LSTM", (256, 64, 100, 65), "float64"): 1.6,
    ("GRU", (128, 32, 100, 65), "float32"): 2.0,
    ("GRU", (100, 1000, 100, 2), "float32"): 2.0,
    ("Elman", (128, 32, 100, 65), "float32"): 1.5,
    ("Elman", (100, 1000, 100, 2), "float32"): 2.5,
}


@dataclass(frozen=True)
class Settings:
    """One row of the table."""

    case: str
    n_repeats: int = 15
    seed: int = 0


def name_of(cell: str, shape: tuple, dtype: str) -> str:
    """A case in words."""
    return f"{cell} {'x'.join(map(str, shape))} {dtype}"


NAMES = {name_of(*case): case for case in CASES}
GRID = {
    "quick": [{"case": [name_of("Elman", (128, 32, 100, 65), "float32")], "n_repeats": 3}],
    "default": [{"case": list(NAMES)}],
}
EXPECTED_S = {"quick": 4, "default": 340}
COLUMNS = ("ours_ms", "torch_ms", "jax_ms", "numpy_ms", "ratio", "reach")
BY = ("case",)


def make(cell: str, shape: tuple, dtype: str, n_out: int, seed: int):
    """Network, objective, theta, v and the rivals' problem of a case."""
    from cells import GRU, LSTM, Elman, Network, SequenceObjective
    from optim.threads import n_threads
    from studies.learners.recurrent_rivals import Problem

    H, B, T, I = shape
    rng = np.random.default_rng(seed)
    layer = {"Elman": Elman, "LSTM": LSTM, "GRU": lambda I, H: GRU(I, H, reset_after=True)}[cell](I, H)
    network = Network(layer, n_out=n_out, loss="squared" if n_out == 1 else "softmax")
    X = rng.normal(size=(B, T, I)).astype(dtype)
    y = rng.normal(size=(B, T, 1)).astype(dtype) if n_out == 1 else rng.integers(0, n_out, (B, T))
    theta = (rng.normal(size=network.n_params) / np.sqrt(2 * H)).astype(dtype)
    v = rng.normal(size=network.n_params).astype(dtype)
    order = (1, 0, 2)[: y.ndim]
    problem = Problem(
        cell,
        *({name: view.copy() for name, view in network.views(vector).items()} for vector in (theta, v)),
        *(np.ascontiguousarray(X.transpose(1, 0, 2)), np.ascontiguousarray(y.transpose(order)), n_threads()),
    )
    return network, SequenceObjective(network, X, y), theta, v, problem


def run(settings: Settings) -> list[dict]:
    """Medians of one case."""
    from studies.bench.timing import in_turn
    from studies.learners.recurrent_rivals import RIVALS

    cell, shape, dtype = NAMES[settings.case]
    network, objective, theta, _, problem = make(cell, shape, dtype, 1, settings.seed)
    found = objective.value_and_grad(theta)
    norm = float(np.linalg.norm(network.views(found.grad)["layer0.recurrent"].astype(float)))
    made = {name: rival(problem) for name, rival in RIVALS.items()}
    rivals = {name: pair[0] for name, pair in made.items() if pair is not None}
    tolerance = 1e-3 if dtype == "float32" else 1e-8
    for name, rival in rivals.items():
        loss, rival_norm = rival()
        if abs(rival_norm - norm) > tolerance * norm or abs(loss - found.loss_sum) > tolerance * found.loss_sum:
            raise ArithmeticError(
                f"expected loss {found.loss_sum} and norm {norm}, got {loss}, {rival_norm} from {name}"
            )
    times = in_turn({"ours": lambda: objective.value_and_grad(theta)} | rivals, settings.n_repeats)
    best = min((time for name, time in times.items() if name != "ours"), default=NAN)
    row = {f"{name}_ms": 1e3 * times.get(name, NAN) for name in ("ours", "torch", "jax", "numpy")}
    return [row | {"ratio": best / times["ours"], "reach": CASES[cell, shape, dtype]}]


def finding(rows) -> str:
    """In how many cases ours is faster."""
    return of_ratios(rows)


def remarks(rows) -> list[str]:
    """Which rivals were missing."""
    from studies.learners.recurrent_rivals import hint

    return [hint()] if hint() else []


def plot(rows):
    """Ratio to the best rival beside what was to be reached."""
    from studies.bench.figures import ratios

    return ratios(rows, "case", "loss and gradient: times faster than the best rival")
