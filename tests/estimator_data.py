"""Data for the tests of estimators: the same rows as one array, as sequences and with ids; what is fitted to them."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

# A state of 30 units at radius 0.9 is a sum of some tens of rounded terms, and forgets its errors.
BATCH = {"rtol": 1e-12, "atol": 1e-12}
# Two orders of summing a Gram differ by some 1e-15 relative. The condition of the penalised Gram multiplies
# that: with alpha = 1 and 33 features of order 1 at most 200 * 33, for some 400 repeated rows twice that.
BLOCKS = {"rtol": 1e-10, "atol": 1e-10}

LENGTHS = (60, 1, 45, 94)
N_ROWS = 200


def rows(n_rows=N_ROWS, n_features=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n_rows, n_features))


def parts(X, lengths=LENGTHS):
    return np.split(X, np.cumsum(lengths)[:-1])


def with_ids(X, lengths=LENGTHS):
    """``X`` behind a column of ids that are no counting numbers."""
    return np.column_stack([np.repeat(7.5 - np.arange(len(lengths)), lengths), X])


def flat(answer):
    return np.concatenate(answer) if isinstance(answer, list) else answer


@cache
def fitted(contract):
    X = rows()
    return contract.make().fit(*contract.arguments(X))


def forms(contract, X, y, lengths):
    """The forms of the same sequences: name, constructor's, positional and keyword arguments."""
    targets = [] if y is None else [y]
    ids = np.repeat(np.arange(len(lengths)), lengths)
    yield "list", {}, (parts(X, lengths), *[parts(y, lengths) for y in targets]), {}
    yield "lengths", {}, (X, *targets), {"lengths": lengths}
    if contract.has_rows:
        yield "groups", {}, (X, *targets), {"groups": ids}
    yield "column", {"sequence_column": 0}, (with_ids(X, lengths), *targets), {}


def memory_mapped(X):
    with tempfile.NamedTemporaryFile(suffix=".npy", delete=False) as file:
        np.save(file, X)
    mapped = np.load(file.name, mmap_mode="r")
    Path(file.name).unlink()
    return mapped


def read_only(X):
    X.setflags(write=False)
    return X


SAME_NUMBERS = {
    "read-only": read_only,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 2, axis=-1)[::2, ::2] if X.ndim == 2 else X.repeat(2)[::2],
    "reversed": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "memory-mapped": memory_mapped,
}


def spoilt(value):
    X = rows()
    X[17, 1] = value
    return X


def endless(times):
    """A list that holds itself, once or several times."""
    members = []
    members.extend([members] * times)
    return members
