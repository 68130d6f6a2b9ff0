"""Tensors of a torch model as one NumPy vector, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any  # torch.Tensor, which importing this file does not load


class ParameterSpace:
    """The way between one NumPy vector and tensors of given shapes, in their order.

    Parameters
    ----------
    tensors : list of dense float32 or float64 tensors, all of one dtype

    Attributes
    ----------
    size : int
        P.
    dtype : numpy.dtype

    Raises
    ------
    TypeError, ValueError
        For tensors that do not go together, or hold no values.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        import torch

        _check(tensors)
        self.tensors = list(tensors)
        self.sizes = [tensor.numel() for tensor in tensors]
        self.size = sum(self.sizes)
        self.dtype = np.dtype(np.float32 if tensors[0].dtype == torch.float32 else np.float64)

    def split(self, vector: np.ndarray) -> list[Tensor]:
        """Tensors with the values of ``vector``; on a CPU they share its memory if it may be written to."""
        import torch

        if vector.dtype != self.dtype:
            raise TypeError(
                f"theta must be {self.dtype}, as the module's parameters are, got {vector.dtype}; convert it by "
                f"theta.astype(numpy.{self.dtype}), or the module by .float() or .double()."
            )
        whole = torch.from_numpy(vector if vector.flags.writeable else vector.copy())
        parts = torch.split(whole, self.sizes)
        return [part.view(like.shape).to(like.device) for part, like in zip(parts, self.tensors, strict=True)]

    def join(self, tensors: Sequence[Tensor | None]) -> np.ndarray:
        """(P,) array with the values of ``tensors``, zeros where there is None; sparse gradients are made dense."""
        joined, start = np.zeros(self.size, self.dtype), 0
        for tensor, size in zip(tensors, self.sizes, strict=True):
            if tensor is not None:
                values = tensor.detach()
                dense = values.to_dense() if values.is_sparse else values
                joined[start : start + size] = dense.reshape(-1).cpu().numpy()
            start += size
        return joined


def _check(tensors: Sequence[Tensor]) -> None:
    import torch

    if not tensors:
        raise TypeError(
            "parameters must be float32 or float64 tensors of one dtype, and at least one, got none; give "
            "module.parameters(), and leave some that require gradients."
        )
    kinds = sorted({str(tensor.dtype) for tensor in tensors})
    if kinds not in (["torch.float32"], ["torch.float64"]):
        raise TypeError(
            f"parameters must be float32 or float64 tensors of one dtype, got {', '.join(kinds)}; convert the module "
            "with .float() or .double()."
        )
    empty_handed = [tensor for tensor in tensors if torch.nn.parameter.is_lazy(tensor) or tensor.is_meta]
    if empty_handed:
        came = "of a lazy module" if torch.nn.parameter.is_lazy(empty_handed[0]) else "on the device 'meta'"
        raise ValueError(
            f"parameters must hold values, got {len(empty_handed)} of {len(tensors)} {came}; run a lazy module once, "
            "and give one on 'meta' memory by .to_empty(device=...) and values."
        )
    layouts = sorted({str(tensor.layout) for tensor in tensors} - {"torch.strided"})
    if layouts:
        raise TypeError(f"parameters must be dense tensors, got {', '.join(layouts)}; make them dense by .to_dense().")
    if not any(tensor.numel() for tensor in tensors):
        raise ValueError(
            f"parameters must hold at least one number, got shapes {', '.join(str(tuple(t.shape)) for t in tensors)}; "
            "give a module with sizes above 0."
        )
