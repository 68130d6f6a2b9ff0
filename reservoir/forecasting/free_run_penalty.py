r"""The ridge penalty of a forecaster, chosen by what it forecasts: free runs and single steps on rows held out.

For every candidate α and held-out block, a readout of the other rows predicts each row of the block from the one
before, and runs freely from a few places of the block, held by the guard. With e the errors of standardised series::

    score(α) = log mean e_step(α)² + mean over free runs of log mean e_free(α)²

The first mean is over all rows held out, the last over the steps of a run; the geometric mean over runs lets no single
one decide, as that of a chaotic series would that leaves the truth early.
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
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

CANDIDATES = np.array(AUTO_ALPHAS)
HORIZON = 50  # steps of a free run
N_BLOCKS, STARTS_A_BLOCK = 5, 3  # of a short series, held out in turn
N_THIRDS, STARTS_OF_LONG = 3, 5  # of a long one, of which the last is held out
LONGEST_START = 100  # rows that synchronise, of those held out of a long one
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
        """The readout of all rows at the penalty that forecasts best, and errors (n, O) of rows held out at it.

        ``final`` as in :func:`reservoir.estimators.training.train`.
        """
        is_long = len(self.task.rows) >= LONG * n_features(self.reservoir, self.task)
        if is_long and solver == "qr":
            folds = take_sums(self.reservoir, self.task, TriangularFactor, N_THIRDS, final)
            alpha, residuals = self._of_long(folds)
            return solve(total_of(folds), alpha, fit_intercept=self.fit_intercept), residuals
        if is_long:
            alpha, residuals = self._of_long(take_sums(self.reservoir, self.task, TriangularFactor, N_THIRDS))
        else:
            with single_blas_thread():
                alpha, residuals = self._of_short()
        readout = train(
            self.reservoir, self.task, alpha=alpha, solver=solver, fit_intercept=self.fit_intercept, final=final
        )
        return readout, residuals

    def _of_long(self, folds: list[TriangularFactor]) -> tuple[float, np.ndarray]:
        """By the last third alone: a factorisation for each of every other candidate."""
        candidates, tail = CANDIDATES[::2], folds[-1]
        with single_blas_thread():
            centred = total_of(folds[:-1]).centred(fit_intercept=self.fit_intercept)
            readouts = [centred.solve(float(alpha)) for alpha in candidates]
        known = [k for k, readout in enumerate(readouts) if readout is not None]
        coef, intercept = _stacked([readouts[k] for k in known])
        n_rows = len(self.task.rows)
        begin = n_rows * (N_THIRDS - 1) // N_THIRDS
        places, horizons = starts(self.task.offsets, begin, n_rows, STARTS_OF_LONG, HORIZON)
        free = self._free_errors(coef, intercept, self._states_before(places), places, horizons)
        single = np.array([_step_error(tail, c, b) for c, b in zip(coef, intercept, strict=True)])
        best = _best(single, free)
        return float(candidates[known[best]]), self._step_errors_after(begin, coef[best], intercept[best])

    def _of_short(self) -> tuple[float, np.ndarray | None]:
        """By all blocks in turn, each left out of a decomposition that serves all candidates."""
        task = replace(self.task, noise=0.0, watch=None)
        states = drive(self.reservoir, task, wants_states=True).states
        Z = np.concatenate([states, task.rows[:, : task.n_read]], axis=1).astype(float)
        Y = task.targets.astype(float)
        counts = np.flatnonzero(np.ones(len(Z)) if task.weights is None else task.weights > 0)
        single, free, steps = np.zeros(len(CANDIDATES)), [], []
        for block in np.array_split(counts, min(N_BLOCKS, len(counts))):
            rest = np.setdiff1d(counts, block)
            if len(rest) == 0:
                continue
            tile = np.concatenate([Z[rest].T, np.ones((1, len(rest))), Y[rest].T])
            rows = HeldRows(Z.shape[1], Y.shape[1])
            rows.add(tile)
            decomposition = rows.centred(fit_intercept=self.fit_intercept).decompose()
            coef, intercept = _stacked([decomposition.readout(float(alpha)) for alpha in CANDIDATES])
            errors = Z[block] @ coef.transpose(0, 2, 1) + intercept[:, None] - Y[block]
            single += np.sum(errors**2, axis=(1, 2))
            steps.append(errors)
            places, horizons = starts(task.offsets, int(block[0]), int(block[-1]) + 1, STARTS_A_BLOCK, HORIZON)
            if len(places) > 0:
                free.append(self._free_errors(coef, intercept, states[places - 1], places, horizons))
        best = _best(single, np.concatenate(free, axis=1) if free else np.ones((len(CANDIDATES), 1)))
        return float(CANDIDATES[best]), -np.concatenate(steps, axis=1)[best] if steps else None

    def _step_errors_after(self, begin: int, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """(n, O) truth minus prediction of the rows from ``begin`` on that the fit counts; the first synchronise."""
        task = self.task
        offsets = np.append(begin, task.offsets[task.offsets > begin]) - begin
        rest = replace(
            task,
            rows=task.rows[begin:],
            offsets=offsets,
            initial=None,
            targets=None,
            weights=None,
            noise=0.0,
            watch=None,
        )
        errors = task.targets[begin:] - drive(self.reservoir, rest, coef=coef, intercept=intercept).outputs
        counts = np.ones(len(errors), bool) if task.weights is None else task.weights[begin:] > 0
        counts[: min(LONGEST_START, len(errors) // 2)] = False
        return errors[counts].astype(float)

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
        A, L, O = len(coef), len(places), self.task.targets.shape[1]
        n_steps = int(horizons.max(initial=0))
        counts = np.arange(n_steps) < horizons[:, None]
        rows = np.minimum(places[:, None] + np.arange(n_steps), len(self.task.rows) - 1)
        low, high = -np.inf, np.inf
        if self.guard is not None:
            low, high = (bound for bound in self.transform.bounds(n_steps, self.guard))
        lanes = Lanes(
            np.tile(state, (A, 1)), np.tile(self.task.rows[places, :O], (A, 1)), np.repeat(coef, L, axis=0),
            np.repeat(intercept, L, axis=0), np.tile(self.task.rows[rows][:, :, O:], (A, 1, 1)), low, high,
        )  # fmt: skip
        outputs = run_closed(self.reservoir, lanes)[0].reshape(A, L, n_steps, O)
        with np.errstate(over="ignore", invalid="ignore"):  # runs that no guard holds may leave all bounds
            squares = np.mean((outputs - self.task.targets[rows]) ** 2, axis=3)
        return np.sum(np.where(counts, squares, 0.0), axis=2) / counts.sum(axis=1)


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


def _step_error(fold: TriangularFactor, coef: np.ndarray, intercept: np.ndarray) -> float:
    """Sum of the squared errors of single steps on the rows of ``fold``."""
    K = fold.n_features
    offset = intercept + coef @ fold.shift[:K] - fold.shift[K:]
    return float(np.sum(fold.held_out_error(coef, offset)))


def _best(single: np.ndarray, free: np.ndarray) -> int:
    """Which of the candidates (A,), which rise, has the least score; of those that tie the last."""
    with np.errstate(all="ignore"):
        tiny = np.finfo(float).tiny
        scores = np.log(single + tiny) + np.log(free + tiny).mean(axis=1)
    scores[~np.isfinite(scores)] = np.inf
    return len(scores) - 1 - int(np.argmin(scores[::-1]))
