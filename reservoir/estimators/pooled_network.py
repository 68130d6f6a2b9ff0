"""One answer a sequence: what regressor and classifier share where the readout reads pooled states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from optim.arguments import brief, choice, flag, integer, number
from reservoir.data.layouts import warn_of_another_layout
from reservoir.data.sequences import Sequences, check_washout
from reservoir.drive.pooled_states import Pooling, pooled_features
from reservoir.estimators.echo_state import EchoStateNetwork
from reservoir.estimators.estimator import progress
from reservoir.estimators.free_run import range_of
from reservoir.estimators.training import KINDS, is_auto
from reservoir.memory import check_memory
from reservoir.readout.pooling import POOLINGS, check_poolings
from reservoir.readout.ridge import check_alpha
from reservoir.readout.sequence_ridge import SequenceRows, learn

# Chosen by the study `classification`.
LEAK_RATES, BIAS_SCALING = (1.0, 0.3, 0.1, 0.03), 0.5
ALPHAS = tuple(10.0**k for k in range(-3, 7))


class PooledNetwork(EchoStateNetwork):
    """Echo state network that reads every step, or pools the states of a sequence and answers once."""

    def _poolings_for(self, sequences: Sequences, has_one_answer: bool) -> tuple[str, ...] | None:
        """Names of the poolings, or None for the readout of every row."""
        is_bidirectional = flag("bidirectional", self.bidirectional)
        warn_of_another_layout(sequences, has_one_answer)
        names = None
        if is_auto(self.pooling):
            if has_one_answer and (sequences.lengths > 1).any() and self._asks_for_rows(sequences) is None:
                names = POOLINGS
        elif self.pooling is not None:
            names = check_poolings(self.pooling)
            self._refuse_unless_pooled(sequences, has_one_answer)
        if names is None and is_bidirectional:
            raise ValueError(
                "bidirectional must be False where every row is read, got True; pool, with one answer a sequence in y "
                "and pooling='auto'."
            )
        if names is not None:
            _refuse_single_rows(sequences)
        return names

    def _asks_for_rows(self, sequences: Sequences) -> str | None:
        """The argument that means something only where every row is read."""
        if getattr(self, "decision", None) is not None:
            return f"decision={self.decision!r}"
        if number("feedback_scaling", self.feedback_scaling, least=0, remedy="0 turns it off") > 0:
            return f"feedback_scaling={self.feedback_scaling}"
        weights = sequences.weights
        if weights is not None and (weights != sequences.on_rows(weights[sequences.offsets[:-1]])).any():
            return "a sample_weight that changes within a sequence"
        return None

    def _refuse_unless_pooled(self, sequences: Sequences, has_one_answer: bool) -> None:
        asked = self._asks_for_rows(sequences)
        if asked is not None:
            raise ValueError(
                f"pooling must be None beside {asked}, which the readout of every row alone uses, got "
                f"pooling={brief(self.pooling)}; set one of them."
            )
        if not has_one_answer:
            raise ValueError(
                f"y must have one entry a sequence for pooling={brief(self.pooling)}, got one a row; give X as a list, "
                "a 3-D array or with lengths= and y with an entry for each sequence, or pooling=None."
            )

    def _settings_of_reservoir(self) -> dict[str, Any]:
        settings = super()._settings_of_reservoir()
        is_pooled = self.poolings_ is not None
        if is_auto(settings["leak_rate"]):
            settings["leak_rate"] = np.resize(LEAK_RATES, self.n_units) if is_pooled else 1.0
        if is_auto(settings["bias_scaling"]):
            settings["bias_scaling"] = BIAS_SCALING if is_pooled else 0.0
        return settings

    def _fit_pooled(self, sequences: Sequences, targets: np.ndarray) -> None:
        """Learn the readout of pooled states; targets (n_steps, O) are the same on all rows of a sequence."""
        alphas = self._check_readout_of(sequences, targets)
        self._draw(sequences.rows.shape[1], 0, sequences.rows.dtype)
        for name in ("sums_", "fold_sums_", "state_"):
            vars(self).pop(name, None)
        self._learn(self._rows_of(sequences, targets, 0), alphas, targets)

    def _add_pooled(self, sequences: Sequences, targets: np.ndarray, initial_state: Any) -> None:
        """Add sequences to those seen, of which a row of features each is kept."""
        self._refuse_in_pooling(initial_state=initial_state)
        before: SequenceRows | None = getattr(self, "sums_", None)
        alphas = self._check_readout_of(sequences, targets, before)
        if before is None:
            self._draw(sequences.rows.shape[1], 0, sequences.rows.dtype)
        rows = self._rows_of(sequences, targets, 0 if before is None else len(before.weights))
        rows = rows if before is None else before.with_more(rows)
        self._learn(rows, alphas, targets, None if before is None else self.target_range_)
        self.sums_ = rows

    def _check_readout_of(
        self, sequences: Sequences, targets: np.ndarray, before: SequenceRows | None = None
    ) -> float | np.ndarray:
        """The penalties to choose from, once all that a pooled readout needs is there."""
        alphas = np.array(ALPHAS) if is_auto(self.alpha) else check_alpha(self.alpha)
        choice("solver", self.solver, KINDS, remedy="'cg' is for rows, with pooling=None")
        if np.ndim(alphas):
            first = targets[sequences.offsets[:-1]][_counts(sequences)]
            self._refuse_too_few(first if before is None else np.concatenate([before.targets, first]))
        return alphas

    def _refuse_too_few(self, targets: np.ndarray) -> None:
        """Raise unless ``targets`` (n, O) can be dealt to folds."""
        if len(targets) < 2:
            raise ValueError(
                "X must hold at least 2 sequences of positive weight for alpha to be chosen, got 1; give more, or "
                "alpha as one number."
            )

    def _rows_of(self, sequences: Sequences, targets: np.ndarray, n_seen: int) -> SequenceRows:
        counts = _counts(sequences)
        first = sequences.offsets[:-1][counts]
        weights = np.ones(len(first)) if sequences.weights is None else sequences.weights[first]
        n_features = self._pooling_of().n_features(self.reservoir_.n_units, self._n_read)
        check_memory(8 * n_features * sequences.n_sequences, f"{n_features} features of each sequence")
        noise = number("state_noise", self.state_noise, least=0, remedy="0 turns it off")
        features = np.concatenate(
            [block for _, block in self._features(sequences, noise=noise, noise_seed=self.noise_seed_ + n_seen)]
        )
        return SequenceRows(features[counts], targets[first].astype(np.float64), weights)

    def _learn(
        self, rows: SequenceRows, alphas: float | np.ndarray, targets: np.ndarray, before: np.ndarray | None = None
    ) -> None:
        readout = learn(
            rows, alphas, are_classes=hasattr(self, "classes_"), precision=self.reservoir_.dtype, solver=self.solver,
            fit_intercept=self.fit_intercept,
        )  # fmt: skip
        self._keep(readout)
        self.target_range_ = range_of(targets, before)

    @property
    def _n_read(self) -> int:
        return self.reservoir_.n_inputs if self.include_input else 0

    def _pooling_of(self) -> Pooling:
        washout = integer("washout", self.washout, least=0, remedy="0 keeps every row")
        return Pooling(self.poolings_, washout, self.bidirectional)

    def _features(self, sequences: Sequences, **more: Any):
        """(first sequence, finite features) of some sequences after the others."""
        check_washout(sequences, self.washout)
        task = replace(self._task(sequences, sequences.rows, **more), watch=progress(type(self).__name__, self.verbose))
        for first, features in pooled_features(self.reservoir_, task, self._pooling_of()):
            self._refuse_overflow(features, "states", f"sequence {first} +")
            yield first, features

    def _pooled_outputs(self, sequences: Sequences) -> np.ndarray:
        """(n_sequences, O) answers."""
        coef, intercept = np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)
        return np.concatenate([features @ coef.T + intercept for _, features in self._features(sequences)])

    def _refuse_in_pooling(self, **given: Any) -> None:
        """Raise for an argument that goes on from, or hands on, the state of a row."""
        for name, value in given.items():
            if value is not None and value is not False:
                raise ValueError(
                    f"{name} must not be given where whole sequences are pooled, got {brief(value)}; leave it out, or "
                    "fit with pooling=None."
                )


def _counts(sequences: Sequences) -> np.ndarray:
    """(n_sequences,) bool: which have a weight."""
    if sequences.weights is None:
        return np.ones(sequences.n_sequences, bool)
    return sequences.weights[sequences.offsets[:-1]] > 0


def _refuse_single_rows(sequences: Sequences) -> None:
    short = np.flatnonzero(sequences.lengths == 1)
    if len(short) > 0:
        raise ValueError(
            f"X must hold sequences of at least 2 rows to be pooled, got 1 row in sequence {short[0]} "
            f"({len(short)} such sequences of {sequences.n_sequences}); leave them out, or fit with pooling=None."
        )
