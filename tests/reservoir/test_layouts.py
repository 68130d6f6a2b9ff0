"""Layouts of other packages: what is warned of, what is refused, and what passes."""

import warnings

import numpy as np
import pytest

from reservoir import ESNClassifier, ESNRegressor, LayoutWarning
from reservoir.data.layouts import likeness

SMALL = {"n_units": 10, "in_degree": 3, "random_state": 0}
LABELS = np.arange(24) % 2


def waves(n=24, n_steps=60, n_channels=3, noise=0.1):
    """(n, n_steps, n_channels)."""
    rng = np.random.default_rng(0)
    speed = 0.2 + 0.2 * (np.arange(n) % 2)[:, None, None]
    phase = rng.uniform(0, 6, (n, 1, n_channels))
    return np.sin(speed * np.arange(n_steps)[:, None] + phase) + noise * rng.normal(size=(n, n_steps, n_channels))


@pytest.mark.parametrize("estimator", [ESNClassifier, ESNRegressor])
@pytest.mark.parametrize("noise", [0.0, 0.5, 50.0])
def test_channels_before_time_are_named(estimator, noise):
    X = waves(noise=noise).transpose(0, 2, 1)
    with pytest.warns(LayoutWarning, match=r"24 sequences of 3 steps with 60 features.* X.transpose\(0, 2, 1\)"):
        estimator(**SMALL).fit(X, LABELS)
    with pytest.warns(LayoutWarning, match="3 steps with 60"):
        estimator(**SMALL).fit(list(X), LABELS)


def test_one_channel_before_time_is_refused():
    with pytest.raises(ValueError, match=r"X must have shape .* got \(24, 1, 60\).* X.transpose\(0, 2, 1\)"):
        ESNClassifier(**SMALL).fit(waves(n_channels=1).transpose(0, 2, 1), LABELS)


@pytest.mark.parametrize("estimator", [ESNClassifier, ESNRegressor])
@pytest.mark.parametrize("noise", [0.0, 0.5, 50.0])
def test_series_as_rows_of_a_table_are_named(estimator, noise):
    with pytest.warns(LayoutWarning, match=r"X of shape \(24, 60\) was read as one .* give X\[:, :, None\]"):
        estimator(**SMALL).fit(waves(n_channels=1, noise=noise)[:, :, 0], LABELS)


def many_sensors():
    return np.cumsum(np.random.default_rng(0).normal(size=(80, 30)), axis=0)


@pytest.mark.parametrize(
    ("X", "y", "more"),
    [
        (waves(), LABELS, {}),
        (waves(n_channels=1), LABELS, {}),
        (list(waves(noise=2.0)), LABELS, {}),
        (many_sensors(), np.arange(80) % 2, {}),
        (waves(n_channels=1)[:, :, 0], LABELS, {"lengths": [24]}),
        (np.random.default_rng(1).normal(size=(40, 5)), np.arange(40) % 2, {}),
        (np.random.default_rng(1).uniform(size=(24, 8, 8)), LABELS, {}),
    ],
    ids=["stack", "one channel", "list", "sensors", "said", "few columns", "images"],
)
def test_what_is_laid_out_as_we_read_it_passes(X, y, more):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ESNClassifier(**SMALL).fit(X, y, **more)


def test_likeness_of_what_does_not_vary_is_one():
    assert likeness(np.full((2, 5, 3), 7.0), axis=1) == 1.0
    assert likeness(np.ones((2, 1, 3)), axis=1) == 1.0
    assert np.isfinite(likeness(np.array([[[1e300], [-1e300], [1e300]]]), axis=1))
