r"""How well a forecaster's settings forecast: free runs over blocks of the series that are held out.

Blocks lie in the last halves of the series. For every block and penalty a readout of the rows before it, and of the
other series, is learnt: with the rows after it too, a series that grows would be filled in and not forecast. All
penalties run freely side by side from a few places of the block. With m(k) the mean square of a run's first k errors,
over the variance of the series, a run of h steps scores the digits by which it is better than the mean of the series::

    score = 1/h Σ_k 1/2 log10(1 + 1/m(k))

and a block the mean over its runs. Digits let no single run decide, and steps after a chaotic series has left the
forecast count for nothing: the length of a run hardly matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from optim.threads import single_blas_thread
from reservoir.data.sequences import Sequences
from reservoir.drive.closed_loop import Lanes, run_closed
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.estimators.training import AUTO_ALPHAS, is_auto, n_features
from reservoir.forecasting.forecaster import ESNForecaster
from reservoir.memory import check_memory
from reservoir.readout.linear import Readout
from reservoir.readout.ridge import check_alpha
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import CentredFactor, triangle

CANDIDATES = np.array(AUTO_ALPHAS[::3])  # the fit of the best settings chooses among all
STARTS_A_BLOCK = 4
LONGEST_RUN = 100
MOST_ROWS = 20_000  # that settings are judged by: the last ones


@dataclass(frozen=True)
class Judgement:
    """What one candidate's settings came to.

    Attributes
    ----------
    scores : (n_blocks,)
        At the penalty that is best over all blocks; -inf where states are not finite.
    alpha : float
        That penalty.
    fit_s, score_s : float
        Seconds a block, for states and readouts, and for the free runs.
    """

    scores: np.ndarray
    alpha: float
    fit_s: float
    score_s: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Series of which blocks are held out, each with what comes after it.

    Attributes
    ----------
    sequences : Sequences
    beside : (n_steps, n_exog) or None
    n_blocks : int >= 2
    n_steps : int >= 1
        Of a free run, at most; no run is longer than half of its block.
    metric : callable (truth, forecast) -> float, or None
        Of a run, both (n_steps, n_features) in the units of the series; more is better. None: its digits.
    """

    sequences: Sequences
    beside: np.ndarray | None
    n_blocks: int
    n_steps: int
    metric: Callable[[np.ndarray, np.ndarray], float] | None = None

    @property
    def n_inputs(self) -> int:
        """Columns that the reservoir reads."""
        return self.sequences.rows.shape[1] + (0 if self.beside is None else self.beside.shape[1])

    def judge(self, model: ESNForecaster) -> Judgement:
        """The settings of ``model``, which has a reservoir already or draws one."""
        begin = time.perf_counter()
        task = replace(
            model._fitting_task(self.sequences, self.beside, draws=not hasattr(model, "reservoir_")), watch=None
        )
        K = n_features(model.reservoir_, task)
        check_memory(8 * 4 * len(task.rows) * (K + 1), f"states of {len(task.rows)} rows")
        states = drive(model.reservoir_, task, wants_states=True).states
        rested = drive(model.reservoir_, replace(task, noise=0.0), wants_states=True).states if task.noise else states
        if not np.isfinite(states).all():
            seconds = (time.perf_counter() - begin) / self.n_blocks
            return Judgement(np.full(self.n_blocks, -np.inf), np.nan, seconds, 0.0)
        Z = np.concatenate([states, task.rows[:, : task.n_read]], axis=1).astype(float)
        alphas = CANDIDATES if is_auto(model.alpha) else np.atleast_1d(check_alpha(model.alpha))
        blocks, readouts = self._blocks(task), []
        for block in blocks:
            known = _known_before(task, block)
            readouts.append(_readouts(Z[known], task.targets[known].astype(float), alphas, model.fit_intercept))
        middle = time.perf_counter()
        scores = self._scores(model, task, rested, readouts, blocks)
        means = scores.mean(axis=0)
        best = len(means) - 1 - int(np.argmax(means[::-1]))
        seconds = middle - begin, time.perf_counter() - middle
        return Judgement(scores[:, best], float(alphas[best]), *(each / self.n_blocks for each in seconds))

    def _blocks(self, task: Task) -> list[np.ndarray]:
        """Rows of the last halves of all series in blocks of consecutive ones, without those that teach nothing."""
        counts = _teaching(task)
        found = [begin + np.flatnonzero(counts[begin:end]) for begin, end in pairwise(task.offsets)]
        late = np.concatenate([rows[(len(rows) + 1) // 2 :] for rows in found])
        if len(late) < self.n_blocks:
            raise ValueError(
                f"X must have a row or more for each of cv={self.n_blocks} blocks, got {len(late)} in the last halves "
                f"of its series (n_samples={self.sequences.n_steps}); give longer series, or a smaller cv or washout."
            )
        return np.array_split(late, self.n_blocks)

    def _scores(
        self, model: ESNForecaster, task: Task, states: np.ndarray, readouts: list[list[Readout]], blocks: list
    ) -> np.ndarray:
        """(n_blocks, A) mean scores of the free runs from a few places of every block, all side by side."""
        found = [self._starts(task, block) for block in blocks]
        places, horizons = (np.concatenate(part) for part in zip(*found, strict=True))
        block_of = np.repeat(np.arange(len(blocks)), [len(part) for part, _ in found])
        A, L, O, n_steps = len(readouts[0]), len(places), task.targets.shape[1], int(horizons.max())
        ahead = np.minimum(places[:, None] + np.arange(n_steps), len(task.rows) - 1)
        coef = np.array([[each.coef for each in of_block] for of_block in readouts])[block_of].swapaxes(0, 1)
        intercept = np.array([[each.intercept for each in of_block] for of_block in readouts])[block_of].swapaxes(0, 1)
        low, high = (-np.inf, np.inf) if model.guard is None else model.transform_.bounds(n_steps, model.guard)
        lanes = Lanes(
            np.tile(states[places - 1], (A, 1)), np.tile(task.rows[places, :O], (A, 1)), coef.reshape(A * L, O, -1),
            intercept.reshape(A * L, O), np.tile(task.rows[ahead][:, :, O:], (A, 1, 1)), low, high,
        )  # fmt: skip
        z = run_closed(model.reservoir_, lanes)[0]
        recent, future = self._around(task, places, n_steps, model.transform_.lag)
        scores = np.zeros((A, L))
        with np.errstate(over="ignore", invalid="ignore"):
            rows = model.transform_.backward(z, np.tile(recent, (A, 1, 1))).reshape(A, L, n_steps, O)
            for (a, i), h in zip(np.ndindex(A, L), np.tile(horizons, A), strict=True):
                scores[a, i] = self._score(future[i, :h], rows[a, i, :h])
        return np.array([scores[:, block_of == k].mean(axis=1) for k in range(len(blocks))])

    def _starts(self, task: Task, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of ``block`` from which runs begin, and the runs' lengths: at most half of the block."""
        longest = min(self.n_steps, max(1, len(block) // 2))
        places = block[np.unique(np.linspace(0, len(block) - longest, STARTS_A_BLOCK).astype(int))]
        ends = task.offsets[np.searchsorted(task.offsets, places, side="right")]
        return places, np.minimum(longest, ends - places)

    def _around(self, task: Task, places: np.ndarray, n_steps: int, lag: int) -> tuple[np.ndarray, np.ndarray]:
        """(L, lag + 1, O) rows of the series up to ``places``, and (L, n_steps, O) those that follow."""
        # Every series has lost its first ``lag`` rows to differences, and one to have a next.
        row = places + (lag + 1) * (np.searchsorted(task.offsets, places, side="right") - 1) + lag
        last = self.sequences.n_steps - 1
        future = self.sequences.rows[np.minimum(row[:, None] + np.arange(1, n_steps + 1), last)]
        return self.sequences.rows[row[:, None] + np.arange(-lag, 1)], future

    def _score(self, truth: np.ndarray, found: np.ndarray) -> float:
        if self.metric is not None:
            return float(self.metric(truth, found)) if np.isfinite(found).all() else -np.inf
        deviation = self.sequences.rows.std(axis=0, dtype=float)
        squares = np.mean(((found - truth) / np.where(deviation > 0, deviation, 1.0)) ** 2, axis=1)
        so_far = np.cumsum(squares) / np.arange(1, len(squares) + 1)
        so_far = np.maximum(np.nan_to_num(so_far, nan=np.inf, posinf=np.inf), np.finfo(float).tiny)
        return float(np.mean(0.5 * np.log10(1 + 1 / so_far)))


def _teaching(task: Task) -> np.ndarray:
    """(n_rows,) bool: rows of positive weight."""
    return np.ones(len(task.rows), bool) if task.weights is None else task.weights > 0


def _known_before(task: Task, block: np.ndarray) -> np.ndarray:
    """(n_rows,) bool: rows that teach, without ``block`` and without what comes after it in the same series."""
    known = _teaching(task)
    series, first = np.unique(np.searchsorted(task.offsets, block, side="right") - 1, return_index=True)
    for k, row in zip(series, block[first], strict=True):
        known[row : task.offsets[k + 1]] = False
    return known


def latest(sequences: Sequences, beside: np.ndarray | None) -> tuple[Sequences, np.ndarray | None]:
    """The last :data:`MOST_ROWS` rows of one series, or the last whole series that have no more together.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.sequences import Sequences
    >>> from reservoir.search.held_out import latest
    >>> few, _ = latest(Sequences(np.zeros((45_000, 1)), np.array([0, 20_000, 35_000, 45_000])), None)
    >>> few.offsets.tolist(), len(few.rows)
    ([0, 10000], 10000)
    """
    begin = max(0, sequences.n_steps - MOST_ROWS)
    if begin < sequences.offsets[-2]:
        begin = int(sequences.offsets[np.searchsorted(sequences.offsets, begin)])
    offsets = np.unique(np.maximum(sequences.offsets - begin, 0))
    few = replace(sequences, rows=sequences.rows[begin:], offsets=offsets)
    return few, None if beside is None else beside[begin:]


def _readouts(Z: np.ndarray, Y: np.ndarray, alphas: np.ndarray, fit_intercept: bool) -> list[Readout]:
    """Ridge readouts of the rows of Z (n, K), one a penalty: by singular vectors of few rows, by QR of many."""
    (n, K), O = Z.shape, Y.shape[1]
    with single_blas_thread():
        if n < K + O:
            rows = HeldRows(K, O)
            rows.add(np.concatenate([Z, np.ones((n, 1)), Y], axis=1).T)
            decomposition = rows.centred(fit_intercept=fit_intercept).decompose()
            return [decomposition.readout(float(alpha)) for alpha in alphas]
        centre = Z.mean(axis=0) if fit_intercept else np.zeros(K)
        target_centre = Y.mean(axis=0) if fit_intercept else np.zeros(O)
        R = triangle(np.concatenate([Z - centre, Y - target_centre], axis=1))
        factor = CentredFactor(R, K, centre, target_centre, np.zeros(K + O), float(n), n)
        found = [factor.solve(float(alpha)) for alpha in alphas]
        if None in found:  # penalties that rounding outweighs
            decomposition = factor.decompose()
            pairs = zip(alphas, found, strict=True)
            found = [decomposition.readout(float(alpha)) if each is None else each for alpha, each in pairs]
        return found
