"""Networks on a GPU beside the same on the processor, and beside PyTorch's: errors, bits, and times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from studies.bench.device_rows import RELATIVE, relative_error, row
from studies.bench.device_timing import device_seconds, torch_seconds

DAMPING = 0.3  # structural, in products
SCANNED = {  # the largest that a block of an H200 holds among them
    "quick": (("elman", 3, 3),),
    "gpu": (
        ("elman", 97, 37),
        ("elman", 230, 9),
        ("lstm", 33, 37),
        ("lstm", 115, 9),
        ("gru", 65, 300),
        ("mut3", 97, 5),
    ),
}


class Batch(NamedTuple):
    """Random sequences and targets (n_steps, 1) of each."""

    X: list[np.ndarray]
    y: list[np.ndarray]

    @classmethod
    def random(cls, lengths: np.ndarray, n_in: int, seed: int) -> Batch:
        """One of these lengths."""
        rng = np.random.default_rng(seed)
        return cls(*([rng.standard_normal((T, width)) for T in lengths] for width in (n_in, 1)))

    def objective(self, network: Any, dtype: str, device: str) -> Any:
        """The network's loss on them."""
        from cells import SequenceObjective

        return SequenceObjective(network, self.X, self.y, dtype=np.dtype(dtype), device=device)


def random_parameters(network: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A point and a direction, float64; weights of a size that keeps units off their bounds."""
    width = max(layer.n_units for layer in network.layers)
    rng = np.random.default_rng(seed)
    return rng.standard_normal(network.n_params) * 0.6 / width**0.5, rng.standard_normal(network.n_params)


def derivatives(objective: Any, theta: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The gradient and behind it a damped Gauss-Newton product, each divided by its largest element."""
    product = objective.linearize(theta).gauss_newton(v, structural=DAMPING)
    parts = objective.value_and_grad(theta).grad, product
    return np.concatenate([part / abs(part).max() for part in parts])


def derivatives_there_and_here(network: Any, lengths: np.ndarray, dtype: str, seed: int) -> tuple[Any, Any, bool]:
    """Derivatives in ``dtype`` on the GPU, in float64 on the processor, and whether the GPU repeats its bits."""
    batch, (theta, v) = Batch.random(lengths, network.n_in, seed), random_parameters(network, seed)
    expected = derivatives(batch.objective(network, "float64", "cpu"), theta, v)
    there = batch.objective(network, dtype, "gpu")
    runs = [derivatives(there, theta.astype(dtype), v.astype(dtype)) for _ in range(2)]
    return runs[0], expected, np.array_equal(*runs)


def runs_by_kernels(cell: Any, n_sequences: int, dtype: str) -> bool:
    """Whether the cell's passes over so many sequences are kernels' work on this card."""
    from cells.device.device_places import Places
    from cells.device.device_scan import KernelScan, scan_of
    from cells.passes.rows import Rows
    from optim.device import namespace, to_device

    places = Places(Rows(np.ones(n_sequences, np.int64)), namespace(to_device(np.zeros(1))))
    return isinstance(scan_of(cell, places, np.dtype(dtype)), KernelScan)


def seconds_of(cell: Any, n_sequences: int, n_steps: int, n_repeats: int, seed: int) -> dict[str, float]:
    """Seconds of a gradient and of a Gauss-Newton product in float32, ours and, where it has CUDA, PyTorch's."""
    from cells import Network
    from optim.device import to_device

    network = Network(cell, n_out=1)
    batch = Batch.random(np.full(n_sequences, n_steps), cell.n_in, seed)
    objective = batch.objective(network, "float32", "gpu")
    theta, v = (to_device(vector, np.float32) for vector in random_parameters(network, seed))
    there = objective.linearize(theta)
    found = {
        "gradient": device_seconds(lambda: objective.value_and_grad(theta), n_repeats),
        "Gauss-Newton product": device_seconds(lambda: there.gauss_newton(v), n_repeats),
    }
    kind = {"Elman": "RNN", "LSTM": "LSTM"}[type(cell).__name__]
    calls = torch_calls(kind, cell.n_units, batch, "cuda") or {}
    return found | {name: torch_seconds(call, n_repeats) for name, call in calls.items()}


def torch_calls(kind: str, n_units: int, batch: Batch, place: str) -> dict[str, Callable[[], Any]] | None:
    """The same of ``torch.nn.RNN`` or ``LSTM``: by cuDNN, and by differentiating twice, which cuDNN cannot."""
    try:
        import torch
    except ImportError:
        return None
    if place == "cuda" and not torch.cuda.is_available():
        return None
    X, y = (torch.tensor(np.stack(part, 1), dtype=torch.float32, device=place) for part in batch)
    net = getattr(torch.nn, kind)(X.shape[2], n_units).to(place)
    readout = torch.nn.Linear(n_units, 1).to(place)
    parameters = [*net.parameters(), *readout.parameters()]
    v = [torch.randn_like(part) for part in parameters]

    def gradient():
        loss = 0.5 * ((readout(net(X)[0]) - y) ** 2).sum()
        return torch.autograd.grad(loss, parameters)

    def product():
        with torch.backends.cudnn.flags(enabled=False):
            outputs = readout(net(X)[0])
            u = torch.zeros_like(outputs, requires_grad=True)
            pulled = torch.autograd.grad(outputs, parameters, u, create_graph=True)
            moved = torch.autograd.grad(pulled, u, v, retain_graph=True)[0]
            return torch.autograd.grad(outputs, parameters, moved)

    return {"gradient by cuDNN": gradient, "Gauss-Newton product by PyTorch": product}


# ------------------------------------------------------------------------------------------------- what is checked


def cell_rows(settings: Any) -> list[dict]:
    """Derivatives of a small network of each cell."""
    from cells import Network
    from cells.estimators.architecture import CELLS

    rows = []
    for name in ["elman"] if settings.standin else CELLS:
        network = Network(CELLS[name](2, 3), n_out=1)
        got, expected, _ = derivatives_there_and_here(network, np.full(3, 5), "float64", settings.seed)
        rows.append(row(name, relative_error(got, expected), "relative", RELATIVE["float64"]))
    return rows


def scan_rows(settings: Any) -> list[dict]:
    """Derivatives of cells by kernels, over ragged batches, in both precisions, twice."""
    from cells import Network
    from cells.estimators.architecture import CELLS

    rows = []
    for name, H, B in SCANNED["quick" if settings.standin else "gpu"]:
        cell, lengths = CELLS[name](2, H), 1 + np.arange(B) % (4 if settings.standin else 20)
        for dtype, bound in RELATIVE.items():
            if not runs_by_kernels(cell, B, dtype):
                rows.append(row(f"{name}, {H} units, {dtype}: step by step, its weights do not fit"))
                continue
            got, expected, is_same = derivatives_there_and_here(Network(cell, n_out=1), lengths, dtype, settings.seed)
            rows.append(row(f"{name}, {H} units, {dtype}", relative_error(got, expected), "relative", 10 * bound))
            rows.append(row(f"{name}, {H} units, {dtype}, other bits", 1 - is_same, "runs", 0))
    return rows


def network_times(settings: Any) -> list[dict]:
    """Milliseconds of gradients and products of a tanh network and of an LSTM."""
    from cells import LSTM, Elman

    return [
        row(f"{type(cell).__name__}, {name}", 1e3 * seconds, "ms")
        for cell in (Elman(2, 100), LSTM(2, 100))
        for name, seconds in seconds_of(cell, 1000, 200, settings.n_repeats, settings.seed).items()
    ]
