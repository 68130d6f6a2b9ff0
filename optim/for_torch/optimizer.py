"""The Hessian-free method as a ``torch.optim.Optimizer``, whose class is made when torch is there."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from optim import hessian_free
from optim.arguments import brief, number
from optim.for_torch.closure import ClosureObjective, check_closure
from optim.for_torch.parameters import ParameterSpace, Tensor
from optim.interrupts import interrupts_deferred
from optim.problem import Batches
from optim.result import StopReason, Trace

SETTINGS = tuple(field.name for field in fields(hessian_free.HessianFree))
NUMBERS = tuple(field.name for field in fields(hessian_free.HessianFreeState) if field.name != "direction")
WRONG = (StopReason.NOT_DETERMINISTIC, StopReason.NOT_SYMMETRIC, StopReason.NEGATIVE_CURVATURE)


class StuckWarning(UserWarning):
    """A step of ``HessianFree`` moved nothing, nor will the next ones."""


class ParameterGroup(dict):
    """A group of parameters, which says why it has no learning rate where one is asked for or set."""

    def __missing__(self, key: str) -> Any:
        self.refuse(key)
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.refuse(key)
        super().__setitem__(key, value)

    @staticmethod
    def refuse(key: str) -> None:
        """Raise for a learning rate, and for settings that all groups share."""
        if key == "lr":
            raise TypeError(
                "a group must be one with weight_decay and no more, got 'lr': HessianFree has no learning rate, a line "
                "search finds how far a step goes and damping adapts itself; leave learning-rate schedules out."
            )
        if key in SETTINGS and key != "weight_decay":
            raise TypeError(f"a group must be one with weight_decay and no more, got {key!r}; set it for all groups.")


@functools.cache
def optimizer_class() -> type:
    """The class, made when it is first asked for: its base is torch's."""
    import torch

    made = type("HessianFree", (_Steps, torch.optim.Optimizer), {"__doc__": _Steps.__doc__})
    made.__module__ = __package__
    return made


class _Steps:
    """Hessian-free optimisation of a module's parameters; :class:`optim.HessianFree` says what its settings mean.

    Parameters
    ----------
    params : iterable of parameters, or of groups of them
        All float32 or all float64; those that come twice, as tied weights do, are taken once. A group may have
        ``weight_decay`` 0 where others have it, for biases. Parameters may be frozen and unfrozen between steps. There
        is no learning rate: schedules of torch's are refused.
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
    route : str or None
        How products are made: "double backward" or, where fused kernels do not have it, "double backward unfused"; None
        before the first step.
    reason : StopReason or None
        Why the last step moved nothing and none will, if so.
    trace : Trace
        One row per step of this process; not part of ``state_dict``.

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
        self.route: str | None = None
        self.reason: StopReason | None = None
        self.trace = Trace()
        super().__init__(_listed(params), {"weight_decay": weight_decay})
        ParameterSpace(self.parameters())  # raises for parameters that do not go together

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.param_groups = [ParameterGroup(group) for group in self.param_groups]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Parameters to be moved as well, from the next step on."""
        import torch

        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"a group must be a dict with 'params', got {brief(param_group)}; give dict(params=...).")
        params = param_group["params"]
        if not isinstance(params, (torch.Tensor, set)):  # torch refuses sets, which have no order
            found: dict[int, Any] = {}
            for each in params:
                found.setdefault(id(each[1] if isinstance(each, tuple) else each), each)
            params = list(found.values())
        for key in param_group:
            ParameterGroup.refuse(key)
        super().add_param_group(ParameterGroup({**param_group, "params": params}))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict()`` of such an optimizer has saved.

        Raises
        ------
        ValueError
            For the state of another optimizer, or of other parameters.
        """
        found = {name for kept in state_dict["state"].values() for name in kept}
        missing = [group for group in state_dict["param_groups"] if "weight_decay" not in group]
        if found - {"direction", *NUMBERS} or missing:
            raise ValueError(
                "state_dict must be that of a HessianFree, got entries "
                f"{', '.join(sorted(found | {name for group in missing for name in group} - {'params'}))}; load what "
                "this class has saved."
            )
        super().load_state_dict(state_dict)

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
        check_closure(closure)
        parameters = self.parameters()
        space = ParameterSpace(parameters)
        theta = space.join(parameters)
        objective = ClosureObjective(closure, parameters, space, self.hidden_curvature, self.route)
        method, state = self._method(space), self._state(theta, space)
        started = time.perf_counter()
        taken = theta, state, None
        try:
            taken = method.step(objective, theta, state, batches=self.roles)
        finally:  # the parameters of the last trial are in the module
            with interrupts_deferred():
                theta, state, step = taken
                self.route = objective.route
                objective.leave(theta)
                self._keep(state, space)
                if step is not None:
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
        rates = [
            number("weight_decay of a group", group["weight_decay"], least=0)
            for group in self.param_groups
            for p in group["params"]
            if p.requires_grad
        ]
        largest = max(rates)
        if set(rates) - {0.0, largest}:
            raise ValueError(
                f"weight_decay of a group must be 0 or that of all others, got {sorted(set(rates))}; "
                "use one value, and 0 for the parameters that do not decay."
            )
        mask = None if min(rates) == largest else np.repeat(np.array(rates) > 0.0, space.sizes)
        return replace(self.method, weight_decay=largest, decay_mask=mask)

    def _state(self, theta: np.ndarray, space: ParameterSpace) -> hessian_free.HessianFreeState:
        """What the last step left, as the method has it; parameters that it did not move start from zero."""
        numbers = {name: value for name, value in self.state[self._first].items() if name in NUMBERS}
        if not numbers:
            return self.method.init(theta)
        directions = [self.state[p].get("direction") if p in self.state else None for p in space.tensors]
        for p, direction in zip(space.tensors, directions, strict=True):
            if direction is not None and direction.shape != p.shape:
                raise ValueError(
                    f"the state must be of these parameters, got a direction of shape {tuple(direction.shape)} for one "
                    f"of shape {tuple(p.shape)}; load the state of these very parameters, or make a new optimizer."
                )
        return hessian_free.HessianFreeState(direction=space.join(directions), **numbers)

    def _keep(self, state: hessian_free.HessianFreeState, space: ParameterSpace) -> None:
        """Leave a state to the next step: a direction a parameter, numbers with the first, be it frozen or not."""
        for kept in self.state.values():
            kept.pop("direction", None)
        for p, direction in zip(space.tensors, space.split(state.direction), strict=True):
            self.state[p]["direction"] = direction.clone()
        self.state[self._first].update({name: getattr(state, name) for name in NUMBERS})

    @property
    def _first(self) -> Tensor:
        return self.param_groups[0]["params"][0]


def _listed(params: Any) -> Any:
    """``params`` as torch takes them, if there are any."""
    import torch

    if isinstance(params, torch.Tensor) or not isinstance(params, Iterable):
        raise TypeError(
            f"params must be an iterable of parameters or of groups, got {brief(params)}; give module.parameters()."
        )
    listed = list(params)
    if not listed:
        raise ValueError(
            "params must hold at least one parameter, got none; call module.parameters() anew, which can be gone "
            "through once."
        )
    return listed


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
