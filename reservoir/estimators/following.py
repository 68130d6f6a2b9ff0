"""What a fitted forecaster does with rows that follow or resemble those it has learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief
from reservoir.data.containers import Container, as_table, labelled
from reservoir.data.sequences import Sequences
from reservoir.data.states import steps_of_memory
from reservoir.drive.routes import drive
from reservoir.estimators.estimator import ReservoirEstimator, all_or_nothing


class FollowsRows(ReservoirEstimator):
    """Single steps, scores and updates of a forecaster."""

    def predict(self, X: Any, *, exog: Any = None, groups: Any = None, lengths: Any = None) -> Any:
        """Every row of X from the rows before it, from rest: one step ahead.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several series
        exog : in the form of X, needed if the model was fitted with it
        groups, lengths : as in ``fit``

        Returns
        -------
        (n_steps, n_features), or in the form of X
            Row 0 of every series is NaN, and so are as many more as ``difference`` takes.
        """
        check_is_fitted(self)
        sequences = self._read_long_enough(X, groups, lengths)
        _, pairs = self._pairs(sequences, self._beside(sequences, exog))
        found = np.full(sequences.rows.shape, np.nan, sequences.rows.dtype)
        if pairs.n_steps > 0:
            filled = Sequences(pairs.rows, np.unique(pairs.offsets))
            z = drive(
                self.reservoir_, self._task(filled, filled.rows), coef=self.coef_, intercept=self.intercept_
            ).outputs
            self._refuse_overflow(z, "states and outputs")
            found[self.transform_.is_kept(sequences, 1)] = self.transform_.one_step_back(z, sequences)
        return labelled(X, sequences.like_input(found))

    def score(self, X: Any, y: Any = None, *, exog: Any = None) -> float:
        """R² of a free run over X, of which the first rows synchronise.

        As many rows as the reservoir remembers, and at most half of X, are the context of a forecast of the rest.

        Parameters
        ----------
        X : (n_steps, n_features)
            One series of at least 4 rows.
        y : None
            Here for scikit-learn's tools.
        exog : (n_steps, n_exog), needed if the model was fitted with it

        Returns
        -------
        float
            Mean over the features; 1 is perfect, 0 as good as their means over these rows.
        """
        check_is_fitted(self)
        sequences = self._read_long_enough(X, None, None)
        n = sequences.n_steps
        if sequences.n_sequences > 1 or n < 4:
            raise ValueError(
                f"X must be one series of at least 4 rows, got {sequences.n_sequences} of {n} rows in all; score each "
                "series by itself."
            )
        n_context = max(
            min(n // 2, steps_of_memory(self.spectral_radius, self.reservoir_.leak)), self.transform_.lag + 1
        )
        beside = self._beside(sequences, exog)
        context, ahead = (None, None) if beside is None else (beside[:n_context], beside[n_context:])
        rows = sequences.rows
        found = self.forecast(n - n_context, rows[:n_context], ahead, context_exog=context)
        return float(r2_score(rows[n_context:], found))

    @all_or_nothing
    def update(self, X: Any, *, exog: Any = None) -> Any:
        """Go on from new rows that follow the training series, without learning from them.

        Forecasts without a context then go on after the last of them, from the state to which the whole past has led.

        Parameters
        ----------
        X : (n_new, n_features), or a list or stack with as many series as in ``fit``
        exog : in the form of X, needed if the model was fitted with it

        Returns
        -------
        self
        """
        check_is_fitted(self)
        new = self._read(as_table(X))
        S, kept = len(self.last_), self.transform_.lag + 1
        if new.n_sequences != S:
            raise ValueError(
                f"X must hold what follows each of the {S} series of fit, got {new.n_sequences} (in {brief(X)}); give "
                "one continuation a series, in their order."
            )
        beside = self._beside(new, exog)
        # The rows kept from before come first; the exog beside them has been used.
        joined = Sequences(_joined(self.last_, new, new.rows), new.offsets + kept * np.arange(S + 1), new.form)
        if beside is not None:
            beside = _joined(np.zeros((S, kept, self.n_exog_)), new, beside)
        _, pairs = self._pairs(joined, beside)
        task = self._task(pairs, pairs.rows, initial=self.state_)
        self.state_ = drive(self.reservoir_, task, wants_final=True).final
        self._refuse_overflow(self.state_, "states")
        self.last_ = self._ends(joined)
        if isinstance(self.container_, Container):
            self.container_ = self.container_.after(X, new.n_steps)
        elif self.container_ is not None:
            members = zip(self.container_, X, new.lengths, strict=True)
            self.container_ = tuple(c if c is None else c.after(each, int(n)) for c, each, n in members)
        return self


def _joined(before: np.ndarray, new: Sequences, rows: np.ndarray) -> np.ndarray:
    """Rows of every series after those of ``before`` (S, kept, k)."""
    pieces = np.split(rows, new.offsets[1:-1])
    return np.concatenate([part for pair in zip(before, pieces, strict=True) for part in pair]).astype(new.rows.dtype)
