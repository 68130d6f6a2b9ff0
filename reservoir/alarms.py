"""Warnings and errors with a name of their own, so that a caller can catch or filter them."""


class IllConditionedWarning(UserWarning):
    """The features are dependent to working precision and the penalty is too small to decide between them."""


class SpectralRadiusWarning(UserWarning):
    """The spectral radius is not known well enough for the number that was asked for."""


class FreeRunDivergedWarning(UserWarning):
    """A net that runs on its own output left the range of the data it has learnt from, or that of finite numbers.

    A forecaster with a guard is held to that range instead; it then warns if that took place on more than 1 % of
    the steps. From a value that is not finite on, the last finite row is repeated.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from reservoir import ESNForecaster, FreeRunDivergedWarning
    >>> growth = 1.1 ** np.arange(60.0)[:, None]
    >>> model = ESNForecaster(20, activation="identity", washout=5, alpha=1e-6, random_state=0).fit(growth)
    >>> with warnings.catch_warnings(record=True, action="always") as met:
    ...     values = model.forecast(20000)
    >>> len(met), bool(np.isfinite(values).all())
    (1, True)
    """


class IgnoredTargetWarning(UserWarning):
    """``fit`` was given a y that has no meaning there."""


class IndexNotContinuedWarning(UserWarning):
    """The index of a pandas object has no frequency by which a forecast could continue it: rows are numbered."""


class ColdStartWarning(UserWarning):
    """Rows that came as a sequence of their own are too few for a reservoir to forget that it began at rest.

    A stream that comes in pieces is learnt with ``partial_fit(X, y, initial_state="last")``. A score of rows that go on
    from the training series takes ``initial_state="fitted"``; cross-validation is for
    :mod:`reservoir.model_selection`. Where short sequences are meant, ``lengths=`` or a list says so. A context of a
    forecaster needs as many rows as the reservoir remembers; ``update`` goes on from the training series instead.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from reservoir import ColdStartWarning, ESNRegressor
    >>> u = np.sin(np.arange(100.0))[:, None]
    >>> model = ESNRegressor(20, random_state=0).partial_fit(u[:90], u[:90])
    >>> with warnings.catch_warnings(record=True, action="always", category=ColdStartWarning) as met:
    ...     model = model.partial_fit(u[90:95], u[90:95]).partial_fit(u[95:], u[95:], initial_state="last")
    >>> len(met)
    1
    """


class LayoutWarning(UserWarning):
    """X is probably laid out as (n, channels, time) or (n, time), and was read as (n_sequences, n_steps, n_features).

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from reservoir import ESNClassifier, LayoutWarning
    >>> X = np.sin(0.2 * np.arange(60) + 3.0 * np.arange(20)[:, None])
    >>> with warnings.catch_warnings(record=True, action="always", category=LayoutWarning) as met:
    ...     model = ESNClassifier(20, random_state=0).fit(X, np.arange(20) % 2)
    >>> len(met)
    1
    """


class StateOverflowError(ValueError):
    """States or outputs of a reservoir left the range of finite numbers, as those of unbounded activations may.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ReservoirTransformer, StateOverflowError
    >>> X = np.ones((2000, 1))
    >>> model = ReservoirTransformer(20, activation="identity", spectral_radius=2.0, random_state=0).fit(X)
    >>> try:
    ...     states = model.transform(X)
    ... except StateOverflowError:
    ...     states = model.transform(1e-3 * X[:500])
    >>> states.shape
    (500, 20)
    """
