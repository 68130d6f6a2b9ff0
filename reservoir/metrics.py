"""Errors relative to the spread of the truth, and how long a free-running forecast stays right."""

from __future__ import annotations

import numpy as np

from optim.arguments import brief, choice, number, reals
from reservoir.data.tables import as_array, checked
from reservoir.data.targets import check_weights

_WEIGHINGS = ("uniform_average", "raw_values", "pooled")


def nmse(y_true, y_pred, *, sample_weight=None, normaliser=None, multioutput="uniform_average"):
    """Mean squared error divided by the variance of the truth.

    For output o, with weights w that sum to 1 (1/T each unless given):

        nmse_o = sum_t w_t (y_true[t, o] - y_pred[t, o])² / s_o²

    s_o is the population standard deviation (divided by T, or weighted by w) of ``y_true[:, o]``, or what
    ``normaliser`` says. 0 is perfect, 1 is as good as the mean of the truth; with the default ``normaliser``
    it is 1 - R². A prediction that is NaN or infinite anywhere has an infinite error.

    Parameters
    ----------
    y_true : (T,) or (T, O), finite
    y_pred : as y_true
    sample_weight : (T,), not negative, not all zero, optional
    normaliser : float or (O,), > 0, optional
        s_o, for instance the deviation of a longer series of which y_true is a part.
    multioutput : {"uniform_average", "raw_values", "pooled"}
        Mean of nmse_o over outputs; nmse_o for each output; or squared errors summed over outputs divided by
        variances summed over outputs, which keeps the scale of the outputs.

    Returns
    -------
    float, or (O,) for "raw_values"

    Raises
    ------
    ValueError
        If shapes differ, y_true holds NaN or infinity, or an output is constant and no normaliser is given.

    Examples
    --------
    >>> from reservoir.metrics import nmse
    >>> nmse([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    1.0
    """
    errors, variances = _squared_errors_and_variances(y_true, y_pred, sample_weight, normaliser, multioutput)
    return _over_outputs(errors / variances, multioutput)


def nrmse(y_true, y_pred, *, sample_weight=None, normaliser=None, multioutput="uniform_average"):
    """Root mean squared error divided by the standard deviation of the truth: the root of `nmse`.

    The root is taken output by output, before the mean: "uniform_average" is the mean of sqrt(nmse_o), not
    the root of their mean. "pooled" is the root of the pooled nmse.

    Parameters
    ----------
    y_true, y_pred, sample_weight, normaliser, multioutput
        As in `nmse`.

    Returns
    -------
    float, or (O,) for "raw_values"

    References
    ----------
    M. Lukoševičius, "A practical guide to applying echo state networks", 2012, eq. 1: the root of each
    output, then the mean over outputs.

    Examples
    --------
    As a score of scikit-learn:

    >>> from sklearn.metrics import make_scorer
    >>> from reservoir.metrics import nrmse
    >>> scorer = make_scorer(nrmse, greater_is_better=False)
    >>> nrmse([0.0, 2.0], [1.0, 1.0])
    1.0
    """
    errors, variances = _squared_errors_and_variances(y_true, y_pred, sample_weight, normaliser, multioutput)
    return _over_outputs(np.sqrt(errors / variances), multioutput)


def valid_prediction_time(y_true, y_pred, *, dt, threshold=0.4, lyapunov_time=1.0, normaliser="std"):
    """Time for which a forecast stays within ``threshold`` of the truth, in Lyapunov times.

    With n the first step, counted from 0, whose error exceeds the threshold (T if none does), the result is
    n dt / lyapunov_time. The error of step t over the F features is

        "std", or deviations s:  e_t = sqrt(mean_f ((y_true[t, f] - y_pred[t, f]) / s_f)²)
        "rms":                   e_t = ‖y_true[t] - y_pred[t]‖ / sqrt(mean_t ‖y_true[t]‖²)

    "std" takes for s_f the population deviation of ``y_true[:, f]``: the norm of Vlachas et al., who use the
    threshold 0.5. "rms" is the norm of Pathak et al., who use 0.4, the default here; it depends on where zero
    is. Where the T steps have mean 0 and deviation 1 the two agree. Both look at these T steps only; on a
    short window give the deviations of a long series instead. A prediction that is NaN or infinite exceeds
    every threshold.

    Parameters
    ----------
    y_true : (T,) or (T, F), finite
        The first row is the first predicted step.
    y_pred : as y_true
    dt : float > 0
        Time between rows.
    threshold : float > 0
    lyapunov_time : float > 0
        1 / (largest Lyapunov exponent), in the unit of ``dt``. 1 gives the time in that unit.
    normaliser : {"std", "rms"}, float > 0 or (F,) array > 0

    Returns
    -------
    float

    References
    ----------
    P. R. Vlachas et al., "Backpropagation algorithms and reservoir computing in recurrent neural networks for
    the forecasting of complex spatiotemporal dynamics", Neural Networks 126, 2020 (NRMSE and valid prediction
    time).
    J. Pathak et al., "Hybrid forecasting of chaotic processes", Chaos 28, 041101, 2018 (valid time, f = 0.4).

    Examples
    --------
    >>> from reservoir.metrics import valid_prediction_time
    >>> valid_prediction_time([0.0, 1.0, 0.0, 1.0], [0.1, 1.1, 0.9, 1.0], dt=0.5)
    1.0
    """
    for name, value in (("dt", dt), ("threshold", threshold), ("lyapunov_time", lyapunov_time)):
        number(name, value, above=0, remedy="give it in the unit of time used")
    y_true, y_pred = _pair(y_true, y_pred)
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(normaliser, str):
            choice("normaliser", normaliser, ("std", "rms"), or_else="numbers > 0")
        if isinstance(normaliser, str) and normaliser == "rms":
            scale = np.sqrt(np.mean(y_true**2))
            if not scale > 0:
                raise ValueError(
                    "y_true must not be zero everywhere for normaliser='rms', got only zeros; give numbers."
                )
        else:
            scale = _deviations(y_true, None, None if isinstance(normaliser, str) else normaliser)
        error = np.sqrt(np.mean(((y_true - y_pred) / scale) ** 2, axis=1))
        exceeds = ~(error <= threshold)
    n_valid = int(exceeds.argmax()) if exceeds.any() else len(exceeds)
    return float(n_valid * dt / lyapunov_time)


# ---------------------------------------------------------------- shared


def _pair(y_true, y_pred) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction as float64 (T, O); only the prediction may hold NaN or infinity."""
    y_true = _float64(y_true, "y_true")
    y_pred = _float64(y_pred, "y_pred", is_finite=False)
    y_true, y_pred = (y.reshape(len(y), -1) for y in (y_true, y_pred))
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true and y_pred must have the same shape, got {y_true.shape} and {y_pred.shape}; "
            "join lists of sequences into one array first."
        )
    return y_true, y_pred


def _float64(values, name: str, *, is_finite: bool = True) -> np.ndarray:
    return checked(as_array(values, name), [np.dtype(np.float64)], name, is_table=False, is_finite=is_finite)


def _deviations(y_true: np.ndarray, weights: np.ndarray | None, normaliser) -> np.ndarray:
    """Deviation of each output, (O,), all > 0."""
    n_outputs = y_true.shape[1]
    if normaliser is not None:
        scale = reals("normaliser", normaliser, remedy="give standard deviations").astype(np.float64)
        if scale.shape not in ((), (n_outputs,)) or not (scale > 0).all():
            raise ValueError(
                f"normaliser must be a number > 0 or {n_outputs} of them, one an output, got {brief(normaliser)}; "
                "give standard deviations."
            )
        return np.broadcast_to(scale, (n_outputs,))
    centred = y_true - np.average(y_true, axis=0, weights=weights)
    scale = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    # A constant column leaves rounding errors of its mean, not exact zeros.
    constant = scale <= 4 * np.finfo(np.float64).eps * np.abs(y_true).max(axis=0)
    if constant.any():
        raise ValueError(
            f"y_true must vary in every output, got a constant output {int(constant.argmax())}; "
            "give normaliser=, the deviation to divide by."
        )
    return scale


def _squared_errors_and_variances(y_true, y_pred, sample_weight, normaliser, multioutput):
    """Mean squared error and variance of each output, (O,) each, or their sums, (1,) each, when pooled."""
    choice("multioutput", multioutput, _WEIGHINGS)
    y_true, y_pred = _pair(y_true, y_pred)
    if sample_weight is not None:
        sample_weight = check_weights(_float64(sample_weight, "sample_weight"))
        if len(sample_weight) != len(y_true):
            raise ValueError(
                f"sample_weight must have one entry a row of y_true ({len(y_true)}), got {len(sample_weight)}; check "
                "that they belong together."
            )
    variances = _deviations(y_true, sample_weight, normaliser) ** 2
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.average((y_true - y_pred) ** 2, axis=0, weights=sample_weight)
    errors[np.isnan(errors)] = np.inf
    if multioutput == "pooled":
        return errors.sum(keepdims=True), variances.sum(keepdims=True)
    return errors, variances


def _over_outputs(values: np.ndarray, multioutput: str):
    return values if multioutput == "raw_values" else float(values.mean())
