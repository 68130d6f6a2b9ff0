r"""The ridge penalty of a forecaster, chosen by what it forecasts: free runs and single steps on rows held out.

For every candidate α and held-out block, a readout of the other rows predicts each row of the block from the one
before, and runs freely from a few places of the block, held by the guard. With e the errors of standardised series::

    score(α) = log mean e_step(α)² + mean over free runs of log mean e_free(α)²

The first mean is over all rows held out, the last over the steps of a run; the geometric mean over runs lets no single
one decide, as that of a chaotic series would that leaves the truth early.

How far forecasts may be off is seen at the chosen penalty, from a dozen free runs over rows that come after those which
their readouts have learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from optim.threads import single_blas_thread
from reservoir.data.series_transform import SeriesTransform
from reservoir.drive.closed_loop import Lanes, run_closed
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir
from reservoir.estimators.training import AUTO_ALPHAS, n_features, take_sums, train
from reservoir.readout.linear import Readout
from reservoir.readout.ridge import solve, total_of
from reservoir.readout.rows import CentredRows, HeldRows
from reservoir.readout.tsqr import TriangularFactor

CANDIDATES = np.array(AUTO_ALPHAS)
HORIZON = 50  # steps of a free run
N_BLOCKS, STARTS_A_BLOCK = 5, 3  # of a short series, held out in turn
N_THIRDS, STARTS_OF_LONG = 3, 5  # of a long one, of which the last is held out
N_RUNS, LONGEST_RUN = 12, 100  # free runs that say how far forecasts are off, and their steps at most
RUNS_A_READOUT = 3  # of these, where rows are few: a readout of the rows before the first serves the next two
FEWEST_RUNS = 3  # that still run at the last step that is looked at
LARGEST_ERROR = 1e100  # of a run that has left all bounds
LONG = 2  # rows for each feature from which on a series is long


@dataclass(frozen=True, eq=False)
class Judge:
    """What a penalty is chosen from.

    Attributes
    ----------
    reservoir : Reservoir
    task : Task
        Of the fit: rows [z(t); exog(t+1)], targets z(t+1).
    transform : SeriesTransform
        Whose bounds hold the free runs.
    guard : float or None
    fit_intercept : bool
    """

    reservoir: Reservoir
    task: Task
    transform: SeriesTransform
    guard: float | None
    fit_intercept: bool

    def train(self, solver: str, final: np.ndarray) -> tuple[Readout, np.ndarray | None]:
        """The readout of all rows at the penalty that forecasts best, and errors (L, n_steps, O) of free runs at it.

        The errors are truth minus forecast, in the units of the series; those of a step at which some runs had ended
        are scaled, so that their sum of squares is what all L would have. ``final`` as in
        :func:`reservoir.estimators.training.train`.
        """
        if len(self.task.rows) >= LONG * n_features(self.reservoir, self.task):
            folds = take_sums(self.reservoir, self.task, TriangularFactor, N_THIRDS, final)
            alpha, residuals = self._of_long(folds)
            if solver != "gram":
                return solve(total_of(folds), alpha, fit_intercept=self.fit_intercept), residuals
        else:
            with single_blas_thread():
                alpha, residuals = self._of_short()
        readout = train(
            self.reservoir, self.task, alpha=alpha, solver=solver, fit_intercept=self.fit_intercept, final=final
        )
        return readout, residuals

    def _of_long(self, folds: list[TriangularFactor]) -> tuple[float, np.ndarray | None]:
        """By the last third alone: one reduction of the others serves every other candidate."""
        candidates, tail, K = CANDIDATES[::2], folds[-1], folds[-1].n_features
        with single_blas_thread():
            centred = total_of(folds[:-1]).centred(fit_intercept=self.fit_intercept)
            reduced = centred.reduce()
            known = candidates[(candidates > reduced.rounding) | reduced.is_full]
            if len(known) == 0:
                return float(candidates[-1]), None
            coef = reduced.coef(known)
        offset = centred.target_centre - coef @ centred.centre
        intercept = offset + centred.shift[K:] - coef @ centred.shift[:K]
        n_rows = len(self.task.rows)
        begin = n_rows * (N_THIRDS - 1) // N_THIRDS
        places, horizons = starts(self.task.offsets, begin, n_rows, STARTS_OF_LONG, HORIZON)
        free = self._free_errors(coef, intercept, self._states_before(places), places, horizons)
        best = _best(np.sum(tail.held_out_error(coef, offset), axis=1), free)
        places, _ = starts(self.task.offsets, begin, n_rows, N_RUNS, 1)
        residuals = self._residuals(coef[[best] * len(places)], intercept[[best] * len(places)], places)
        return float(known[best]), residuals

    def _of_short(self) -> tuple[float, np.ndarray | None]:
        """By all blocks in turn, each left out of a decomposition that serves all candidates."""
        task = replace(self.task, noise=0.0, watch=None)
        states = drive(self.reservoir, task, wants_states=True).states
        Z = np.concatenate([states, task.rows[:, : task.n_read]], axis=1).astype(float)
        Y = task.targets.astype(float)
        counts = np.flatnonzero(np.ones(len(Z)) if task.weights is None else task.weights > 0)
        single, free = np.zeros(len(CANDIDATES)), []
        for block in np.array_split(counts, min(N_BLOCKS, len(counts))):
            rest = np.setdiff1d(counts, block)
            if len(rest) == 0:
                continue
            decomposition = _centred(Z[rest], Y[rest], self.fit_intercept).decompose()
            coef, intercept = _stacked([decomposition.readout(float(alpha)) for alpha in CANDIDATES])
            errors = Z[block] @ coef.transpose(0, 2, 1) + intercept[:, None] - Y[block]
            single += np.sum(errors**2, axis=(1, 2))
            places, horizons = starts(task.offsets, int(block[0]), int(block[-1]) + 1, STARTS_A_BLOCK, HORIZON)
            if len(places) > 0:
                free.append(self._free_errors(coef, intercept, states[places - 1], places, horizons))
        best = _best(single, np.concatenate(free, axis=1) if free else np.ones((len(CANDIDATES), 1)))
        alpha = float(CANDIDATES[best])
        places, _ = starts(task.offsets, int(counts[len(counts) // 2]), int(counts[-1]) + 1, N_RUNS, 1)
        places = places[places > counts[0]]
        readouts = []
        for first in places[::RUNS_A_READOUT]:
            known = counts[counts < first]
            centred = _centred(Z[known], Y[known], self.fit_intercept)
            readouts += [centred.solve(alpha) or centred.decompose().readout(alpha)] * RUNS_A_READOUT
        return alpha, self._residuals(*_stacked(readouts[: len(places)]), places) if readouts else None

    def _residuals(self, coef: np.ndarray, intercept: np.ndarray, places: np.ndarray) -> np.ndarray | None:
        """Errors (L, n_steps, O) of free runs of L readouts, each from its own of L places, as ``train`` gives them."""
        offsets, L = self.task.offsets, len(places)
        if L == 0:
            return None
        ends = offsets[np.searchsorted(offsets, places, side="right")]
        errors, is_run = self._errors(
            coef, intercept, self._states_before(places), places, np.minimum(LONGEST_RUN, ends - places)
        )
        errors = np.clip(np.where(np.isnan(errors), LARGEST_ERROR, errors), -LARGEST_ERROR, LARGEST_ERROR)
        undone = replace(self.transform, mean=np.zeros_like(self.transform.mean))
        errors = undone.backward(errors, np.zeros((L, self.transform.lag, errors.shape[2])))
        n_run = is_run.sum(axis=0)
        known = n_run >= min(L, FEWEST_RUNS)
        return (np.where(is_run[:, :, None], errors, 0.0) * np.sqrt(L / np.maximum(n_run, 1))[:, None])[:, known]

    def _states_before(self, places: np.ndarray) -> np.ndarray:
        """(L, N) states after the rows before ``places``, which rise."""
        task, states, at, state = self.task, [], -1, None
        for place in places:
            begin = int(task.offsets[np.searchsorted(task.offsets, place, side="right") - 1])
            begin, state = (at, state) if begin < at else (begin, None)
            piece = replace(
                task, rows=task.rows[begin:place], offsets=np.array([0, place - begin]), initial=state, targets=None,
                weights=None, noise=0.0, watch=None,
            )  # fmt: skip
            state, at = drive(self.reservoir, piece, wants_final=True).final, int(place)
            states.append(state[0])
        return np.array(states).reshape(len(places), self.reservoir.n_units)

    def _free_errors(
        self, coef: np.ndarray, intercept: np.ndarray, state: np.ndarray, places: np.ndarray, horizons: np.ndarray
    ) -> np.ndarray:
        """(A, L) mean squared errors of the free runs of A readouts from L places."""
        A, L = len(coef), len(places)
        each = np.tile(np.arange(L), A)
        errors, is_run = self._errors(
            np.repeat(coef, L, axis=0), np.repeat(intercept, L, axis=0), state[each], places[each], horizons[each]
        )
        with np.errstate(over="ignore", invalid="ignore"):  # runs that no guard holds may leave all bounds
            squares = np.where(is_run, np.mean(errors**2, axis=2), 0.0)
            return (squares.sum(axis=1) / is_run.sum(axis=1)).reshape(A, L)

    def _errors(
        self, coef: np.ndarray, intercept: np.ndarray, state: np.ndarray, places: np.ndarray, horizons: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Truth minus free run (L, n_steps, O), with a readout a place, and whether (L, n_steps) it still runs."""
        O, n_steps = self.task.targets.shape[1], int(horizons.max(initial=0))
        rows = np.minimum(places[:, None] + np.arange(n_steps), len(self.task.rows) - 1)
        low, high = -np.inf, np.inf
        if self.guard is not None:
            low, high = self.transform.bounds(n_steps, self.guard)
        exog = self.task.rows[rows][:, :, O:]
        lanes = Lanes(state, self.task.rows[places, :O], coef, intercept, exog, low, high)
        with np.errstate(over="ignore", invalid="ignore"):
            errors = self.task.targets[rows] - run_closed(self.reservoir, lanes)[0]
        return errors, np.arange(n_steps) < horizons[:, None]


def _centred(Z: np.ndarray, Y: np.ndarray, fit_intercept: bool) -> CentredRows:
    """Features Z (n, K) and targets Y (n, O), about their means where an intercept is fitted."""
    rows = HeldRows(Z.shape[1], Y.shape[1])
    rows.add(np.concatenate([Z.T, np.ones((1, len(Z))), Y.T]))
    return rows.centred(fit_intercept=fit_intercept)


def starts(offsets: np.ndarray, begin: int, end: int, n_starts: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows t in ``begin`` .. ``end`` whose step is the first of a free run, and the runs' lengths, at most ``horizon``.

    ``offsets`` (n_series + 1,) are of the series that the rows belong to: a run ends with its own.
    """
    places = np.unique(np.linspace(begin, max(begin, end - horizon), n_starts).astype(int))
    series = np.searchsorted(offsets, places, side="right") - 1
    places = places[places > offsets[series]]
    series = np.searchsorted(offsets, places, side="right") - 1
    return places, np.minimum(horizon, np.minimum(end, offsets[series + 1]) - places)


def _stacked(readouts: list[Readout]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (A, O, K) and intercepts (A, O)."""
    return np.stack([readout.coef for readout in readouts]), np.stack([readout.intercept for readout in readouts])


def _best(single: np.ndarray, free: np.ndarray) -> int:
    """Which of the candidates (A,), which rise, has the least score; of those that tie the last."""
    with np.errstate(all="ignore"):
        tiny = np.finfo(float).tiny
        scores = np.log(single + tiny) + np.log(free + tiny).mean(axis=1)
    scores[~np.isfinite(scores)] = np.inf
    return len(scores) - 1 - int(np.argmin(scores[::-1]))
