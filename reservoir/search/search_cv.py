"""Hyper-parameters of forecasters, chosen by free runs over blocks of the series that are held out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, flag, integer
from optim.threads import n_threads, run_all
from reservoir.estimators.estimator import all_or_nothing, progress
from reservoir.forecasting.forecaster import ESNForecaster
from reservoir.model_selection import Answering
from reservoir.search.held_out import LONGEST_RUN, HeldOut, Judgement, latest
from reservoir.search.space import candidates_of, give_reservoirs


class ESNSearchCV(MetaEstimatorMixin, BaseEstimator):
    """Search of a forecaster's settings by free runs over blocks of the series that are held out.

    Used as :class:`sklearn.model_selection.RandomizedSearchCV` is: ``fit`` tries candidates, and the best one, fitted
    to the whole series, answers. Candidates that differ in radius, leak and scales share one random graph, and all
    penalties run side by side; :mod:`reservoir.search.held_out` says how they are judged: by the last 20,000 rows where
    there are more.

    Parameters
    ----------
    estimator : ESNForecaster, optional
        What is not searched; an ensemble is judged by its first member. None: the default one, with this
        ``random_state``.
    param_distributions : dict, list of dicts, or None
        Names of parameters with lists or distributions (objects with ``rvs``) to draw from; of lists alone no
        combination is tried twice. None: spectral radius, leak and the scales of inputs and bias.
    n_candidates : int >= 1
        How many to try. The first is ``estimator`` as it is.
    cv : int >= 2
        Blocks of the last half of the series, each held out with what comes after it.
    n_steps : int >= 1
        Steps of a free run, at most; no run is longer than half of its block.
    scoring : str, callable or None
        Of a free run: the name of a scorer of scikit-learn, such as "neg_mean_absolute_error", or
        ``metric(truth, forecast)``, of which more is better. None: digits by which it is better than the mean of the
        series.
    refit : bool
        Whether to fit the best settings to the whole series. Without, there are no forecasts.
    n_jobs : int or None
        Threads over candidates; None: all cores.
    random_state : int, Generator or None
        Of the candidates; the reservoir has that of ``estimator``.
    verbose : int
        Progress, if above 0 and tqdm is installed.

    Attributes
    ----------
    best_estimator_ : ESNForecaster
        Fitted to the whole series, with ``refit``.
    best_params_ : dict
    best_index_ : int
    best_score_ : float
        Mean over the blocks.
    cv_results_ : dict of arrays
        A row a candidate, as in :class:`sklearn.model_selection.GridSearchCV`: ``params``, ``param_NAME``,
        ``split0_test_score``, ..., ``mean_test_score``, ``std_test_score``, ``rank_test_score``, seconds a block, which
        are measured over all of them; and ``alpha``, the penalty at which a candidate was scored.
    n_splits_ : int
    refit_time_ : float
        Seconds.

    References
    ----------
    Bergstra and Bengio (2012), Random search for hyper-parameter optimization, JMLR 13; Lukoševičius and Uselis (2021),
    Efficient cross-validation of echo state networks, Cognitive Computation 13.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir import ESNForecaster, ESNSearchCV
    >>> t = np.arange(600)
    >>> x = np.sin(0.2 * t) * np.sin(0.0311 * t)
    >>> search = ESNSearchCV(ESNForecaster(50, random_state=0), n_candidates=4, random_state=0).fit(x)
    >>> search.forecast(3).shape, len(search.cv_results_["params"])
    ((3,), 4)
    """

    def __init__(
        self,
        estimator=None,
        param_distributions=None,
        *,
        n_candidates=16,
        cv=3,
        n_steps=LONGEST_RUN,
        scoring=None,
        refit=True,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates
        self.cv = cv
        self.n_steps = n_steps
        self.scoring = scoring
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def fit(self, X, y=None, *, exog=None, groups=None, lengths=None):
        """Try all candidates, and fit the best one to the whole series.

        Parameters
        ----------
        X, y, exog, groups, lengths
            As in :meth:`reservoir.ESNForecaster.fit`.

        Returns
        -------
        self
            As it was, where an error or Ctrl-C ends the search.
        """
        model = self._model()
        flag("refit", self.refit)
        n_candidates = integer("n_candidates", self.n_candidates, remedy="give a number of settings to try")
        candidates = candidates_of(model, self.param_distributions, n_candidates, self.random_state)
        held_out = HeldOut(
            *latest(*clone(model)._read_series(X, y, exog, groups, lengths)),
            n_blocks=integer("cv", self.cv, least=2, remedy="give a number of blocks"),
            n_steps=integer("n_steps", self.n_steps, remedy="give the steps of a free run"),
            metric=_metric(self.scoring, model),
        )
        judgements = self._judged(model, candidates, held_out)
        self.cv_results_ = _results(candidates, judgements)
        self.best_index_ = int(np.argmin(self.cv_results_["rank_test_score"]))
        self.best_params_, self.n_splits_ = candidates[self.best_index_], held_out.n_blocks
        self.best_score_ = float(self.cv_results_["mean_test_score"][self.best_index_])
        if self.refit:
            begin = time.perf_counter()
            best = clone(model).set_params(**clone(self.best_params_, safe=False))
            self.best_estimator_ = best.fit(X, exog=exog, groups=groups, lengths=lengths)
            self.refit_time_ = time.perf_counter() - begin
        return self

    def _model(self) -> ESNForecaster:
        if self.estimator is None:
            return ESNForecaster(random_state=self.random_state)
        if not isinstance(self.estimator, ESNForecaster):
            raise TypeError(
                f"estimator must be an ESNForecaster, got {brief(self.estimator)}; search others by scikit-learn's "
                "GridSearchCV with the folds and scorers of reservoir.model_selection."
            )
        return clone(self.estimator)

    def _judged(self, model: ESNForecaster, candidates: list[dict], held_out: HeldOut) -> list[Judgement]:
        """Judgements of all candidates, some at a time on as many threads."""
        models = [
            clone(model).set_params(**clone(settings, safe=False)).set_params(n_jobs=1, verbose=0)
            for settings in candidates
        ]
        for each in models:
            each.n_exog_ = 0 if held_out.beside is None else held_out.beside.shape[1]
        give_reservoirs(models, held_out.n_inputs, held_out.sequences.rows.dtype)
        threads, judgements = n_threads(self.n_jobs), []
        watch = progress("ESNSearchCV", self.verbose)
        while len(judgements) < len(models):
            some = models[len(judgements) : len(judgements) + threads]
            judgements += run_all(held_out.judge, [(each,) for each in some], threads)
            if watch is not None:
                watch(len(judgements) / len(models))
        return judgements

    def forecast(self, n_steps, context=None, exog=None, *, context_exog=None, groups=None, lengths=None):
        """As :meth:`reservoir.ESNForecaster.forecast` of the best candidate."""
        following = {"context_exog": context_exog, "groups": groups, "lengths": lengths}
        return self._best().forecast(n_steps, context, exog, **following)

    def forecast_paths(
        self, n_steps, n_paths=100, context=None, exog=None, *, context_exog=None, groups=None, lengths=None,
        random_state=None,
    ):  # fmt: skip
        """As :meth:`reservoir.ESNForecaster.forecast_paths` of the best candidate."""
        following = {"context_exog": context_exog, "groups": groups, "lengths": lengths}
        return self._best().forecast_paths(n_steps, n_paths, context, exog, **following, random_state=random_state)

    def forecast_interval(
        self, n_steps, coverage=0.9, context=None, exog=None, *, context_exog=None, groups=None, lengths=None
    ):
        """As :meth:`reservoir.ESNForecaster.forecast_interval` of the best candidate."""
        following = {"context_exog": context_exog, "groups": groups, "lengths": lengths}
        return self._best().forecast_interval(n_steps, coverage, context, exog, **following)

    def predict(self, X, *, exog=None, groups=None, lengths=None):
        """As :meth:`reservoir.ESNForecaster.predict` of the best candidate."""
        return self._best().predict(X, exog=exog, groups=groups, lengths=lengths)

    def score(self, X, y=None, *, exog=None):
        """As :meth:`reservoir.ESNForecaster.score` of the best candidate: R² of a free run, whatever ``scoring`` is."""
        return self._best().score(X, exog=exog)

    def update(self, X, *, exog=None, refit=False):
        """As :meth:`reservoir.ESNForecaster.update` of the best candidate; nothing is searched again.

        Returns
        -------
        self
        """
        self._best().update(X, exog=exog, refit=refit)
        return self

    @property
    def n_features_in_(self) -> int:
        """Of the best candidate."""
        return self._of_best("n_features_in_")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Of the best candidate, where the series has names."""
        return self._of_best("feature_names_in_")

    def _of_best(self, name: str) -> Any:
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(f"{type(self).__name__} must be fitted, with refit=True, to have {name}; call fit.")
        return getattr(self.best_estimator_, name)

    def _best(self) -> ESNForecaster:
        check_is_fitted(self, "cv_results_")
        if not hasattr(self, "best_estimator_"):
            raise AttributeError("refit must be True for forecasts and scores, got False in fit; fit the best_params_.")
        return self.best_estimator_


def _metric(scoring: Any, model: ESNForecaster) -> Callable[[np.ndarray, np.ndarray], float] | None:
    """``metric(truth, forecast)`` of which more is better; None where nothing is said."""
    if scoring is None or (callable(scoring) and not isinstance(scoring, str)):
        return scoring
    scorer = get_scorer(scoring)
    return lambda truth, found: scorer(Answering(model, {"predict": lambda X: found}), truth, truth)


def _results(candidates: list[dict[str, Any]], judgements: list[Judgement]) -> dict[str, Any]:
    """What candidates came to, in the names and types of scikit-learn."""
    scores = np.array([judgement.scores for judgement in judgements])
    results: dict[str, Any] = {"params": candidates}
    for name in sorted({name for settings in candidates for name in settings}):
        values = np.ma.MaskedArray(np.empty(len(candidates), dtype=object), mask=True)
        for k, settings in enumerate(candidates):
            if name in settings:
                values[k] = settings[name]
        results[f"param_{name}"] = values
    results["alpha"] = np.array([judgement.alpha for judgement in judgements])
    for name, attribute in (("fit_time", "fit_s"), ("score_time", "score_s")):
        seconds = np.array([getattr(judgement, attribute) for judgement in judgements])
        results |= {f"mean_{name}": seconds, f"std_{name}": np.zeros_like(seconds)}
    results |= {f"split{k}_test_score": column for k, column in enumerate(scores.T)}
    with np.errstate(invalid="ignore"):  # of candidates that scored -inf
        results |= {"mean_test_score": scores.mean(axis=1), "std_test_score": scores.std(axis=1)}
    results["rank_test_score"] = rankdata(-results["mean_test_score"], method="min").astype(np.int32)
    return results
