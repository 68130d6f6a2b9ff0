"""The Hessian-free method as a ``torch.optim.Optimizer``; torch modules as objectives.

torch is loaded when :class:`HessianFree` is asked for, not when this module is imported. ``TorchObjective`` runs a
module under :func:`optim.minimize`, with its budgets and checkpoints; ``HessianFree`` fits into a training loop that
is there already::

    optimizer = HessianFree(module.parameters(), structural=0.03)

    def closure(role):                      # "gradient", "curvature", "acceptance", "debias" if asked for
        X, y = data[role]                   # the same data for a role for as long as a step lasts
        outputs, hidden = module(X)
        return loss(outputs, y), len(X), outputs, hidden

    for X_y in loader:
        data = ...
        optimizer.step(closure)
"""

from __future__ import annotations

import functools
import inspect
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from optim import hessian_free
from optim.interrupts import commits, interruptible_until_commit
from optim.problem import Batches, Evaluation
from optim.result import StopReason, Trace
from optim.torch_objective import LOG, TorchObjective, summed
from optim.torch_products import (
    ForwardPass,
    ParameterSpace,
    Tensor,
    TorchProducts,
    check_graph,
    double_backward,
    without_cudnn,
)

__all__ = ["HessianFree", "StuckWarning", "TorchObjective"]  # noqa: F822, the first is made by __getattr__

SETTINGS = tuple(field.name for field in fields(hessian_free.HessianFree))
WRONG = (StopReason.NOT_DETERMINISTIC, StopReason.NOT_SYMMETRIC, StopReason.NEGATIVE_CURVATURE)


class StuckWarning(UserWarning):
    """A step of ``HessianFree`` moved nothing, nor will the next ones."""


def __getattr__(name: str) -> Any:
    if name == "HessianFree":
        return _optimizer_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _optimizer_class() -> type:
    """The class, made when it is first asked for: its base is torch's."""
    import torch

    made = type("HessianFree", (_Steps, torch.optim.Optimizer), {"__doc__": _Steps.__doc__})
    made.__module__ = __name__
    return made


class _Steps:
    """Hessian-free optimisation of a module's parameters; :class:`optim.HessianFree` says what its settings mean.

    Parameters
    ----------
    params : iterable of parameters, or of groups of them
        All float32 or all float64. A group may have ``weight_decay`` 0 where others have it, for biases.
    weight_decay : float >= 0
        Coefficient c of ½ c |θ|² in the mean loss.
    debias : bool
        Ask the closure for the role "debias" as well: data apart from "curvature", on which curvature along the
        directions of CG is measured again.
    hidden_curvature : callable, optional
        ``hidden_curvature(hidden) -> D``, see :class:`TorchObjective`. Ones if not given.
    **settings
        Of :class:`optim.HessianFree`: damping, structural, cg, warm_start and so on. Data are the closure's matter:
        ``curvature_growth`` is refused, and so is ``preconditioner``, which needs gradients of single sequences.

    Attributes
    ----------
    route : str
        How products are made: "double backward" or, where cuDNN refused it, "double backward unfused".
    reason : StopReason or None
        Why the last step moved nothing and none will, if so.
    trace : Trace
        One row a step of this process; not part of ``state_dict``.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from optim.for_torch import HessianFree  # doctest: +SKIP
    >>> X = torch.linspace(-1.0, 1.0, 20)[:, None]  # doctest: +SKIP
    >>> net = torch.nn.Sequential(torch.nn.Linear(1, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))  # doctest: +SKIP
    >>> optimizer = HessianFree(net.parameters())  # doctest: +SKIP
    >>> def closure(role):  # doctest: +SKIP
    ...     outputs = net(X)
    ...     return ((outputs - X**2) ** 2).sum(), len(X), outputs
    >>> losses = [optimizer.step(closure) for _ in range(50)]  # doctest: +SKIP
    >>> losses[-1] < 1e-3  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        weight_decay: float = 0.0,
        debias: bool = False,
        hidden_curvature: Callable[[Tensor], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        _check_settings(settings)
        self.method = hessian_free.HessianFree(weight_decay=weight_decay, **settings)
        self.roles = Batches("gradient", "curvature", "acceptance", "debias" if debias else None)
        self.hidden_curvature = hidden_curvature
        self.route = "double backward"
        self.reason: StopReason | None = None
        self.trace = Trace()
        super().__init__(params, {"weight_decay": weight_decay})
        ParameterSpace(self.parameters())  # raises for parameters that do not go together

    def __getstate__(self) -> dict[str, Any]:
        names = ("method", "roles", "hidden_curvature", "route", "reason", "trace")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def parameters(self) -> list[Tensor]:
        """The parameters of all groups, in their order: θ. Those that require no gradients are left out."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def step(self, closure: Callable[[str], tuple] | None = None) -> float:
        """One step.

        Parameters
        ----------
        closure : callable
            ``closure(role)`` runs the module on the data of that role, and returns ``(loss_sum, weight, outputs)`` or
            ``(loss_sum, weight, outputs, hidden)``: the sum of losses, a tensor and a function of ``outputs``; what to
            divide it by for the mean; the tensor of outputs; and that of hidden states, for structural damping.
            ``role`` is a name of :class:`optim.Batches`. It is called several times a step, at different values of the
            parameters, and must take the same data for the same role each time. It calls no ``backward()``.

        Returns
        -------
        float
            Mean loss before the step, on the data of "gradient".

        Raises
        ------
        TypeError, ValueError
            For a closure that returns something else, above all a loss alone.
        RuntimeError
            For a closure that gives two answers to one question, or curvature that is not that of a Gauss-Newton
            matrix. The parameters are as they were.
        """
        _check_closure(closure)
        parameters = self.parameters()
        space = ParameterSpace(parameters)
        theta = space.join(parameters)
        objective = _ClosureObjective(closure, parameters, space, self.hidden_curvature, self.route)
        method, state = self._method(space), self._state(theta)
        started = time.perf_counter()
        with interruptible_until_commit():
            try:
                _, _, step = method.step(objective, theta, state, batches=self.roles)
            finally:  # the parameters of the last trial are in the module
                with commits():
                    self.route = objective.route
                    objective.leave(theta)
                    self._keep(state, space)
            seconds = self.trace["seconds"][-1] if self.trace.n_rows else 0.0
            self.trace.append(**step.row, seconds=float(seconds) + time.perf_counter() - started)
            self.reason = step.reason
        self._tell(step.message)
        return step.row["loss"]

    def _tell(self, message: str) -> None:
        """Raise, or warn, where the step moved nothing and something is wrong."""
        if self.reason is None or self.reason.is_success:
            return
        text = f"{self.reason.value}: " + " ".join(part for part in (message, self.reason.advice) if part)
        if self.reason in WRONG:
            raise RuntimeError(text)
        warnings.warn(text, StuckWarning, stacklevel=4)

    def _method(self, space: ParameterSpace) -> hessian_free.HessianFree:
        """The method with the groups' weight decay."""
        rates = [group["weight_decay"] for group in self.param_groups for p in group["params"] if p.requires_grad]
        largest = max(rates)
        if set(rates) - {0.0, largest}:
            raise ValueError(
                f"weight_decay of a group must be 0 or that of all others, got {sorted(set(rates))}; "
                "use one value, and 0 for the parameters that do not decay."
            )
        mask = None if min(rates) == largest else np.repeat(np.array(rates) > 0.0, space.sizes)
        return replace(self.method, weight_decay=largest, decay_mask=mask)

    def _state(self, theta: np.ndarray) -> hessian_free.HessianFreeState:
        """What the last step left, as the method has it."""
        kept = self.state[self.parameters()[0]]
        if not kept:
            return self.method.init(theta)
        direction = kept["direction"].detach().cpu().numpy().copy()
        if direction.shape != theta.shape:
            raise ValueError(
                f"the state must be of {theta.size} parameters, as the groups are, got one of {direction.size}; load "
                "the state of these very parameters, or make a new optimizer where some were added or frozen."
            )
        return hessian_free.HessianFreeState(**{**kept, "direction": direction})

    def _keep(self, state: hessian_free.HessianFreeState, space: ParameterSpace) -> None:
        """Leave a state to the next step, under the first parameter, where torch's own LBFGS has its state."""
        import torch

        self.state[self.parameters()[0]] = {
            **asdict(state),
            "direction": torch.from_numpy(state.direction).to(space.tensors[0].device),
        }


class _ClosureObjective:
    """A closure as an objective: parameters are put where it finds them, and roles stand for batches."""

    def __init__(
        self,
        closure: Callable[[str], tuple],
        parameters: list[Tensor],
        space: ParameterSpace,
        hidden_curvature: Callable[[Tensor], Tensor] | None,
        route: str,
    ) -> None:
        self.closure, self.parameters, self.space = closure, parameters, space
        self.hidden_curvature, self.route = hidden_curvature, route
        self.n_params = space.size
        self.placed = space.join(parameters)

    def place(self, theta: np.ndarray) -> None:
        """Give the parameters the values of ``theta``, unknown to graphs that hold them.

        Graphs of a linearisation outlive trials at other points. :class:`_ClosureProducts` puts the values back before
        it uses one, so what autograd checks, that nobody has written to a tensor since, would only stand in the way.
        """
        if not np.array_equal(theta, self.placed):
            for parameter, value in zip(self.parameters, self.space.split(theta), strict=True):
                parameter.data.copy_(value)
            np.copyto(self.placed, theta)

    def leave(self, theta: np.ndarray) -> None:
        """Give the parameters their values after the step, and let autograd know."""
        import torch

        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.space.split(theta), strict=True):
                parameter.copy_(value)

    def value(self, theta: np.ndarray, role: str) -> Evaluation:
        import torch

        self.place(theta)
        with torch.no_grad():
            passed = self.run(role)
        return Evaluation(float(passed.loss_sum), passed.weight)

    def value_and_grad(self, theta: np.ndarray, role: str) -> Evaluation:
        import torch

        self.place(theta)
        with torch.enable_grad():
            passed = self.run(role)
            if not passed.loss_sum.requires_grad:
                raise ValueError(
                    "closure(role) must return a loss_sum that depends on the parameters, got one without a graph; "
                    "return the tensor itself, without .item() or .detach(), computed outside torch.no_grad()."
                )
            try:
                grad = torch.autograd.grad(passed.loss_sum, self.parameters, allow_unused=True)
            except RuntimeError as error:
                if "second time" in str(error):
                    raise ValueError(
                        "closure(role) must leave the graph as it is, got one that is used up; call no backward() in "
                        "it, the optimizer differentiates."
                    ) from error
                raise
        return Evaluation(float(passed.loss_sum.detach()), passed.weight, self.space.join(grad))

    def linearize(self, theta: np.ndarray, role: str) -> _ClosureProducts:
        """By double backward, where need be without cuDNN: what a closure does with its tensors nobody else knows."""
        self.place(theta)
        if self.route == "double backward":
            try:
                passed, forward = self.double_backward(role)
                forward([parameter.detach() for parameter in self.parameters])
            except RuntimeError as error:
                if not any(parameter.is_cuda for parameter in self.parameters):
                    raise
                LOG.warning("torch refuses products of closure(role) with cuDNN: %s", error)
                self.route = "double backward unfused"
        if self.route == "double backward unfused":
            with without_cudnn():
                passed, forward = self.double_backward(role)
        return _ClosureProducts(self, theta.copy(), passed, forward)

    def double_backward(self, role: str) -> tuple[ForwardPass, Callable[[list[Tensor]], list[Tensor]]]:
        """A forward pass, and J v by its graph."""
        import torch

        with torch.enable_grad():
            passed = self.run(role)
            check_graph(passed)
            return passed, double_backward(passed)

    def run(self, role: str) -> ForwardPass:
        """Call the closure and look at what it returns."""
        import torch

        returned = self.closure(role)
        if not isinstance(returned, tuple) or len(returned) not in (3, 4):
            is_tensor = isinstance(returned, torch.Tensor)
            came = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
            raise TypeError(
                "closure(role) must return (loss_sum, weight, outputs) or (loss_sum, weight, outputs, hidden), got "
                + (f"a {came} alone" if is_tensor else came)
                + "; Gauss-Newton products Jᵀ H J v are made of the derivative J of the outputs and the curvature H of "
                "the loss by the outputs, and a loss alone has neither."
            )
        loss_sum, weight, outputs, hidden = (*returned, None)[:4]
        loss_sum, weight = summed((loss_sum, weight), 1)
        for name, tensor in {"outputs": outputs, "hidden": hidden}.items():
            if not isinstance(tensor, torch.Tensor) and not (name == "hidden" and tensor is None):
                raise TypeError(
                    f"{name} of closure(role) must be one tensor, got {type(tensor).__name__}; join several by "
                    "torch.cat."
                )
        return ForwardPass(self.parameters, loss_sum, weight, outputs, hidden)


class _ClosureProducts(TorchProducts):
    def __init__(
        self,
        objective: _ClosureObjective,
        theta: np.ndarray,
        passed: ForwardPass,
        forward: Callable[[list[Tensor]], list[Tensor]],
    ) -> None:
        super().__init__(passed, forward, objective.space, objective.hidden_curvature)
        self.objective, self.theta = objective, theta

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        self.objective.place(self.theta)
        return super().gauss_newton(v, structural=structural)


def _check_settings(settings: dict[str, Any]) -> None:
    known = [
        name for name in SETTINGS if name not in ("decay_mask", "curvature_growth", "growth_when", "preconditioner")
    ]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise TypeError(
            f"settings must be among debias, hidden_curvature, {', '.join(known)}, got {', '.join(unknown)}; see "
            "optim.HessianFree. A learning rate there is none, which parameters decay is told by groups, data are the "
            "closure's, and for the preconditioner use TorchObjective."
        )


def _check_closure(closure: Any) -> None:
    """Raise unless ``closure`` is a function of one argument."""
    if not callable(closure):
        raise TypeError(
            f"closure must be a function of a role, got {closure!r}; call step(closure) with one that returns "
            "(loss_sum, weight, outputs)."
        )
    try:
        inspect.signature(closure).bind("gradient")
    except TypeError as error:
        raise TypeError(
            f"closure must take one argument, the role, got a function with {inspect.signature(closure)}; write "
            "def closure(role), and choose the data by it."
        ) from error
    except ValueError:  # a builtin that does not tell its parameters
        pass
