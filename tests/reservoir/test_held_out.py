"""Blocks held out, and free runs over them, against plain loops."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from naive.held_out import digits_of_blocks
from reservoir import ESNForecaster
from reservoir.data.sequences import Sequences
from reservoir.search import held_out
from reservoir.search.held_out import HeldOut

ALPHAS = np.array([1e-6, 1e-2, 1.0])
SMALL = {"n_units": 12, "in_degree": 4, "washout": 3, "alpha": ALPHAS, "random_state": 0}


def series(n, seed=0):
    rng = np.random.default_rng(seed)
    t, e = np.arange(n), rng.normal(size=(n, 1))
    return np.column_stack([np.sin(0.3 * t), 2 * np.cos(0.3 * t)]) + 0.1 * e + 0.02 * t[:, None], e


def judged_by_hand(model, X, exog, judge, n_blocks, n_steps):
    """The twin's digits of every penalty and block for the reservoir that ``model`` has drawn."""
    r, lag = model.reservoir_, model.difference or 0
    rows = range(3, len(X) - lag - 1)
    blocks = [block.tolist() for block in np.array_split(rows[-(len(rows) // 2) :], n_blocks)]
    places = []
    for block in blocks:
        last = len(block) - min(n_steps, len(block) // 2)
        places.append(sorted({block[k * last // 3] for k in range(4)}))
    bounds = np.full(2, -np.inf), np.full(2, np.inf)
    return digits_of_blocks(
        (r.W.toarray(), r.input_weights, r.bias, r.leak), X, blocks=blocks, places=places, n_steps=n_steps,
        alphas=ALPHAS, washout=3, bounds=bounds, lag=lag, exog=exog,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "difference", "has_exog"), [(21, None, False), (60, None, True), (60, 1, False), (60, 4, True)]
)
def test_scores_are_those_of_plain_loops(n, difference, has_exog):
    X, e = series(n)
    model = ESNForecaster(**SMALL, difference=difference, guard=None)
    model.n_exog_ = int(has_exog)
    judge = HeldOut(Sequences(X, np.array([0, n])), e if has_exog else None, n_blocks=3, n_steps=5)
    found = judge.judge(model)
    right = judged_by_hand(model, X, e if has_exog else None, judge, 3, 5)
    best = int(np.argmax(right.mean(axis=1)))
    assert found.alpha == ALPHAS[best]
    assert_allclose(found.scores, right[best], rtol=1e-6)
    assert found.fit_s > 0 and found.score_s > 0


def test_series_are_judged_each_by_its_own_rows():
    X, _ = series(40)
    of = lambda *lengths: HeldOut(  # noqa: E731
        Sequences(np.concatenate([X] * len(lengths)), np.cumsum([0, *lengths])), None, n_blocks=len(lengths), n_steps=4
    )
    model = ESNForecaster(**SMALL, difference=2)
    model.n_exog_ = 0
    first, second = of(40, 40).judge(model).scores
    assert first == pytest.approx(second, rel=1e-9)


def test_a_metric_sees_runs_in_the_units_of_the_series():
    X, _ = series(60)
    seen = []
    metric = lambda truth, found: seen.append((truth, found)) or -np.abs(truth - found).mean()  # noqa: E731
    model = ESNForecaster(**SMALL)
    model.n_exog_ = 0
    HeldOut(Sequences(1e3 * X, np.array([0, 60])), None, n_blocks=2, n_steps=4, metric=metric).judge(model)
    rows = {tuple(row) for row in (1e3 * X).tolist()}
    assert len(seen) == len(ALPHAS) * 2 * held_out.STARTS_A_BLOCK
    assert all(truth.shape == found.shape and {tuple(row) for row in truth.tolist()} <= rows for truth, found in seen)


@pytest.mark.filterwarnings("ignore:overflow")
def test_states_that_overflow_score_worst():
    X, _ = series(2000)
    model = ESNForecaster(**SMALL, activation="identity", spectral_radius=5.0)
    model.n_exog_ = 0
    found = HeldOut(Sequences(X, np.array([0, 2000])), None, n_blocks=2, n_steps=4).judge(model)
    assert (found.scores == -np.inf).all() and np.isnan(found.alpha)


def test_long_series_are_judged_by_their_last_rows(monkeypatch):
    monkeypatch.setattr(held_out, "MOST_ROWS", 50)
    rows, e = series(100)
    for lengths, kept in (
        ([100], [50]),
        ([30, 70], [50]),
        ([60, 40], [40]),
        ([50, 25, 25], [25, 25]),
        ([9, 9], [9, 9]),
    ):
        n = sum(lengths)
        few, beside = held_out.latest(Sequences(rows[:n], np.cumsum([0, *lengths])), e[:n])
        assert few.lengths.tolist() == kept
        assert_array_equal(few.rows, rows[n - sum(kept) : n])
        assert_array_equal(beside, e[n - sum(kept) : n])
