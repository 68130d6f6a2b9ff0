"""The settings every echo state cell has, and how they are handed to an estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

PASSED_ON = (
    "n_units",
    "spectral_radius",
    "leak_rate",
    "input_scaling",
    "bias_scaling",
    "in_degree",
    "topology",
    "alpha",
    "solver",
    "washout",
)


@dataclass(frozen=True)
class EchoState:
    """One reservoir and its readout; the fields mean what they mean in `reservoir.ESNRegressor`.

    A study's ``Settings`` extends this with its task. ``seed`` names both the data and the reservoir, which
    are drawn from independent streams.
    """

    n_units: int = 500
    spectral_radius: float = 0.9
    leak_rate: float = 1.0
    input_scaling: float = 1.0
    bias_scaling: float = 0.0
    in_degree: int = 10
    topology: str = "sparse"
    alpha: float = 1e-6
    solver: str = "auto"
    washout: int = 100
    seed: int = 0
    device: str = "cpu"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the estimator."""
        device = None if self.device == "cpu" else self.device
        return {name: getattr(self, name) for name in PASSED_ON} | {
            "random_state": self.seed,
            "device": device,
        }

    def data_rng(self) -> np.random.Generator:
        """Generator of this cell's data, independent of the reservoir's."""
        return np.random.default_rng([self.seed, 2024])
