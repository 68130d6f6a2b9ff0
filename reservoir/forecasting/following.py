"""What a fitted forecaster does with rows that follow or resemble those it has learnt from."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, flag
from reservoir.data.cold_start import warn_of_a_short_context
from reservoir.data.containers import Container, labelled
from reservoir.data.sequences import Sequences
from reservoir.drive.routes import drive
from reservoir.estimators.estimator import all_or_nothing
from reservoir.forecasting.sees_series import SeesSeries


class FollowsRows(SeesSeries):
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
        beside = self._beside(sequences, exog)
        found = [member._single_steps(sequences, beside) for member in (self, *self.other_members_)]
        return labelled(X, sequences.like_input(found[0] if len(found) == 1 else np.median(found, axis=0)))

    def _single_steps(self, sequences: Sequences, beside: np.ndarray | None) -> np.ndarray:
        """(n_steps, n_features) every row from those before it, NaN where there are too few."""
        _, pairs = self._pairs(sequences, beside)
        found = np.full(sequences.rows.shape, np.nan, sequences.rows.dtype)
        if pairs.n_steps > 0:
            filled = replace(pairs, offsets=np.unique(pairs.offsets))
            z = drive(
                self.reservoir_, self._task(filled, filled.rows), coef=self.coef_, intercept=self.intercept_
            ).outputs
            self._refuse_overflow(z, "states and outputs")
            found[self.transform_.is_kept(sequences, 1)] = self.transform_.one_step_back(z, sequences)
        return found

    def score(self, X: Any, y: Any = None, *, exog: Any = None) -> float:
        """R² of a free run over X, of which the first rows synchronise.

        As many rows as the reservoir remembers, and at most half of X, are the context of a forecast of the rest.
        Where half of X is shorter than that a :class:`reservoir.ColdStartWarning` says so.

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
        remembered = self._n_remembered()
        n_context = max(min(n // 2, remembered), self.transform_.lag + 1)
        beside, rows = self._beside(sequences, exog), sequences.rows
        context = Sequences(rows[:n_context], np.array([0, n_context]))
        warn_of_a_short_context(context, remembered, "half of X", "score a longer series", depth=1)
        start = self._after(context, None if beside is None else beside[:n_context])
        ahead = np.zeros((n - n_context, 0)) if beside is None else self._standard(beside[n_context:])
        return float(r2_score(rows[n_context:], self._free_run(start, ahead[None])[0]))

    @all_or_nothing
    def update(self, X: Any, *, exog: Any = None, refit: bool = False) -> Any:
        """Go on from new rows that follow the training series.

        Forecasts without a context then go on after the last of them, from the state to which the whole past has led.

        Parameters
        ----------
        X : (n_new, n_features), or a list or stack with as many series as in ``fit``
        exog : in the form of X, needed if the model was fitted with it
        refit : bool
            False: nothing is learnt from the new rows. True: everything is learnt again, from all rows that ``fit`` and
            ``update`` have been given, on the same reservoir: as ``fit`` of them all.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        flag("refit", refit)
        new = self._read_rows(X)
        S = len(self.last_)
        if new.n_sequences != S:
            raise ValueError(
                f"X must hold what follows each of the {S} series of fit, got {new.n_sequences} (in {brief(X)}); give "
                "one continuation a series, in their order."
            )
        beside = self._beside(new, exog)
        both = new if beside is None else Sequences(np.concatenate([new.rows, beside], axis=1), new.offsets)
        seen = _joined(self.seen_, both)
        if refit:
            O = self.last_.shape[2]
            rows = Sequences(np.ascontiguousarray(seen.rows[:, :O]), seen.offsets, seen.form)
            self._learn(rows, None if beside is None else seen.rows[:, O:], draws=False)
        else:
            self._go_on(new, beside, seen)
        if isinstance(self.container_, Container):
            self.container_ = self.container_.after(X, new.n_steps)
        elif self.container_ is not None:
            members = zip(self.container_, X, new.lengths, strict=True)
            self.container_ = tuple(c if c is None else c.after(each, int(n)) for c, each, n in members)
        return self

    def _go_on(self, new: Sequences, beside: np.ndarray | None, seen: Sequences) -> None:
        """Set states and last rows to those after ``new``, and what has been ``seen`` with it, of all members."""
        others = [copy(other) for other in self.other_members_]
        for other in others:
            other._go_on(new, beside, seen)
        self.other_members_, self.seen_ = tuple(others), seen
        S, kept, _ = self.last_.shape
        before = kept * np.arange(S + 1)
        joined = _joined(Sequences(self.last_.reshape(S * kept, -1), before), new)
        to_come = None
        if beside is not None:  # what went beside the last rows has been used
            used = Sequences(np.zeros((S * kept, self.n_exog_), beside.dtype), before)
            to_come = _joined(used, Sequences(beside, new.offsets)).rows
        _, pairs = self._pairs(joined, to_come)
        self.state_ = drive(self.reservoir_, self._task(pairs, pairs.rows, initial=self.state_), wants_final=True).final
        self._refuse_overflow(self.state_, "states")
        self.last_ = self._ends(joined)


def _joined(first: Sequences, second: Sequences) -> Sequences:
    """Every series of ``second`` after the one of ``first`` that it follows."""
    pairs = zip(*(np.split(each.rows, each.offsets[1:-1]) for each in (first, second)), strict=True)
    rows = np.concatenate([part for pair in pairs for part in pair])
    return Sequences(rows, first.offsets + second.offsets, first.form)
