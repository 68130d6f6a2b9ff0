"""The streams of the study of truncation ask for what stood at a mark, and for that alone."""

import numpy as np

from studies import truncation


def test_the_value_at_the_mark_is_asked_for_one_lag_later():
    settings = truncation.Settings(lag=4, n_streams=6, n_steps=60)
    X, y, mask = truncation.streams(settings, np.random.default_rng(0))
    for values, marks, asked, answers in zip(X[:, :, 0], X[:, :, 1], mask, y[:, :, 0], strict=True):
        at = np.flatnonzero(marks)
        assert 5 <= np.diff(at).min() and np.diff(at).max() <= 8
        np.testing.assert_array_equal(np.flatnonzero(asked), at[at + 4 < 60] + 4)
        np.testing.assert_array_equal(answers[asked] == 1.0, values[np.flatnonzero(asked) - 4] > 0)
