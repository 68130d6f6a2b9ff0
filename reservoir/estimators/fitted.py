"""What a fitted estimator must be before its attributes reach a kernel: asked of those that come from a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from optim.arguments import array, brief, flag, integer, number
from reservoir.data.containers import check_containers
from reservoir.data.sequences import Sequences
from reservoir.data.series_transform import SeriesTransform
from reservoir.drive.pooled_states import Pooling
from reservoir.drive.weights import Reservoir
from reservoir.estimators.training import N_FOLDS, SUMS
from reservoir.readout.pooling import check_poolings
from reservoir.readout.sequence_ridge import SequenceRows

LONGEST_MEMORY = 10**9  # steps


def check_fitted(model: Any) -> None:
    """Raise unless the fitted attributes of an estimator of this package fit one another, as ``fit`` sets them.

    Raises
    ------
    TypeError, ValueError
        Naming the attribute.
    """
    reservoir = instance("reservoir_", model.reservoir_, Reservoir)
    integer("noise_seed_", model.noise_seed_, least=0)
    check_error("spectral_radius_error_", model.spectral_radius_error_)
    n_features, is_forecaster = n_features_of(model), hasattr(model, "forecast")
    n_exog = integer("n_exog_", model.n_exog_, least=0) if is_forecaster else 0
    if reservoir.n_inputs != n_features + n_exog:
        raise ValueError(f"n_features_in_ must be that of the reservoir's inputs, got {n_features}; save it again.")
    n_outputs = _check_readout(model, reservoir) if is_forecaster or hasattr(model, "predict") else 0
    if reservoir.n_feedback not in (0, n_outputs):
        raise ValueError(f"feedback must be from {n_outputs} outputs, got {reservoir.n_feedback}; save it again.")
    if is_forecaster:
        array("range_", model.range_, shape=(2, n_outputs), dtype=np.float64)
        transforms = [("transform_", model.transform_, n_outputs)]
        if n_exog > 0:
            transforms.append(("exog_transform_", model.exog_transform_, n_exog))
        for name, transform, width in transforms:
            array(f"{name}.mean", instance(name, transform, SeriesTransform).mean, shape=(width,), dtype=np.float64)
        n = len(array("state_", model.state_, shape=(None, reservoir.n_units), dtype=reservoir.dtype))
        array("last_", model.last_, shape=(n, model.transform_.lag + 1, n_outputs), dtype=reservoir.dtype)
        seen = instance("seen_", model.seen_, Sequences)
        array("seen_.rows", seen.rows, shape=(None, n_outputs + n_exog), dtype=reservoir.dtype)
        if seen.n_sequences != n or seen.lengths.min() <= model.transform_.lag:
            raise ValueError(f"seen_ must be {n} series, as state_ is, got {seen.n_sequences}; save it again.")
        if model.residuals_ is not None:
            array("residuals_", model.residuals_, shape=(None, None, n_outputs), dtype=np.float64)
        check_containers(model.container_, n_outputs, n)
        for other in instance("other_members_", model.other_members_, tuple):
            instance("other_members_", other, type(model))
            if (n_features_of(other), other.n_exog_, len(other.state_)) != (n_outputs, n_exog, n):
                raise ValueError("other_members_ must forecast the same series as the first; save it again.")
        check_names("exog_names_", model.exog_names_, n_exog)
    elif n_outputs:
        instance("poolings_", model.poolings_, tuple, type(None))
        array("target_range_", model.target_range_, shape=(2, n_outputs), dtype=np.float64)
        if hasattr(model, "standardize"):
            _check_scales(model, n_features, n_outputs)
        _check_sums(model, reservoir, n_outputs)


def _check_sums(model: Any, reservoir: Reservoir, n_outputs: int) -> None:
    """Raise unless what predictions and ``partial_fit`` go on from fits the readout."""
    if getattr(model, "forgetting_time_", None) is not None:
        integer("forgetting_time_", model.forgetting_time_, least=1, most=LONGEST_MEMORY)
    width = reservoir.n_units + reservoir.n_feedback
    if hasattr(model, "state_"):
        array("state_", model.state_, shape=(None, width), dtype=reservoir.dtype)
    if not hasattr(model, "sums_"):
        return
    kinds = SUMS if getattr(model, "poolings_", None) is None else (SequenceRows,)
    sums = instance("sums_", model.sums_, *kinds)
    folds = getattr(model, "fold_sums_", None)
    if folds is not None and len(instance("fold_sums_", folds, list)) != N_FOLDS:
        raise ValueError(f"fold_sums_ must be of {N_FOLDS} folds, got {len(folds)}; save it again.")
    for part in [sums, *(folds or ())]:
        instance("fold_sums_", part, type(sums))
        if (part.n_features, part.n_outputs) != (model.coef_.shape[-1], n_outputs):
            raise ValueError("sums_ must be of as many features and outputs as the readout; save it again.")


def _check_scales(model: Any, n_features: int, n_outputs: int) -> None:
    for name, n in {"input": n_features, "target": n_outputs}.items():
        array(f"{name}_shift_", getattr(model, f"{name}_shift_"), shape=(n,), dtype=np.float64)
        array(f"{name}_scale_", getattr(model, f"{name}_scale_"), shape=(n,), dtype=np.float64, above=0)


def _check_readout(model: Any, reservoir: Reservoir) -> int:
    """Number of outputs of a readout that fits ``reservoir``."""
    number("alpha_", model.alpha_, least=0)
    is_1d = False
    if hasattr(model, "forecast"):
        n_outputs = n_features_of(model)
    elif hasattr(model, "predict_proba"):
        n_outputs = check_classes(model.classes_)
        instance("decides_sequences_", model.decides_sequences_, bool)
    else:
        n_outputs, is_1d = np.size(model.intercept_), instance("_is_1d", model._is_1d, bool)
    n_read = reservoir.n_inputs if model.include_input else 0
    n_columns = reservoir.n_units + n_read
    if getattr(model, "poolings_", None) is not None:
        pooling = Pooling(check_poolings(model.poolings_), 0, flag("bidirectional", model.bidirectional))
        n_columns = pooling.n_features(reservoir.n_units, n_read)
    shape: tuple[int, ...] = (n_outputs, n_columns)
    if is_1d:
        number("intercept_", model.intercept_)
        shape = shape[1:]
    else:
        array("intercept_", model.intercept_, shape=(n_outputs,), dtype=np.float64)
    array("coef_", model.coef_, shape=shape, dtype=np.float64)
    return n_outputs


def check_classes(classes: Any) -> int:
    """Number of classes, if they are different labels in order."""
    labels = instance("classes_", classes, np.ndarray)
    if labels.ndim != 1 or labels.size == 0 or not np.array_equal(np.unique(labels), labels):
        raise ValueError(f"classes_ must be different labels in order, got {brief(labels.tolist())}; save it again.")
    return labels.size


def n_features_of(model: Any) -> int:
    """Columns of X that are features; that of sequence ids is none."""
    n = integer("n_features_in_", model.n_features_in_)
    check_names("feature_names_in_", getattr(model, "feature_names_in_", None), n)
    return n - (model.sequence_column is not None)


def check_names(name: str, names: Any, n: int) -> None:
    """Raise unless ``names`` are ``n`` texts, or None."""
    if names is not None and not (np.shape(names) == (n,) and all(isinstance(each, str) for each in names)):
        raise ValueError(f"{name} must be {n} names, got {brief(names)}; save it again.")


def check_error(name: str, error: Any) -> None:
    """Raise unless ``error`` is one of a spectral radius: infinite where the radius is not known at all."""
    if not (isinstance(error, float) and error >= 0):
        raise ValueError(f"{name} must be a number >= 0 or infinity, got {brief(error)}; save it again.")


def instance(name: str, value: Any, *kinds: type) -> Any:
    """``value`` if it is one of ``kinds``."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {wanted}, got {brief(value)}; save it again.")
    return value
