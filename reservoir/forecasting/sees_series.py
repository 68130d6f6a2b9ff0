"""What a forecaster makes of the series and of what goes beside it: numbers for the reservoir, checked and aligned."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from optim.arguments import brief, choice, flag, integer, number, precision
from reservoir.alarms import IgnoredTargetWarning
from reservoir.data.containers import as_table, is_flat
from reservoir.data.exog import names_of, read_exog, read_future
from reservoir.data.layouts import warn_of_series_in_rows
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences, check_washout
from reservoir.data.series_transform import SeriesTransform
from reservoir.drive.task import Task
from reservoir.estimators.estimator import ReservoirEstimator, progress

# Rows at the start of a series that teach nothing by default, if it is long.
LONGEST_WASHOUT = 100


class SeesSeries(ReservoirEstimator):
    """From what users give to what a reservoir reads."""

    def _read_series(self, X: Any, y: Any, exog: Any, groups: Any, lengths: Any) -> tuple[Sequences, np.ndarray | None]:
        """The series of a fit, and (n_steps, n_exog) what goes beside them."""
        if y is not None and is_flat(X):
            raise ValueError(
                f"X must be the series itself, got 1-D numbers and a y ({brief(y)}); leave out the times, or give "
                "what is known in advance as exog=. Reshape your data to (n_steps, 1) where y may be ignored."
            )
        sequences = read_sequences(
            self, as_table(X), groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=precision("dtype", self.dtype), reset=True, target="none",
        )  # fmt: skip
        if y is not None:
            warnings.warn(
                f"y must be left out, for a forecaster learns the next row of X, got {brief(y)}, which is not used; "
                "put all columns to forecast into X, and what is known in advance into exog=.",
                IgnoredTargetWarning,
                stacklevel=4,
            )
        warn_of_series_in_rows(sequences)
        self.n_exog_, self.exog_names_ = 0, None
        if exog is None:
            return sequences, None
        self.exog_names_ = names_of(exog, "exog")
        beside = read_exog(sequences, exog, self.exog_names_, "exog")
        self.n_exog_ = beside.shape[1]
        return sequences, beside

    def _fitting_task(self, sequences: Sequences, beside: np.ndarray | None, *, draws: bool = True) -> Task:
        """The task of a fit, by transforms learnt here; ``draws`` a reservoir, or takes the one that is there."""
        lag = self._lag(sequences)
        self.exog_transform_ = None
        if beside is not None:
            of_exog = Sequences(beside, sequences.offsets)
            self.exog_transform_ = SeriesTransform.learnt(of_exog, standardize=self.standardize)
        self.transform_ = SeriesTransform.learnt(sequences, lag=lag, standardize=self.standardize)
        series, pairs = self._pairs(sequences, beside)
        targets = np.delete(series.rows, series.offsets[:-1], axis=0)
        if draws:
            self._draw(pairs.rows.shape[1], 0, sequences.rows.dtype)
        n_read = pairs.rows.shape[1] if self.include_input else 0
        shift = np.concatenate([pairs.rows.mean(axis=0, dtype=float)[:n_read], targets.mean(axis=0, dtype=float)])
        return self._task(
            pairs, pairs.rows, targets=targets, weights=pairs.weights_after(self._washout_of(pairs)), shift=shift,
            noise=number("state_noise", self.state_noise, least=0, remedy="0 turns it off"),
            noise_seed=self.noise_seed_,
            watch=progress("ESNForecaster", self.verbose),
        )  # fmt: skip

    def _lag(self, sequences: Sequences) -> int:
        """Steps between the rows of a difference, 0 for none; every series is long enough to learn from."""
        lag = 0 if self.difference is None else integer("difference", self.difference, remedy="1, a season, or None")
        flag("standardize", self.standardize)
        if self.guard is not None:
            number("guard", self.guard, least=0, remedy="0.25 lets a quarter of the range pass, None everything")
        shortest = int(sequences.lengths.min())
        if shortest < 2:
            raise ValueError(
                "X must have at least 2 rows in every sequence, got one of 1 sample (n_samples=1); "
                "a forecast learns from a row and the next."
            )
        if lag > 0 and shortest < lag + 2:
            raise ValueError(
                f"difference must leave 2 rows of every sequence, got difference={lag} and one of {shortest} rows; "
                "use a shorter season, or None."
            )
        return lag

    def _washout_of(self, pairs: Sequences) -> int:
        """Rows of every series that teach nothing: by default a tenth of the shortest, at most 100."""
        if isinstance(self.washout, str):
            choice("washout", self.washout, ("auto",), or_else="a number of steps")
            return min(LONGEST_WASHOUT, int(pairs.lengths.min()) // 10)
        return check_washout(pairs, self.washout)

    def _ends(self, sequences: Sequences) -> np.ndarray:
        """(n_sequences, lag + 1, n_features) last rows of every series."""
        ends = sequences.offsets[1:, None] + np.arange(-self.transform_.lag - 1, 0)
        return sequences.rows[ends]

    def _beside(self, sequences: Sequences, exog: Any, name: str = "exog") -> np.ndarray | None:
        """(n_steps, n_exog) what was given beside the rows of ``sequences``."""
        if (exog is None) != (self.n_exog_ == 0):
            came, todo = ("None", "pass it") if exog is None else ("an array", "leave it out, or fit with exog")
            raise ValueError(f"{name} must be given exactly if the model was fitted with exog, got {came}; {todo}.")
        if exog is None:
            return None
        beside = read_exog(sequences, exog, self.exog_names_, name)
        if beside.shape[1] != self.n_exog_:
            raise ValueError(
                f"{name} must have {self.n_exog_} columns, got {beside.shape[1]}; pass the same ones as in fit."
            )
        return beside

    def _pairs(self, sequences: Sequences, beside: np.ndarray | None) -> tuple[Sequences, Sequences]:
        """The series as the reservoir sees them, and inputs [X(t); exog(t+1)] of every step that has a next one."""
        series = self.transform_.forward(sequences)
        rows = np.delete(series.rows, series.offsets[1:] - 1, axis=0)
        if beside is not None:
            beside = self.exog_transform_.forward(Sequences(beside, sequences.offsets)).rows
            beside = beside[self.transform_.is_kept(sequences)]
            rows = np.concatenate([rows, np.delete(beside, series.offsets[:-1], axis=0)], axis=1)
        offsets = series.offsets - np.arange(len(series.offsets))
        return series, Sequences(rows, offsets, is_on_device=sequences.is_on_device)

    def _read_rows(self, X: Any, groups: Any = None, lengths: Any = None) -> Sequences:
        """X for a fitted model; 1-D numbers are a series where it has one column."""
        is_row = is_flat(X) and self.n_features_in_ > 1
        return self._read(X if is_row else as_table(X), groups=groups, lengths=lengths)

    def _read_long_enough(self, X: Any, groups: Any, lengths: Any, name: str = "X") -> Sequences:
        """X for a fitted model, of which every series has the rows of a difference."""
        sequences = self._read_rows(X, groups, lengths)
        needed, shortest = self.transform_.lag + 1, int(sequences.lengths.min())
        if shortest < needed:
            raise ValueError(
                f"{name} must have {needed} rows or more for difference={self.difference}, got {shortest}; give more."
            )
        return sequences

    def _given(self, exog: Any, n_series: int, n_steps: int) -> np.ndarray:
        """(n_series, n_steps, n_exog) of the steps to forecast, as the reservoir sees it, from what the user gave."""
        if self.n_exog_ == 0:
            if exog is not None:
                raise ValueError("exog must be None for a model fitted without it, got an array; fit with exog.")
            return np.zeros((n_series, n_steps, 0))
        return self._standard(read_future(exog, self.exog_names_, n_series, n_steps, self.n_exog_))

    def _standard(self, exog: np.ndarray) -> np.ndarray:
        """exog as the reservoir sees it."""
        return (exog - self.exog_transform_.mean) / self.exog_transform_.scale
