"""Estimators in one ``.npz`` file: arrays as they are, everything else in a JSON header. Nothing in it is ever run."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import numpy as np
import scipy.sparse as sp

from optim.checkpoint import FORMAT as CHECKPOINT
from optim.checkpoint import load_checkpoint
from reservoir.gram import Gram
from reservoir.matrix import Shifts
from reservoir.spectrum import SpectralRadius
from reservoir.tsqr import TriangularFactor
from reservoir.weights import Reservoir

FORMAT = "reservoir-hf 1"
_RECORDS = {kind.__name__: kind for kind in (Shifts, SpectralRadius, Reservoir)}
_SUMS = {kind.__name__: kind for kind in (Gram, TriangularFactor)}


def save(estimator: Any, path: Any) -> None:
    """Write the parameters and fitted attributes of ``estimator`` to ``path``.

    A random generator given as ``random_state`` is not kept: None takes its place, the weights drawn from it stay.
    """
    arrays: dict[str, np.ndarray] = {}
    parameters = estimator.get_params(deep=False)
    fitted = {name: value for name, value in vars(estimator).items() if name not in parameters}
    header = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": {name: _encode(value, arrays) for name, value in parameters.items()},
        "fitted": {name: _encode(value, arrays) for name, value in fitted.items()},
    }
    arrays["header"] = np.array(json.dumps(header))
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def load(path: Any) -> Any:
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
        If the file was not written by ``save``, or by a later version.

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
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        version, name = header["format"], header.get("estimator")
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise ValueError(
            f"path must be a file written by an estimator's save, got {path!r}, which cannot be read as one ({error}); "
            "save the estimator again."
        ) from error
    _refuse_other_packages(path, header)
    if version != FORMAT:
        raise ValueError(f"path must be a file of format {FORMAT!r}, got {version!r}; use a newer reservoir-hf.")
    import reservoir

    kinds = {public: getattr(reservoir, public) for public in reservoir.__all__}
    kind = kinds.get(name)
    if not (isinstance(kind, type) and hasattr(kind, "save")):
        raise ValueError(f"path must hold one of this package's estimators, got {name!r}; save it again.")
    estimator = kind(**{name: _decode(value, arrays) for name, value in header["parameters"].items()})
    for name, value in header["fitted"].items():
        setattr(estimator, name, _decode(value, arrays))
    return estimator


def _refuse_other_packages(path: Any, header: dict[str, Any]) -> None:
    """Raise for a file that ``optim`` or ``cells`` wrote, and say who opens it."""
    if header["format"] != CHECKPOINT:
        return
    tree = load_checkpoint(path)
    is_estimator = isinstance(tree, dict) and "estimator" in tree
    came, remedy = (tree["estimator"], "cells.load") if is_estimator else ("checkpoint", "optim.load_checkpoint")
    raise ValueError(
        f"path must hold an estimator of reservoir, got a {came} in {path!r}; open it with {remedy}(path)."
    )


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """JSON for ``value``; arrays go to ``arrays`` under a number."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _encode(value[()].item() if value.dtype.kind in "biufU" else str(value), arrays)
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {"strings": [str(item) for item in value]}
        arrays[f"array{len(arrays)}"] = value
        return {"array": f"array{len(arrays) - 1}"}
    if sp.issparse(value):
        W = sp.csr_array(value)
        parts = (W.data, W.indices, W.indptr)
        return {"csr": [_encode(part, arrays) for part in parts], "shape": list(W.shape)}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_encode(item, arrays) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, arrays) for key, item in value.items()}}
    if type(value).__name__ in _SUMS:
        fields = {name: _encode(field, arrays) for name, field in vars(value).items()}
        return {"sums": type(value).__name__, "fields": fields}
    if type(value).__name__ in _RECORDS:
        fields = {name: _encode(getattr(value, name), arrays) for name in type(value).__dataclass_fields__}
        return {"record": type(value).__name__, "fields": fields}
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return None
    if isinstance(value, np.dtype) or value in (np.float32, np.float64):
        return {"dtype": np.dtype(value).name}
    raise TypeError(
        f"every attribute of a saved estimator must be numbers, text or arrays, got {type(value).__name__}; use pickle."
    )


def _decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "strings" in value:
        return np.array(value["strings"], dtype=object)
    if "csr" in value:
        data, indices, indptr = (_decode(part, arrays) for part in value["csr"])
        W = sp.csr_array((data, indices, indptr), shape=tuple(value["shape"]))
        W.check_format(full_check=True)
        return W
    if "dict" in value:
        return {key: _decode(item, arrays) for key, item in value["dict"].items()}
    if "sums" in value:
        fields = {name: _decode(field, arrays) for name, field in value["fields"].items()}
        sums = _SUMS[value["sums"]](fields["n_features"], fields["n_outputs"])
        vars(sums).update(fields)
        return sums
    if "record" in value:
        fields = {name: _decode(field, arrays) for name, field in value["fields"].items()}
        return _RECORDS[value["record"]](**fields)
    if "dtype" in value:
        return np.dtype(value["dtype"]).type
    if "tuple" in value:
        return tuple(_decode(item, arrays) for item in value["tuple"])
    return [_decode(item, arrays) for item in value["list"]]
