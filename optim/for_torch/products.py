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
- "double backward unfused": the same, with the model run without cuDNN, whose recurrent kernels have neither, and
  with attention written out, whose fused kernels have neither.

A route counts only if it is the transpose of the backward pass, which gives the gradient and Jᵀ u: wᵀ(J v) = vᵀ(Jᵀ w)
for a random v and w, looked at once. Forward mode sees what backward passes do not: ``padding_idx`` of an embedding,
and what is computed within ``torch.no_grad()``. Double backward sees nothing of a ``torch.autograd.Function`` whose
backward is differentiable once only, and then gives zeros. An embedding with ``scale_grad_by_freq`` has a "gradient"
that is none, and no route.

On one CPU core products by "forward" took 0.6 to 0.85 of the time of those by "double backward" for ``nn.RNN``, about
as long for ``nn.GRU`` and ``nn.LSTM`` in float64, and 1.3 to 1.5 times as long for a net of ``nn.Linear``.

``torch.func.linearize`` is none of them: it traces the model again at every point, for seconds, and with torch 2.13 a
second call of what it returned for ``nn.RNN`` or ``nn.GRU`` gives another answer than the first.

References
----------
Pearlmutter, 1994 (the R-operator); Schraudolph, 2002 (products with the Gauss-Newton matrix).
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.arguments import number
from optim.checks.probing import PRODUCT_RTOL
from optim.for_torch.parameters import ParameterSpace, Tensor
from optim.long_vectors import dot, norm

ROUTES = ("forward", "double backward", "double backward unfused")


class NotTransposedError(RuntimeError):
    """J v of a route is not the transpose of the backward pass."""


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
        """Outputs and, where there are any that depend on the parameters, hidden states."""
        return [self.outputs, self.hidden] if self.knows_hidden else [self.outputs]

    @property
    def knows_hidden(self) -> bool:
        """Whether there are hidden states that depend on the parameters: those of frozen layers do not."""
        return self.hidden is not None and self.hidden.requires_grad


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
        if structural > 0.0 and not passed.knows_hidden:
            lacks = "no hidden states are given" if passed.hidden is None else "hidden states are frozen or detached"
            raise NotImplementedError(
                f"structural must be 0 where {lacks}, got {structural!r}; give hidden to TorchObjective, return them "
                "last from closure(role), or set structural=0 in HessianFree."
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
        try:
            (found,) = torch.autograd.grad(self.slope, outputs, change, retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if not any(words in str(error) for words in ("not implemented", "once_differentiable")):
                raise
            raise NotImplementedError(
                f"loss must be one that torch differentiates twice by the outputs, got one of which it says: "
                f"{first_line(error)}; write the loss of operations that have second derivatives."
            ) from error
        return torch.zeros_like(change) if found is None else found


def summed(found: Any, n_sequences: int) -> tuple[Tensor, float]:
    """``loss_sum`` and the weight, from what a loss returned: both, or the first alone."""
    import torch

    loss_sum, weight = found if isinstance(found, tuple) and len(found) == 2 else (found, n_sequences)
    is_number = isinstance(loss_sum, torch.Tensor) and loss_sum.numel() == 1 and loss_sum.is_floating_point()
    if not is_number:
        is_tensor = isinstance(loss_sum, torch.Tensor)
        came = f"{loss_sum.dtype} of shape {tuple(loss_sum.shape)}" if is_tensor else type(loss_sum).__name__
        raise TypeError(
            f"loss_sum must be a tensor of one real number, got {came}; sum the losses of all sequences of the batch."
        )
    if isinstance(weight, torch.Tensor) and weight.numel() == 1:
        weight = weight.item()
    remedy = "leave out batches in which every target is masked"
    return loss_sum.reshape(()), number("the weight of a batch", weight, above=0, remedy=remedy)


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
    """Raise unless outputs are a function of the parameters, and they and hidden states are real numbers."""
    import torch

    for name, image in {"outputs": passed.outputs, "hidden": passed.hidden}.items():
        if image is not None and image.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name} must be float32 or float64, got {image.dtype}; convert them by .float() or .double(), and run "
                "the model in that precision."
            )
    if not passed.outputs.requires_grad:
        raise ValueError(
            "outputs must be computed from the parameters, got a tensor without a graph; return it as the module made "
            "it, neither detached nor computed inside torch.no_grad()."
        )


def check_transposed(
    passed: ForwardPass, forward: Callable[[list[Tensor]], list[Tensor]], space: ParameterSpace
) -> None:
    """Raise unless wᵀ(J v) = vᵀ(Jᵀ w) for a standard normal v and w.

    The error of a sum of n products of theirs is that of J v, or of Jᵀ w, not n times as large.

    Raises
    ------
    NotTransposedError
    """
    import torch

    rng = np.random.default_rng(0)
    v = rng.standard_normal(space.size).astype(space.dtype)
    w = [torch.from_numpy(rng.standard_normal(tuple(image.shape))).to(image) for image in passed.images]
    changes = forward(space.split(v))[: len(w)]
    Rz = np.concatenate([change.detach().reshape(-1).cpu().numpy() for change in changes])
    pulled = torch.autograd.grad(passed.images, passed.parameters, w, retain_graph=True, allow_unused=True)
    dtheta = space.join(pulled)
    forwards = dot(np.concatenate([each.reshape(-1).cpu().numpy() for each in w]), Rz)
    backwards = dot(v, dtheta)
    size = norm(Rz) + norm(dtheta)
    if math.isfinite(size) and abs(forwards - backwards) > PRODUCT_RTOL[space.dtype.itemsize] * size:
        raise NotTransposedError(
            f"its J v is not the transpose of the backward pass: for random v and w, wᵀ(J v) = {forwards:.6g} and "
            f"vᵀ(Jᵀ w) = {backwards:.6g}"
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


@contextlib.contextmanager
def kernels_of(route: str) -> Iterator[None]:
    """Context in which a model is run for a route; without fused kernels for the unfused one."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with contextlib.ExitStack() as stack:
        if route == "double backward unfused":
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if torch.backends.cudnn.is_available():
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


def first_line(error: Exception) -> str:
    """The first line of what torch says."""
    return str(error).partition("\n")[0].rstrip(".")


def no_route(refused: dict[str, str], remedy: str) -> NotImplementedError:
    """The error where no route is left, with the reason for each."""
    reasons = "; ".join(f"{route}: {words}" for route, words in refused.items())
    return NotImplementedError(
        f"routes must have one that torch knows for every layer of the module, got {tuple(refused)} ({reasons}); "
        f"{remedy}."
    )
