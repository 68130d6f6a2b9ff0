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

from typing import Any

from optim.for_torch.objective import TorchObjective
from optim.for_torch.optimizer import StuckWarning, optimizer_class

__all__ = ["HessianFree", "StuckWarning", "TorchObjective"]


def __getattr__(name: str) -> Any:
    if name == "HessianFree":
        return optimizer_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
