"""A torch module, a loss and data as an :class:`optim.Objective`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from optim.arguments import brief, choice, integer
from optim.batch_axes import axis_of_sequences, rows_of_batch
from optim.for_torch.parameters import ParameterSpace, Tensor
from optim.for_torch.products import (
    ROUTES,
    ForwardPass,
    TorchProducts,
    check_graph,
    check_transposed,
    double_backward,
    first_line,
    forward_mode,
    kernels_of,
    no_route,
    summed,
)
from optim.problem import Evaluation

LOG = logging.getLogger("optim")


class TorchObjective:
    """Sum of the losses of a torch module over sequences, its gradient, and products with its curvature.

    Parameters
    ----------
    module : torch.nn.Module
        Called as ``module(X)``, ``module(*X)`` for a tuple, ``module()`` for None. It returns the outputs, or a tuple
        whose first entry they are: one tensor. Its parameters that require gradients are θ, in their order; they must
        be float32 or float64, all of one kind. It must be a function of them: call ``module.eval()`` where it has
        dropout or batch statistics; an embedding with ``max_norm``, which writes to them, is refused.
    loss : callable
        ``loss(outputs, y) -> loss_sum``, a tensor of one number, summed over the sequences and not averaged:
        ``torch.nn.CrossEntropyLoss(reduction="sum")``. Or ``(loss_sum, weight)``; the weight is otherwise the number
        of sequences of the batch. It must be convex and curved in the outputs: cross-entropy of logits, not the
        negative log-likelihood of log-probabilities, see :class:`optim.FlatCurvatureWarning`.
    X : tensor, tuple of tensors, or None
    y : tensor, tuple of tensors, or None
    hidden : callable, optional
        ``hidden(returned) -> h``, a tensor picked from what the module returned: the hidden states, for structural
        damping.
    hidden_curvature : callable, optional
        ``hidden_curvature(h) -> D`` of the shape of h, not negative: structural damping adds λμ Jᵀ D J, J the
        derivative of h, the curvature of ½ Σ D (change of h)². Ones if not given. For tanh units the distance that
        :class:`optim.HessianFree` speaks of is ``1 / (1 - h**2)`` of states, or ``1 - tanh(a)**2`` where h are
        pre-activations a; zeros at steps that are padding.
    batch_axis : int
        Axis of X and y that counts sequences: 1 for recurrent layers without ``batch_first``. Tensors that have not so
        many entries there, such as lengths (B,) or answers (B, O) beside X (T, B, I), count them by their first axis.
    routes : tuple of str
        Ways to J v to try, in order: "forward", "double backward", "double backward unfused", see
        :mod:`optim.for_torch.products`. Where torch refuses one for some layer, or what it gives does not fit the
        backward pass, the next is taken, with a warning in the log "optim".

    Attributes
    ----------
    n_params, n_sequences : int
        Without data there is one sequence.
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
        integer("batch_axis", batch_axis, least=-16, most=15, remedy="give the axis of X that counts sequences")
        self.module, self.loss, self.X, self.y = module, loss, X, y
        self.hidden, self.hidden_curvature, self.batch_axis = hidden, hidden_curvature, batch_axis
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self.space = ParameterSpace(self.parameters)
        self.n_params = self.space.size
        self.axes, self.n_sequences = _axes(X, y, batch_axis)
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
            passed = self.run(self.space.split(theta.copy()), batch)
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
                check_transposed(linear.passed, linear.forward, self.space)
            except RuntimeError as error:  # NotImplementedError is one as well
                self.value(theta, batch)  # an error of the model itself is raised here, and is no matter of routes
                self.refused[route] = first_line(error)
                name = type(self.module).__name__
                LOG.warning("torch refuses products of %s by %s: %s", name, route, self.refused[route])
            else:
                self.route = route
                return linear
        raise no_route(
            self.refused,
            "switch noise off, use all routes, or write the layer of operations that torch differentiates twice",
        )

    def linearize_by(self, route: str, leaves: list[Tensor], batch: np.ndarray | None) -> TorchProducts:
        """The linearisation by one route."""
        import torch

        with torch.enable_grad(), kernels_of(route), self.kept_buffers():
            passed = self.run(leaves, batch)
            check_graph(passed)
            if route == "forward":
                forward = forward_mode(lambda *parameters: self.images(list(parameters), batch), leaves)
            else:
                forward = double_backward(passed)
        return _ProductsAndSquares(self, batch, passed, forward)

    def leaves(self, theta: np.ndarray) -> list[Tensor]:
        """Parameters with the values of ``theta``, each the start of a graph."""
        return [part.detach().requires_grad_() for part in self.space.split(theta.copy())]

    def run(self, parameters: list[Tensor], batch: np.ndarray | None) -> ForwardPass:
        """The forward pass."""
        outputs, *rest = self.images(parameters, batch)
        found = self.loss(outputs, self.chosen(self.y, self.axes[1], batch))
        loss_sum, weight = summed(found, self.n_sequences if batch is None else len(batch))
        return ForwardPass(parameters, loss_sum, weight, outputs, rest[0] if rest else None)

    def images(self, parameters: list[Tensor], batch: np.ndarray | None) -> tuple[Tensor, ...]:
        """Outputs and, where ``hidden`` picks them, hidden states."""
        import torch

        X = self.chosen(self.X, self.axes[0], batch)
        values, versions = dict(zip(self.names, parameters, strict=True)), [each._version for each in parameters]
        arguments = X if isinstance(X, tuple) else () if X is None else (X,)
        returned = torch.func.functional_call(self.module, values, arguments)
        if [each._version for each in parameters] != versions:
            raise ValueError(
                "module must leave its parameters as they are, got one that writes to them as it runs, as an embedding "
                "with max_norm does; build it without, or scale the rows in forward()."
            )
        outputs = returned[0] if isinstance(returned, (tuple, list)) else returned
        found = (outputs,) if self.hidden is None else (outputs, self.hidden(returned))
        for name, tensor in zip(("the module's outputs", "hidden(returned)"), found, strict=False):
            if not isinstance(tensor, torch.Tensor):
                raise TypeError(
                    f"{name} must be one tensor, got {type(tensor).__name__}; let the module return a tensor, or a "
                    "tuple that begins with one, and join several by torch.cat."
                )
        return found

    def chosen(self, data: Any, axes: Any, batch: np.ndarray | None) -> Any:
        """The sequences of the batch."""
        import torch

        if batch is None or axes is None:
            return data
        if isinstance(data, tuple):
            return tuple(self.chosen(*part, batch) for part in zip(data, axes, strict=True))
        rows = torch.from_numpy(rows_of_batch(batch, self.n_sequences)).to(data.device)
        return torch.index_select(data, axes, rows)

    @contextmanager
    def kept_buffers(self) -> Iterator[None]:
        """Context in which a forward pass that writes to a buffer of the module is an error."""
        before = [(name, buffer, buffer._version) for name, buffer in self.module.named_buffers()]
        yield
        written = [name for name, buffer, version in before if buffer._version != version]
        if written:
            raise ValueError(
                f"module must leave its buffers as they are, got one that writes to {written[0]!r} as it runs, as "
                "batch statistics do in training; call .eval() on that layer, or build it with "
                "track_running_stats=False."
            )


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
        total = np.zeros(theta.size)
        for row in range(self.objective.n_sequences) if self.batch is None else self.batch:
            grad = self.objective.value_and_grad(theta, np.array([row])).grad
            total += np.square(grad, dtype=np.float64)
        return total.astype(theta.dtype)


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
    if isinstance(routes, str) or not isinstance(routes, Sequence) or not routes:
        raise TypeError(f"routes must be a tuple of names among {ROUTES}, got {brief(routes)}; leave it out for all.")
    for position, route in enumerate(routes):
        choice(f"routes[{position}]", route, ROUTES, remedy="leave routes out for all")


def _axes(X: Any, y: Any, batch_axis: int) -> tuple[tuple[Any, Any], int]:
    """The axes of X and y that count sequences, nested as they are, and how many sequences there are."""
    import torch

    tensors = [part for data in (X, y) for part in _parts(data) if part is not None]
    for part in tensors:
        if not isinstance(part, torch.Tensor):
            raise TypeError(
                f"X and y must be tensors, tuples of tensors, or None, got {brief(part)}; convert arrays by "
                "torch.as_tensor, and give a packed sequence as padded tensor and lengths."
            )
    if not tensors:
        return (None, None), 1
    first = tensors[0]
    if not -first.ndim <= batch_axis < first.ndim:
        raise ValueError(
            f"batch_axis must be an axis of X, got {batch_axis} for shape {tuple(first.shape)}; give the axis that "
            "counts sequences."
        )
    n_sequences = int(first.shape[batch_axis])

    def of(name: str, data: Any) -> Any:
        if isinstance(data, tuple):
            return tuple(of(f"{name}[{position}]", part) for position, part in enumerate(data))
        return None if data is None else axis_of_sequences(name, tuple(data.shape), batch_axis, n_sequences)

    return (of("X", X), of("y", y)), n_sequences


def _parts(data: Any) -> tuple:
    """Tensors of X or y, whatever else is there instead of one."""
    import torch

    is_plain = isinstance(data, tuple) and not isinstance(data, torch.nn.utils.rnn.PackedSequence)
    return tuple(leaf for part in data for leaf in _parts(part)) if is_plain else (data,)
