"""A torch module, a loss and data as an :class:`optim.Objective`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from optim.problem import Evaluation, check_positive
from optim.torch_products import (
    ROUTES,
    ForwardPass,
    ParameterSpace,
    Tensor,
    TorchProducts,
    check_graph,
    double_backward,
    forward_mode,
    without_cudnn,
)

LOG = logging.getLogger("optim")


class TorchObjective:
    """Sum of the losses of a torch module over sequences, its gradient, and products with its curvature.

    Parameters
    ----------
    module : torch.nn.Module
        Called as ``module(X)``, or ``module(*X)`` for a tuple. It returns the outputs, or a tuple whose first entry
        they are: one tensor. Its parameters that require gradients are θ, in their order; they must be float32 or
        float64, all of one kind. Noise must be off: call ``module.eval()`` where it has dropout or batch statistics.
    loss : callable
        ``loss(outputs, y) -> loss_sum``, a tensor of one number, summed over the sequences and not averaged:
        ``torch.nn.CrossEntropyLoss(reduction="sum")``. Or ``(loss_sum, weight)``; the weight is otherwise the number
        of sequences of the batch.
    X : tensor or tuple of tensors
    y : tensor, tuple of tensors or None
    hidden : callable, optional
        ``hidden(returned) -> h``, a tensor picked from what the module returned: the hidden states, for structural
        damping.
    hidden_curvature : callable, optional
        ``hidden_curvature(h) -> D`` of the shape of h, not negative: structural damping adds λμ Jᵀ D J, J the
        derivative of h, the curvature of ½ Σ D (change of h)². Ones if not given. For tanh units the distance that
        :class:`optim.HessianFree` speaks of is ``1 / (1 - h**2)`` of states, or ``1 - tanh(a)**2`` where h are
        pre-activations a; zeros at steps that are padding.
    batch_axis : int
        Axis of X and y that counts sequences: 1 for recurrent layers without ``batch_first``.
    routes : tuple of str
        Ways to J v to try, in order: "forward", "double backward", "double backward unfused", see
        :mod:`optim.torch_products`. Where torch refuses one for some layer, the next is taken, with a warning in the
        log "optim".

    Attributes
    ----------
    n_params, n_sequences : int
    route : str or None
        The way to J v that works; None before the first linearisation.
    refused : dict
        Ways that torch refused, with its words.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from optim import HessianFree, minimize
    >>> from optim.for_torch import TorchObjective
    >>> X = torch.linspace(-1.0, 1.0, 20)[:, None]  # doctest: +SKIP
    >>> net = torch.nn.Sequential(torch.nn.Linear(1, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))  # doctest: +SKIP
    >>> fit = TorchObjective(net, torch.nn.MSELoss(reduction="sum"), X, X**2)  # doctest: +SKIP
    >>> result = minimize(fit, fit.read(), HessianFree(), max_iterations=50)  # doctest: +SKIP
    >>> fit.write(result.theta)  # doctest: +SKIP
    >>> result.value < 1e-3, fit.route  # doctest: +SKIP
    (True, 'forward')
    """

    def __init__(
        self,
        module: Any,
        loss: Callable[[Any, Any], Any],
        X: Any,
        y: Any,
        *,
        hidden: Callable[[Any], Tensor] | None = None,
        hidden_curvature: Callable[[Tensor], Tensor] | None = None,
        batch_axis: int = 0,
        routes: Sequence[str] = ROUTES,
    ) -> None:
        _check(module, loss, routes)
        self.module, self.loss, self.X, self.y = module, loss, X, y
        self.hidden, self.hidden_curvature, self.batch_axis = hidden, hidden_curvature, batch_axis
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.space = ParameterSpace(self.parameters)
        self.n_params = self.space.size
        self.n_sequences = int((X[0] if isinstance(X, tuple) else X).shape[batch_axis])
        self.routes = tuple(routes)
        self.route: str | None = None
        self.refused: dict[str, str] = {}

    def read(self) -> np.ndarray:
        """The module's parameters as one vector, (P,)."""
        return self.space.join(self.parameters)

    def write(self, theta: np.ndarray) -> None:
        """Make ``theta`` the module's parameters."""
        import torch

        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.space.split(theta), strict=True):
                parameter.copy_(value)

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch."""
        import torch

        with torch.no_grad():
            passed = self.run(self.space.split(theta), batch)
        return Evaluation(float(passed.loss_sum), passed.weight)

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch."""
        import torch

        with torch.enable_grad():
            passed = self.run(self.leaves(theta), batch)
            grad = torch.autograd.grad(passed.loss_sum, passed.parameters, allow_unused=True)
        return Evaluation(float(passed.loss_sum.detach()), passed.weight, self.space.join(grad))

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> TorchProducts:
        """Products with the curvature of the batch, by the first route that torch does not refuse.

        Raises
        ------
        NotImplementedError
            If it refuses all of them.
        """
        leaves = self.leaves(theta)
        if self.route is not None:
            return self.linearize_by(self.route, leaves, batch)
        for route in self.routes:
            try:
                linear = self.linearize_by(route, leaves, batch)
                linear.forward([leaf.detach() for leaf in leaves])
            except RuntimeError as error:  # NotImplementedError is one as well
                self.value(theta, batch)  # an error of the model itself is raised here, and is no matter of routes
                self.refused[route] = str(error).partition("\n")[0]
                name = type(self.module).__name__
                LOG.warning("torch refuses products of %s by %s: %s", name, route, self.refused[route])
            else:
                self.route = route
                return linear
        reasons = "; ".join(f"{route}: {words}" for route, words in self.refused.items())
        raise NotImplementedError(
            f"routes must have one that torch knows for every layer of the module, got {self.routes} ({reasons}); "
            "write the layer as a loop over its cell, or use the other routes."
        )

    def linearize_by(self, route: str, leaves: list[Tensor], batch: np.ndarray | None) -> TorchProducts:
        """The linearisation by one route."""
        import torch

        with torch.enable_grad(), without_cudnn() if route == "double backward unfused" else nullcontext():
            passed = self.run(leaves, batch)
            check_graph(passed)
            if route == "forward":
                forward = forward_mode(lambda *parameters: self.images(list(parameters), batch), leaves)
            else:
                forward = double_backward(passed)
        return _ProductsAndSquares(self, batch, passed, forward)

    def leaves(self, theta: np.ndarray) -> list[Tensor]:
        """Parameters with the values of ``theta``, each the start of a graph."""
        return [part.detach().requires_grad_() for part in self.space.split(theta)]

    def run(self, parameters: list[Tensor], batch: np.ndarray | None) -> ForwardPass:
        """The forward pass."""
        outputs, *rest = self.images(parameters, batch)
        found = self.loss(outputs, self.chosen(self.y, batch))
        loss_sum, weight = summed(found, self.n_sequences if batch is None else len(batch))
        return ForwardPass(parameters, loss_sum, weight, outputs, rest[0] if rest else None)

    def images(self, parameters: list[Tensor], batch: np.ndarray | None) -> tuple[Tensor, ...]:
        """Outputs and, where ``hidden`` picks them, hidden states."""
        import torch

        X = self.chosen(self.X, batch)
        values = dict(zip(self.names, parameters, strict=True))
        returned = torch.func.functional_call(self.module, values, X if isinstance(X, tuple) else (X,))
        outputs = returned[0] if isinstance(returned, (tuple, list)) else returned
        found = (outputs,) if self.hidden is None else (outputs, self.hidden(returned))
        for name, tensor in zip(("the module's outputs", "hidden(returned)"), found, strict=False):
            if not isinstance(tensor, torch.Tensor):
                raise TypeError(
                    f"{name} must be one tensor, got {type(tensor).__name__}; let the module return a tensor, or a "
                    "tuple that begins with one, and join several by torch.cat."
                )
        return found

    def chosen(self, data: Any, batch: np.ndarray | None) -> Any:
        """The sequences of the batch."""
        import torch

        if data is None or batch is None:
            return data
        if isinstance(data, tuple):
            return tuple(self.chosen(part, batch) for part in data)
        rows = torch.from_numpy(np.array(batch, dtype=np.int64)).to(data.device)
        return torch.index_select(data, self.batch_axis, rows)


class _ProductsAndSquares(TorchProducts):
    def __init__(
        self,
        objective: TorchObjective,
        batch: np.ndarray | None,
        passed: ForwardPass,
        forward: Callable[[list[Tensor]], list[Tensor]],
    ) -> None:
        super().__init__(passed, forward, objective.space, objective.hidden_curvature)
        self.objective, self.batch = objective, batch

    def squared_gradients(self) -> np.ndarray:
        """Sum of the squared gradients of single sequences, a backward pass each."""
        theta = self.space.join(self.passed.parameters)
        total = np.zeros_like(theta)
        for row in range(self.objective.n_sequences) if self.batch is None else self.batch:
            total += self.objective.value_and_grad(theta, np.array([row])).grad ** 2
        return total


def summed(found: Any, n_sequences: int) -> tuple[Tensor, float]:
    """``loss_sum`` and the weight, from what a loss returned: both, or the first alone."""
    import torch

    loss_sum, weight = found if isinstance(found, tuple) and len(found) == 2 else (found, n_sequences)
    if not isinstance(loss_sum, torch.Tensor) or loss_sum.numel() != 1:
        came = f"shape {tuple(loss_sum.shape)}" if isinstance(loss_sum, torch.Tensor) else type(loss_sum).__name__
        raise TypeError(
            f"loss_sum must be a tensor of one number, got {came}; sum the losses of all sequences of the batch."
        )
    weight = float(weight)
    check_positive("the weight of a batch", weight)
    return loss_sum.reshape(()), weight


def _check(module: Any, loss: Any, routes: Sequence[str]) -> None:
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module, got {type(module).__name__}; wrap functions in a module, or use "
            "optim.from_callables."
        )
    if isinstance(module, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
        raise TypeError(
            f"module must be the bare one, got {type(module).__name__}, which cannot be differentiated twice; give "
            "its .module, and sum over processes by optim.distributed."
        )
    if not callable(loss) or getattr(loss, "reduction", "sum") != "sum":
        came = f"reduction={loss.reduction!r}" if callable(loss) else repr(loss)
        raise ValueError(f"loss must be a function that sums over sequences, got {came}; use reduction='sum'.")
    unknown = [route for route in routes if route not in ROUTES]
    if unknown or not routes or isinstance(routes, str):
        raise ValueError(f"routes must be a tuple of names among {ROUTES}, got {routes!r}; leave it out for all.")
