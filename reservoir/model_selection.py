"""Cross-validation of models with memory, by scikit-learn's tools: folds that begin warm, scored without the warm-up.

A test fold that begins at rest scores how long a reservoir remembers its rest, and a search on such folds chooses
reservoirs that forget. Here every fold begins some rows earlier, and those rows are driven through but not scored: the
same rows count for every candidate, whatever its ``washout``.

With ``n_jobs`` scikit-learn starts processes. Each imports all packages and reads its kernels from disk, which takes
several seconds, often more than the whole search. Threads have both already, and kernels let them run side by side::

    with joblib.parallel_config("threading"):
        GridSearchCV(ESNRegressor(n_jobs=1), grid, cv=cv, n_jobs=2).fit(X, y)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer, make_scorer
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRequest

from optim.arguments import brief, integer
from reservoir.data.boundaries import column_position, offsets_from_ids, take_ids

__all__ = ["WarmSplit", "free_run_scorer", "warm_scorer"]

_ANSWERS = ("predict", "predict_proba", "decision_function")


@dataclass(frozen=True)
class WarmSplit:
    """Splits of ``cv``, each test fold with the ``warm_up`` rows before it in front.

    Where fewer rows precede, as none precede the first fold of KFold or a whole sequence, the fold's own first rows are
    its warm-up: ``warm_up`` rows always come before those that :func:`warm_scorer` scores. Training folds are those of
    ``cv``.

    Parameters
    ----------
    cv : int, splitter, or iterable of (train, test)
        As in scikit-learn; an int is KFold, which cuts time into so many blocks. In every sequence a test fold must be
        of consecutive rows.
    warm_up : int >= 0
        About as many rows as the slowest candidate remembers.
    sequence_column : int or str, optional
        That of the estimator: a warm-up does not reach over the beginning of a sequence.

    Raises
    ------
    TypeError, ValueError
        On splitting: for an X that is not 2-D, rows of a fold that are not consecutive, a fold that is no longer than
        its warm-up.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    >>> from reservoir import ESNRegressor
    >>> from reservoir.model_selection import WarmSplit, warm_scorer
    >>> u = np.random.default_rng(0).uniform(-1, 1, (800, 1))
    >>> y = np.convolve(u[:, 0], 0.9 ** np.arange(50))[:800]
    >>> cv = WarmSplit(TimeSeriesSplit(3, test_size=100), warm_up=100)
    >>> [len(test) for _, test in cv.split(u)]
    [200, 200, 200]
    >>> model = ESNRegressor(50, spectral_radius=0.99, washout=100, random_state=0)
    >>> search = GridSearchCV(model, {"leak_rate": [0.1, 1.0]}, cv=cv, scoring=warm_scorer("r2", warm_up=100))
    >>> search.fit(u, y).best_params_
    {'leak_rate': 0.1}
    """

    cv: Any
    warm_up: int
    sequence_column: int | str | None = None

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of X to fit on, and rows to predict, the warm-up first.

        Parameters
        ----------
        X : (n_steps, n_features)
        y, groups : what ``cv`` takes, optional

        Yields
        ------
        train, test : (n,) int
        """
        warm_up = _rows(self.warm_up)
        offsets = _offsets(X, self.sequence_column)
        for train, test in check_cv(self.cv).split(X, y, groups):
            pieces = _pieces(np.asarray(test), offsets)
            warm = [np.arange(max(begin, piece[0] - warm_up), piece[-1] + 1) for begin, piece in pieces]
            _refuse_short(min(map(len, warm), default=0), warm_up, "cv must give test folds")
            yield train, np.concatenate(warm)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of splits of ``cv``."""
        return check_cv(self.cv).get_n_splits(X, y, groups)

    def get_metadata_routing(self) -> Any:
        """What ``cv`` asks of scikit-learn's routing, such as ``groups``."""
        return check_cv(self.cv).get_metadata_routing()


@dataclass(frozen=True)
class _WarmScorer:
    """What :func:`warm_scorer` returns: a scorer as scikit-learn calls it."""

    scorer: Any
    warm_up: int
    sequence_column: int | str | None

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        asked = getattr(estimator, "sequence_column", self.sequence_column)
        if asked != self.sequence_column:
            raise ValueError(
                f"sequence_column must be that of the estimator, {brief(asked)}, got {brief(self.sequence_column)}; "
                "give warm_scorer and WarmSplit the same."
            )
        offsets = _offsets(X, self.sequence_column)
        lengths = np.diff(offsets)
        _refuse_short(int(lengths.min()), self.warm_up, "X must hold sequences")
        is_scored = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) >= self.warm_up
        weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)[is_scored]}
        methods = {
            name: partial(_on_rows, getattr(estimator, name), is_scored)
            for name in _ANSWERS
            if hasattr(estimator, name)
        }
        return self.scorer(Answering(estimator, methods), X, np.asarray(y)[is_scored], **weights)


def warm_scorer(
    metric: str | Callable, *, warm_up: int, sequence_column: int | str | None = None, **options: Any
) -> Callable:
    """Scorer that leaves out the first ``warm_up`` rows of what it is given, or of every sequence there.

    The estimator answers on all rows, so that its state is warm when the scored ones begin.

    Parameters
    ----------
    metric : str or callable
        Name of a scorer of scikit-learn, such as "r2", or ``metric(y_true, y_pred)``.
    warm_up : int >= 0
        That of :class:`WarmSplit`.
    sequence_column : int or str, optional
        That of the estimator.
    **options
        With a callable: what :func:`sklearn.metrics.make_scorer` takes, such as ``greater_is_better=False``.

    Returns
    -------
    callable (estimator, X, y) -> float
        For ``scoring=`` of GridSearchCV, cross_val_score and the like.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNRegressor
    >>> from reservoir.metrics import nrmse
    >>> from reservoir.model_selection import warm_scorer
    >>> u = np.random.default_rng(0).uniform(-1, 1, (600, 1))
    >>> y = np.convolve(u[:, 0], [0, 0.5, 0, 0.3])[:600]
    >>> model = ESNRegressor(50, washout=50, random_state=0).fit(u[:400], y[:400])
    >>> score = warm_scorer(nrmse, warm_up=50, greater_is_better=False)
    >>> round(score(model, u[350:], y[350:]), 1)
    -0.1
    """
    return _WarmScorer(_scorer(metric, options), _rows(warm_up), sequence_column)


@dataclass(frozen=True)
class _FreeRunScorer:
    """What :func:`free_run_scorer` returns."""

    scorer: Any
    warm_up: int

    def __call__(self, forecaster: Any, X: Any, y: Any = None, exog: Any = None) -> float:
        if getattr(forecaster, "sequence_column", None) is not None:
            raise NotImplementedError(
                "sequence_column must be None for free runs that are scored, got "
                f"{brief(forecaster.sequence_column)}; score each series by itself."
            )
        _refuse_short(int(_offsets(X, None)[-1]), self.warm_up, "X must be a series")
        context, future = X[: self.warm_up], np.asarray(X[self.warm_up :])

        beside = {}
        if exog is not None:
            beside = {"exog": exog[self.warm_up :], "context_exog": exog[: self.warm_up]}

        def predict(X: Any) -> np.ndarray:
            return np.asarray(forecaster.forecast(len(future), context=context, **beside))

        return self.scorer(Answering(forecaster, {"predict": predict}), X, future)

    def get_metadata_routing(self) -> MetadataRequest:
        """What scikit-learn's routing hands on: ``exog``."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="exog", alias=True)
        return request


def free_run_scorer(metric: str | Callable, *, warm_up: int, **options: Any) -> Callable:
    """Scorer of forecasters: synchronised by the first ``warm_up`` rows, they run freely over the rest.

    Parameters
    ----------
    metric, **options : as in :func:`warm_scorer`
    warm_up : int >= 1
        That of :class:`WarmSplit`.

    Returns
    -------
    callable (forecaster, X) -> float
        For ``scoring=`` of GridSearchCV, cross_val_score and the like, which hand on ``exog`` where scikit-learn's
        metadata routing is enabled.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import TimeSeriesSplit, cross_val_score
    >>> from reservoir import ESNForecaster
    >>> from reservoir.model_selection import WarmSplit, free_run_scorer
    >>> X = np.sin(0.3 * np.arange(600))[:, None]
    >>> cv = WarmSplit(TimeSeriesSplit(2, test_size=50), warm_up=100)
    >>> model, r2 = ESNForecaster(50, random_state=0), free_run_scorer("r2", warm_up=100)
    >>> bool(cross_val_score(model, X, cv=cv, scoring=r2).min() > 0.99)
    True
    """
    return _FreeRunScorer(_scorer(metric, options), _rows(warm_up, least=1))


class Answering:
    """An estimator with other methods than its own, as scikit-learn's scorers see it.

    Parameters
    ----------
    estimator : estimator
    methods : dict of callables (X) -> array
        By their names, such as "predict".
    """

    def __init__(self, estimator: Any, methods: dict[str, Callable[[Any], np.ndarray]]):
        self._estimator, self._methods = estimator, methods

    def __getattr__(self, name: str) -> Any:
        if name not in self._methods:
            return getattr(self._estimator, name)
        method = partial(self._methods[name])
        method.__name__ = name  # by which scorers know it
        return method


def _on_rows(method: Callable, is_scored: np.ndarray, X: Any) -> np.ndarray:
    return np.asarray(method(X))[is_scored]


def _scorer(metric: Any, options: dict[str, Any]) -> Any:
    if isinstance(metric, str) and not options:
        return get_scorer(metric)
    if not callable(metric):
        raise TypeError(
            "metric must be the name of a scorer without options, or a callable (y_true, y_pred), got "
            f"{brief(metric)}{f' with {sorted(options)}' if options else ''}; give one of these."
        )
    return make_scorer(metric, **options)


def _rows(warm_up: Any, least: int = 0) -> int:
    return integer("warm_up", warm_up, least=least, remedy="give the rows that the slowest candidate remembers")


def _offsets(X: Any, sequence_column: Any) -> np.ndarray:
    """(n_sequences + 1,) offsets of the sequences in a 2-D X."""
    n_axes = len(getattr(X, "shape", ()))
    if n_axes != 2 and not (n_axes == 1 and sequence_column is None):
        raise ValueError(
            f"X must be an array or a pandas object to be split in time, got {brief(X)}; join the sequences into one "
            "table with a column of ids, and name it by sequence_column=."
        )
    if sequence_column is None:
        return np.array([0, X.shape[0]])
    ids, _ = take_ids(X, column_position(sequence_column, X, None))
    return offsets_from_ids(ids, f"sequence_column={sequence_column!r}", X.shape[0])


def _pieces(test: np.ndarray, offsets: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """A test fold's rows sequence by sequence, each piece with the row at which its sequence begins."""
    sequence = np.searchsorted(offsets, test, side="right") - 1
    torn = np.flatnonzero((np.diff(test) != 1) & (np.diff(sequence) == 0))
    if len(torn) > 0:
        raise ValueError(
            "cv must give test folds of consecutive rows, got one with row "
            f"{test[torn[0] + 1]} after row {test[torn[0]]} of the same sequence; use TimeSeriesSplit, or KFold "
            "without shuffling."
        )
    starts = np.flatnonzero(np.diff(sequence, prepend=-1))
    begins = offsets[sequence[starts]].tolist()
    return list(zip(begins, np.split(test, starts[1:]), strict=True))


def _refuse_short(n_rows: int, warm_up: int, expected: str) -> None:
    if n_rows <= warm_up:
        raise ValueError(
            f"{expected} longer than warm_up={warm_up}, got {n_rows} rows with the warm-up; use fewer splits, a "
            "smaller warm_up, or longer data."
        )
