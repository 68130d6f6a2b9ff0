"""Labelled series of the UCR and UEA archives, of which aeon and sktime carry eleven; nothing of theirs is imported.

References
----------
Dau et al. (2019), The UCR time series archive; Bagnall et al. (2018), The UEA multivariate archive.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from studies.data import DataUnavailable

SETS = (
    "ACSF1", "ArrowHead", "BasicMotions", "Covid3Month_disc", "GunPoint", "ItalyPowerDemand", "JapaneseVowels",
    "OSULeaf", "PickupGestureWiimoteZ", "PLAID", "UnitTest",
)  # fmt: skip
CARRIERS = ("aeon", "sktime")
# A Python of another environment, where aeon and sktime are installed; aeon holds Numba back.
OTHER_PYTHON = "RESERVOIR_HF_AEON"


@dataclass(frozen=True)
class LabelledSeries:
    """The default split of a set: sequences (n_steps, n_channels) of any lengths, and a label each."""

    train: list[np.ndarray]
    train_labels: np.ndarray
    test: list[np.ndarray]
    test_labels: np.ndarray


def labelled_series(name: str) -> LabelledSeries:
    """One of :data:`SETS`, or "digits": scikit-learn's images as 8 steps of 8 pixels.

    Raises
    ------
    studies.data.DataUnavailable
    """
    if name == "digits":
        from studies.tasks.recordings import digits_as_sequences

        digits = digits_as_sequences(rng=np.random.default_rng(0))
        return LabelledSeries(
            list(digits.train[:300]), digits.train_labels[:300], list(digits.test), digits.test_labels
        )
    return LabelledSeries(*read_ts(path_of(name, "TRAIN")), *read_ts(path_of(name, "TEST")))


def path_of(name: str, part: str) -> Path:
    """The file of a set in one of :data:`CARRIERS`, here or in the environment that :data:`OTHER_PYTHON` names."""
    for folder in [*_folders_here(), *_folders_there()]:
        path = folder / "datasets" / "data" / name / f"{name}_{part}.ts"
        if path.exists():
            return path
    raise DataUnavailable(
        f"{name} is not on this machine. Install {' and '.join(CARRIERS)} into an environment of their own, and set "
        f"{OTHER_PYTHON} to its Python."
    )


def _folders_here() -> list[Path]:
    found = [find_spec(carrier) for carrier in CARRIERS]
    return [Path(spec.submodule_search_locations[0]) for spec in found if spec and spec.submodule_search_locations]


def _folders_there() -> list[Path]:
    python = os.environ.get(OTHER_PYTHON)
    if not python:
        return []
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    answer = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True)
    return [Path(answer.stdout.strip()) / carrier for carrier in CARRIERS]


def read_ts(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences and labels of a ``.ts`` file: a line a sequence, channels and at last the label parted by colons."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.lower() == "@data") + 1
    parts = [line.split(":") for line in lines[begin:] if line]
    series = [np.array([channel.split(",") for channel in channels], float).T for *channels, _ in parts]
    return series, np.array([label for *_, label in parts])
