"""A closure over a torch module as an :class:`optim.Objective`, in which roles stand for batches.

What a closure does with its tensors nobody else knows: it cannot be run with other tensors in the place of the
parameters, as forward mode wants it, so that J v is made by double backward.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from optim.arguments import brief
from optim.for_torch.parameters import ParameterSpace, Tensor
from optim.for_torch.products import (
    ROUTES,
    ForwardPass,
    TorchProducts,
    check_graph,
    check_transposed,
    double_backward,
    first_line,
    kernels_of,
    no_route,
    summed,
)
from optim.problem import Evaluation

LOG = logging.getLogger("optim")


class ClosureObjective:
    """A closure as an objective: parameters are put where it finds them, and roles stand for batches."""

    def __init__(
        self,
        closure: Callable[[str], tuple],
        parameters: list[Tensor],
        space: ParameterSpace,
        hidden_curvature: Callable[[Tensor], Tensor] | None,
        route: str | None,
    ) -> None:
        self.closure, self.parameters, self.space = closure, parameters, space
        self.hidden_curvature, self.route = hidden_curvature, route
        self.n_params = space.size
        self.placed = space.join(parameters)

    def place(self, theta: np.ndarray) -> None:
        """Give the parameters the values of ``theta``, unknown to graphs that hold them.

        Graphs of a linearisation outlive trials at other points. :class:`ClosureProducts` puts the values back before
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

    def linearize(self, theta: np.ndarray, role: str) -> ClosureProducts:
        """By double backward, where need be without fused kernels; which of the two is found out once.

        Raises
        ------
        NotImplementedError
            If torch refuses both.
        """
        self.place(theta)
        if self.route is not None:
            return self.linearize_by(self.route, theta, role)
        refused = {}
        for route in ROUTES[1:]:
            try:
                linear = self.linearize_by(route, theta, role)
                check_transposed(linear.passed, linear.forward, self.space)
            except RuntimeError as error:
                self.value(theta, role)  # an error of the closure itself is raised here, and is no matter of routes
                refused[route] = first_line(error)
                LOG.warning("torch refuses products of closure(role) by %s: %s", route, refused[route])
            else:
                self.route = route
                return linear
        raise no_route(
            refused,
            "switch noise off, try TorchObjective, or write the layer of operations that torch differentiates twice",
        )

    def linearize_by(self, route: str, theta: np.ndarray, role: str) -> ClosureProducts:
        """The linearisation by one route."""
        import torch

        with torch.enable_grad(), kernels_of(route):
            passed = self.run(role)
            check_graph(passed)
            forward = double_backward(passed)
        return ClosureProducts(self, theta.copy(), passed, forward)

    def run(self, role: str) -> ForwardPass:
        """Call the closure and look at what it returns."""
        import torch

        versions = [parameter._version for parameter in self.parameters]
        returned = self.closure(role)
        if [parameter._version for parameter in self.parameters] != versions:
            raise ValueError(
                "closure(role) must leave the parameters as they are, got one that writes to them, as an embedding "
                "with max_norm does; build it without, or scale the rows in forward()."
            )
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


class ClosureProducts(TorchProducts):
    def __init__(
        self,
        objective: ClosureObjective,
        theta: np.ndarray,
        passed: ForwardPass,
        forward: Callable[[list[Tensor]], list[Tensor]],
    ) -> None:
        super().__init__(passed, forward, objective.space, objective.hidden_curvature)
        self.objective, self.theta = objective, theta

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        self.objective.place(self.theta)
        return super().gauss_newton(v, structural=structural)


def check_closure(closure: Any) -> None:
    """Raise unless ``closure`` is a function of one argument."""
    if not callable(closure):
        raise TypeError(
            f"closure must be a function of a role, got {brief(closure)}; call step(closure) with one that returns "
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
