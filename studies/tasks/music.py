"""Chorales as piano rolls: 88 keys, which of them sound at every step, and what sounds next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Music:
    """Pieces of unequal length, split in three. A piece is (n_steps, 88), 1.0 where a key sounds, else 0.0.

    Attributes
    ----------
    train, valid, test : tuples of (n_steps, 88) float64
    """

    train: tuple[np.ndarray, ...]
    valid: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]


def jsb_chorales() -> Music:
    """Bach's chorales, a step per quarter note: 229 to learn from, 76 to choose by, 77 to be scored on.

    References
    ----------
    Boulanger-Lewandowski, Bengio and Vincent 2012, "Modeling temporal dependencies in high-dimensional
    sequences", for data and split; the file is the one of Bai, Kolter and Koltun 2018.
    """
    from scipy.io import loadmat

    from studies.data import fetch

    parts = loadmat(str(fetch("JSB_Chorales.mat")))
    return Music(
        *(
            tuple(np.ascontiguousarray(roll, np.float64) for roll in parts[name][0])
            for name in ("traindata", "validdata", "testdata")
        )
    )


def next_step(piece: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every step but the last, and what follows it: input and target, both (n_steps - 1, 88).

    Examples
    --------
    >>> X, y = next_step(np.eye(3))
    >>> X.argmax(axis=1), y.argmax(axis=1)
    (array([0, 1]), array([1, 2]))
    """
    return piece[:-1], piece[1:]


@dataclass(frozen=True)
class MusicLoss:
    """The two averages that papers print, of the loss -log p summed over the 88 keys of a step, in nats.

    Attributes
    ----------
    per_step : every step of every piece counts once
    per_piece : the mean over the steps of a piece, then the mean over pieces; every piece counts once
    """

    per_step: float
    per_piece: float


def music_loss(pieces: list[np.ndarray], logits: list[np.ndarray]) -> MusicLoss:
    """Negative log-likelihood of every step after the first, given the logits of its 88 independent keys.

    The first step of a piece has nothing before it and is not scored.

    Parameters
    ----------
    pieces : list of (n_steps, 88)
    logits : list of (n_steps - 1, 88), for the steps after the first

    Examples
    --------
    >>> silence = [np.zeros((3, 88))]
    >>> music_loss(silence, [np.zeros((2, 88))]).per_step / float(np.log(2))  # a bit a key
    88.0
    """
    # log(1 + e^o) - y o, never the logarithm of a rounded probability
    losses = [np.sum(np.logaddexp(0.0, o) - piece[1:] * o, axis=1) for piece, o in zip(pieces, logits, strict=True)]
    means = [loss.mean() for loss in losses if loss.size]
    return MusicLoss(float(np.concatenate(losses).mean()), float(np.mean(means)))
