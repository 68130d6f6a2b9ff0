"""The recipe of min-char-rnn: its settings, and the loss as it prints it.

100 tanh units, one stream in windows of 25 characters, Adagrad, gradients clipped entry by entry. The state is carried
and set to zero where the text begins again; the loss of a window is the sum over its characters. Where the text is one
character longer than a whole number of windows, the original leaves out the last of them; here it is read.

References
----------
Karpathy (2015), min-char-rnn.py.
"""

from __future__ import annotations

import numpy as np

from optim.arguments import integer

# Losses and gradients are sums over a window; clipping is by value; Adagrad's epsilon stands inside the root.
MIN_CHAR_RNN = {
    "n_units": 100,
    "cell": "elman",
    "n_steps": 25,
    "n_streams": 1,
    "restart_every": None,
    "solver": "adagrad",
    "learning_rate": 0.1,
    "decay": None,
    "clip_value": 5.0,
    "clip_norm": None,
    "init": "normal",
    "reduction": "sum",
    "dtype": np.float64,
}


def smooth_losses(losses: np.ndarray, n_characters: int, n_steps: int = 25) -> np.ndarray:
    """The loss as min-char-rnn prints it: a running mean, 0.999 of the old and 0.001 of the new.

    Parameters
    ----------
    losses : (n,)
        Sums over windows, in nats.
    n_characters : int
        Size of the alphabet; the mean begins at the loss of guessing among so many, ``n_steps`` times.
    n_steps : int

    Returns
    -------
    (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from cells.language.char_recipe import smooth_losses
    >>> smooth_losses(np.array([10.0]), 65).round(3)
    array([104.265])
    """
    n_characters, n_steps = integer("n_characters", n_characters), integer("n_steps", n_steps)
    smooth, mean = np.empty(len(losses)), -np.log(1.0 / n_characters) * n_steps
    for i, loss in enumerate(losses):
        mean = mean * 0.999 + loss * 0.001
        smooth[i] = mean
    return smooth
