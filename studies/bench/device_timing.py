"""Times on a GPU, by its own events: what it computes is not there yet when a call returns."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np


def cupy_module() -> Any:
    """CuPy, or what stands in for it."""
    from optim.device import namespace, to_device

    return namespace(to_device(np.zeros(1)))


def device_seconds(call: Any, n_repeats: int) -> float:
    """Median seconds of a call by the events of the device, after three calls that do not count."""
    cupy, times = cupy_module(), []
    for i in range(n_repeats + 3):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        call()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(1e-3 * cupy.cuda.get_elapsed_time(begin, end))
    return statistics.median(times)


def torch_seconds(call: Any, n_repeats: int) -> float:
    """Median seconds of a call of PyTorch by its events, after three calls that do not count."""
    import torch

    times = []
    for i in range(n_repeats + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(1e-3 * begin.elapsed_time(end))
    return statistics.median(times)


def torch_loop_seconds(W: Any, driven: np.ndarray, n_repeats: int) -> float | None:
    """Median seconds of a sparse product and a tanh per step in PyTorch, by its events; None where it has no CUDA.

    Parameters
    ----------
    W : (N, N) CSR
    driven : (T, N)
        What is added at each step.
    n_repeats : int
    """
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    W = W.tocsr().astype(np.float32)
    parts = (torch.from_numpy(part.astype(np.int64)) for part in (W.indptr, W.indices))
    matrix = torch.sparse_csr_tensor(*parts, torch.from_numpy(W.data), W.shape, device="cuda")
    p = torch.from_numpy(driven.astype(np.float32)).cuda()

    def loop():
        x = torch.zeros(W.shape[0], device="cuda")
        for added in p:
            x = x + 0.4 * (torch.tanh(matrix @ x + added) - x)

    return torch_seconds(loop, n_repeats)
