"""Warnings and errors with a name of their own, so that a caller can tell them apart, catch them or filter them.

Examples
--------
>>> import warnings
>>> import numpy as np
>>> from reservoir import ESNForecaster, FreeRunDivergedWarning
>>> X = np.random.default_rng(0).normal(size=(40, 1)).cumsum(axis=0)
>>> model = ESNForecaster(20, washout=0, input_scaling=1.0, random_state=0).fit(X)
>>> with warnings.catch_warnings():
...     warnings.simplefilter("error", FreeRunDivergedWarning)
...     try:
...         values = model.forecast(2000)
...     except FreeRunDivergedWarning:
...         values = None
>>> values is None
True
"""


class IllConditionedWarning(UserWarning):
    """The features are dependent to working precision and the penalty is too small to decide between them."""


class SpectralRadiusWarning(UserWarning):
    """The spectral radius is not known well enough for the number that was asked for."""


class FreeRunDivergedWarning(UserWarning):
    """A net that runs on its own output left the range of the data it has learnt from, or that of finite numbers.

    What comes after a value that is not finite is the last finite one, repeated.
    """


class IgnoredTargetWarning(UserWarning):
    """``fit`` was given a y that has no meaning there."""


class StateOverflowError(ValueError):
    """States or outputs of a reservoir left the range of finite numbers, as those of unbounded activations may."""
