"""Estimators in one file, see :mod:`optim.saving`: parameters and fitted attributes, checked on the way back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp

from optim.arguments import brief, choice, number
from optim.codec import Record, Records
from optim.saving import load_file, save_file
from reservoir.data.containers import Container
from reservoir.data.sequences import Sequences, restored_sequences
from reservoir.data.series_transform import SeriesTransform
from reservoir.drive.weights import Reservoir, check_reservoir
from reservoir.estimators.fitted import check_error, check_fitted, instance
from reservoir.estimators.training import SUMS
from reservoir.graph.matrix import Shifts, checked_csr, from_matrix
from reservoir.graph.spectrum import SpectralRadius
from reservoir.readout.sequence_ridge import SequenceRows, check_rows

OPENER = "reservoir.load"
# Fitted attributes that are not public and still need to be kept; scikit-learn's says in what form to answer.
_PRIVATE = ("_is_1d", "_sklearn_output_config")


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write the parameters and fitted attributes of an estimator of this package to ``path``."""
    save_estimator(estimator, path, opener=OPENER, records=RECORDS, check=check_fitted)


def load(path: str | os.PathLike) -> Any:
    """The estimator that ``save`` wrote to ``path``.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    estimator
        Fitted; it predicts the same bits as the one that was saved.

    Raises
    ------
    ValueError
        Naming ``path``, if the file was not written by ``save``, is damaged or changed, or by another version. What it
        holds is checked as user input is, and nothing in it is run.

    Examples
    --------
    >>> import tempfile, os
    >>> import numpy as np
    >>> from reservoir import ESNRegressor, load
    >>> X = np.sin(np.arange(100.0))[:, None]
    >>> model = ESNRegressor(n_units=20, random_state=0).fit(X[:-1], X[1:, 0])
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> model.save(path)
    >>> bool((load(path).predict(X) == model.predict(X)).all())
    True
    """
    import reservoir

    kinds = (getattr(reservoir, name) for name in reservoir.__all__)
    return load_estimator(path, kinds, opener=OPENER, records=RECORDS, check=check_fitted)


def save_estimator(
    estimator: Any, path: str | os.PathLike, *, opener: str, records: Records, check: Callable[[Any], None]
) -> None:
    """Write any estimator whose attributes ``records`` knows.

    A random generator given as ``random_state`` is not kept: None takes its place, what was drawn from it stays.
    """
    save_file(path, _tree_of(estimator, check), opener=opener, records=records)


def load_estimator(
    path: str | os.PathLike, kinds: Iterable[Any], *, opener: str, records: Records, check: Callable[[Any], None]
) -> Any:
    """The estimator that :func:`save_estimator` wrote: one of ``kinds`` that has ``save``, and passes ``check``."""
    known = {kind.__name__: kind for kind in kinds if isinstance(kind, type) and hasattr(kind, "save")}

    def build(tree: Any) -> Any:
        kind = known[choice("the estimator", tree["estimator"], known)]
        fitted = tree["fitted"]
        fitted |= {name: tuple(map(build, trees)) for name, trees in tree.get("estimators", {}).items()}
        _check_names(kind, fitted)
        estimator = kind(**tree["parameters"])
        vars(estimator).update(fitted)
        check(estimator)
        return estimator

    return load_file(path, opener=opener, records=records, build=build, remedy="save the estimator again")


def _tree_of(estimator: Any, check: Callable[[Any], None]) -> dict[str, Any]:
    """What is kept of an estimator: trees of the estimators that it holds apart from its other attributes."""
    parameters = estimator.get_params(deep=False)
    fitted = {name: value for name, value in vars(estimator).items() if name not in parameters}
    _check_names(type(estimator), fitted)
    check(estimator)
    held = {name for name, value in fitted.items() if isinstance(value, tuple) and value and hasattr(value[0], "save")}
    return {
        "estimator": type(estimator).__name__,
        "parameters": {name: _kept(value) for name, value in parameters.items()},
        "fitted": {name: value for name, value in fitted.items() if name not in held},
        "estimators": {name: [_tree_of(each, check) for each in fitted[name]] for name in held},
    }


def _kept(parameter: Any) -> Any:
    if isinstance(parameter, np.random.Generator | np.random.RandomState):
        return None
    return sp.csr_array(parameter) if sp.issparse(parameter) else parameter


def _check_names(kind: type, fitted: dict[str, Any]) -> None:
    """Raise for an attribute that no ``fit`` sets, such as one in the place of a method."""
    for name in fitted:
        is_public = name.endswith("_") and not name.startswith("_")
        if not (is_public or name in _PRIVATE) or hasattr(kind, name):
            raise ValueError(f"a fitted attribute must be one that fit sets, got {brief(name)}; remove it.")


def _spectral_radius(value: float, error: float, method: str) -> SpectralRadius:
    check_error("error", error)
    return SpectralRadius(number("value", value, least=0), error, instance("method", method, str))


def _parts_of_csr(W: Any) -> dict[str, Any]:
    return {"data": W.data, "indices": W.indices, "indptr": W.indptr, "shape": W.shape}


def _parts_of_sequences(sequences: Sequences) -> dict[str, Any]:
    return {"rows": sequences.rows, "offsets": sequences.offsets, "form": sequences.form}


RECORDS = {
    "Container": Record(Container, Container),
    "csr": Record(sp.csr_array, checked_csr, _parts_of_csr),
    "Shifts": Record(Shifts, lambda **parts: from_matrix(Shifts(**parts))),
    "Sequences": Record(Sequences, restored_sequences, _parts_of_sequences),
    "SeriesTransform": Record(SeriesTransform, SeriesTransform),
    "SpectralRadius": Record(SpectralRadius, _spectral_radius),
    "Reservoir": Record(Reservoir, lambda **parts: check_reservoir(Reservoir(**parts))),
    "SequenceRows": Record(SequenceRows, lambda **parts: check_rows(SequenceRows(**parts))),
    **{kind.__name__: Record(kind, kind.restored, kind.kept) for kind in SUMS},
}
