"""Gauss-Newton products of a torch model: J v by one of several routes, the rest by torch's own backward pass.

With outputs z(θ) and hidden states h(θ), J their derivatives, H the second derivative of the loss by z and D ≥ 0 a
diagonal, a product is::

    Rz, Rh = J v                        forward, by a route of ``ROUTES``
    u      = (H Rz, λμ D Rh)            H Rz by differentiating the slope of the loss once more
    G v    = Jᵀ u                       backward, through the graph that the forward pass left

Routes to J v, none of which needs the model to be written in any particular way:

- "forward": forward-mode differentiation, which runs the model again for every product. Fused LSTM kernels (float32 on
  a CPU, cuDNN) do not have it.
- "double backward": Jᵀw is linear in w, so its derivative by w along v is J v. The graph is made once a point, for one
  and a half to three times the seconds, and more memory. All recurrent layers have it on a CPU.
- "double backward unfused": the same, with the model run without cuDNN, whose recurrent kernels have neither.

On one CPU core products by "forward" took 0.6 to 0.85 of the time of those by "double backward" for ``nn.RNN``, about
as long for ``nn.GRU`` and ``nn.LSTM`` in float64, and 1.3 to 1.5 times as long for a net of ``nn.Linear``.

``torch.func.linearize`` is none of them: it traces the model again at every point, for seconds, and with torch 2.13 a
second call of what it returned for ``nn.RNN`` or ``nn.GRU`` gives another answer than the first.

References
----------
Pearlmutter, 1994 (the R-operator); Schraudolph, 2002 (products with the Gauss-Newton matrix).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any  # torch.Tensor, which importing this file does not load
ROUTES = ("forward", "double backward", "double backward unfused")


class ParameterSpace:
    """The way between one NumPy vector and tensors of given shapes, in their order.

    Parameters
    ----------
    tensors : list of float32 or float64 tensors, all of one dtype

    Attributes
    ----------
    size : int
        P.
    dtype : numpy.dtype
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        import torch

        kinds = sorted({str(tensor.dtype) for tensor in tensors})
        if kinds not in (["torch.float32"], ["torch.float64"]):
            raise TypeError(
                "parameters must be float32 or float64 tensors of one dtype, and at least one, got "
                f"{', '.join(kinds) or 'none'}; convert the module with .float() or .double()."
            )
        self.tensors = list(tensors)
        self.sizes = [tensor.numel() for tensor in tensors]
        self.size = sum(self.sizes)
        self.dtype = np.dtype(np.float32 if tensors[0].dtype == torch.float32 else np.float64)

    def split(self, vector: np.ndarray) -> list[Tensor]:
        """Tensors with the values of ``vector``; on a CPU they share its memory if it may be written to."""
        import torch

        whole = torch.from_numpy(vector if vector.flags.writeable else vector.copy())
        parts = torch.split(whole, self.sizes)
        return [part.view(like.shape).to(like.device) for part, like in zip(parts, self.tensors, strict=True)]

    def join(self, tensors: Sequence[Tensor | None]) -> np.ndarray:
        """(P,) array with the values of ``tensors``, zeros where there is None."""
        joined, start = np.zeros(self.size, self.dtype), 0
        for tensor, size in zip(tensors, self.sizes, strict=True):
            if tensor is not None:
                joined[start : start + size] = tensor.detach().reshape(-1).cpu().numpy()
            start += size
        return joined


@dataclass(frozen=True)
class ForwardPass:
    """What a forward pass leaves: tensors, and through them the graph back to ``parameters``.

    Parameters
    ----------
    parameters : list of leaf tensors
    loss_sum : tensor of one number, a function of ``outputs``
    weight : float > 0
    outputs : tensor
    hidden : tensor or None
    """

    parameters: list[Tensor]
    loss_sum: Tensor
    weight: float
    outputs: Tensor
    hidden: Tensor | None = None

    @property
    def images(self) -> list[Tensor]:
        """Outputs and, where there are any, hidden states."""
        return [self.outputs] if self.hidden is None else [self.outputs, self.hidden]


class TorchProducts:
    """Curvature products at one point, by the graph of a forward pass and a function for J v.

    Parameters
    ----------
    passed : ForwardPass
    forward : callable
        ``forward(tangents) -> [Rz]`` or ``[Rz, Rh]``, the derivatives of ``passed.images`` along ``tangents``.
    space : ParameterSpace
    hidden_curvature : callable, optional
        ``hidden_curvature(h) -> D``; ones if not given.
    """

    def __init__(
        self,
        passed: ForwardPass,
        forward: Callable[[list[Tensor]], list[Tensor]],
        space: ParameterSpace,
        hidden_curvature: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        import torch

        self.weight = passed.weight
        self.passed, self.forward, self.space = passed, forward, space
        self.slope = slope_by_outputs(passed)
        self.distance = None
        if passed.hidden is not None and hidden_curvature is not None:
            with torch.no_grad():
                self.distance = hidden_curvature(passed.hidden.detach())

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Jᵀ (H Rz, λμ D Rh) with Rz, Rh = J v."""
        import torch

        passed = self.passed
        if structural > 0.0 and passed.hidden is None:
            raise NotImplementedError(
                f"structural must be 0 where no hidden states are given, got {structural!r}; give hidden to "
                "TorchObjective, return them last from closure(role), or set structural=0 in HessianFree."
            )
        changes = self.forward(self.space.split(v))
        images, cotangents = [passed.outputs], [self.loss_curvature(changes[0])]
        if structural > 0.0:
            change = changes[1] if self.distance is None else self.distance * changes[1]
            images.append(passed.hidden)
            cotangents.append(structural * change)
        with torch.enable_grad():
            product = torch.autograd.grad(images, passed.parameters, cotangents, retain_graph=True, allow_unused=True)
        return self.space.join(product)

    def loss_curvature(self, change: Tensor) -> Tensor:
        """H Rz; zeros where the loss is linear in the outputs."""
        import torch

        if not self.slope.requires_grad:
            return torch.zeros_like(change)
        outputs = self.passed.outputs
        (found,) = torch.autograd.grad(self.slope, outputs, change, retain_graph=True, allow_unused=True)
        return torch.zeros_like(change) if found is None else found


def slope_by_outputs(passed: ForwardPass) -> Tensor:
    """Derivative of the loss by the outputs, itself a function of them.

    Raises
    ------
    ValueError
        If it is none.
    """
    import torch

    slope = None
    if passed.loss_sum.requires_grad:
        (slope,) = torch.autograd.grad(passed.loss_sum, passed.outputs, create_graph=True, allow_unused=True)
    if slope is None:
        raise ValueError(
            "loss_sum must be computed from the very tensor that is given as outputs, got tensors that no graph "
            "connects; return outputs as the loss takes them in, not a copy and not reshaped after the loss."
        )
    return slope


def check_graph(passed: ForwardPass) -> None:
    """Raise unless outputs and hidden states, where there are any, are functions of the parameters."""
    for name, image in zip(("outputs", "hidden"), passed.images, strict=False):
        if not image.requires_grad:
            raise ValueError(
                f"{name} must be computed from the parameters, got a tensor without a graph; return it as the module "
                "made it, neither detached nor computed inside torch.no_grad()."
            )


def double_backward(passed: ForwardPass) -> Callable[[list[Tensor]], list[Tensor]]:
    """J v as the derivative of Jᵀ w by w."""
    import torch

    with torch.enable_grad():
        w = [torch.zeros_like(image, requires_grad=True) for image in passed.images]
        pulled = torch.autograd.grad(passed.images, passed.parameters, w, create_graph=True, allow_unused=True)
    used = [position for position, part in enumerate(pulled) if part is not None and part.requires_grad]

    def forward(tangents: list[Tensor]) -> list[Tensor]:
        parts, along = [pulled[position] for position in used], [tangents[position] for position in used]
        found = torch.autograd.grad(parts, w, along, retain_graph=True, allow_unused=True)
        return [torch.zeros_like(of) if part is None else part for part, of in zip(found, w, strict=True)]

    return forward


def forward_mode(
    model: Callable[..., tuple[Tensor, ...]], parameters: list[Tensor]
) -> Callable[[list[Tensor]], list[Tensor]]:
    """J v by forward-mode differentiation of ``model(*parameters) -> images``, which is run again for every v."""
    import torch
    from torch.autograd import forward_ad

    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore")  # torch's, about its own inside, on the first use of forward mode
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))

    def forward(tangents: list[Tensor]) -> list[Tensor]:
        with torch.no_grad(), forward_ad.dual_level():  # no_grad is about backward passes only
            duals = [forward_ad.make_dual(*pair) for pair in zip(parameters, tangents, strict=True)]
            images = [forward_ad.unpack_dual(image) for image in model(*duals)]
            return [torch.zeros_like(image) if change is None else change for image, change in images]

    return forward


def without_cudnn() -> AbstractContextManager:
    """Context in which recurrent layers on a GPU are made of operations that can be differentiated twice."""
    import torch

    return torch.backends.cudnn.flags(enabled=False) if torch.backends.cudnn.is_available() else nullcontext()
