"""Real data as arrays: a laser, handwritten digits read as sequences, the sunspots of three centuries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Labelled:
    """Sequences of equal length with one label each.

    Attributes
    ----------
    train, test : (n_sequences, n_steps, n_features) float64
    train_labels, test_labels : (n_sequences,) int64
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def santa_fe_laser() -> np.ndarray:
    """The Santa Fe laser series (set A with its continuation), standardised by its first 2,200 points.

    Returns
    -------
    x : (10093, 1)

    References
    ----------
    Weigend and Gershenfeld 1993, "Time Series Prediction: forecasting the future and understanding the past".
    """
    from studies.data import fetch

    x = np.load(fetch("santafe_laser.npy"), allow_pickle=False).astype(np.float64).reshape(-1, 1)
    return (x - x[:2200].mean()) / x[:2200].std()


def digits_as_sequences(*, rng: np.random.Generator, n_test: int = 597) -> Labelled:
    """scikit-learn's handwritten digits read from top to bottom: 8 steps of 8 pixels, scaled to [0, 1].

    The 1,797 images are shuffled and split; each has one label, 0 to 9.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    X, y = images[order].reshape(-1, 8, 8) / 16.0, labels[order].astype(np.int64)
    return Labelled(X[n_test:], y[n_test:], X[:n_test], y[:n_test])


def sunspots() -> np.ndarray | None:
    """Yearly sunspot numbers 1700-2008, square-rooted; None where statsmodels is not installed.

    The square root makes the spread of the counts about equal at high and low activity.

    Returns
    -------
    x : (309, 1) or None
    """
    try:
        from statsmodels.datasets import sunspots as source
    except ImportError:
        return None
    counts = source.load_pandas().data["SUNACTIVITY"].to_numpy(np.float64)
    return np.sqrt(counts)[:, None]
