"""Whatever a stranger may hand over: strategies of good and bad arguments and data, and what may come of a call.

A call has two lawful outcomes: finite numbers of the right shape, or one of three errors that names an argument.
Warnings of NumPy and Python are failures; those of this package's own classes say what the numbers are worth.
"""

import datetime
import os
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

REFUSALS = (ValueError, TypeError, NotImplementedError)
OUR_PACKAGES = {"optim", "reservoir", "cells"}


def examples(whole: int) -> int:
    """Number of examples: all where ``FUZZ`` is set, which takes two minutes, and else a tenth of them."""
    return whole if os.environ.get("FUZZ") else max(1, whole // 10)


# ----------------------------------------------------------------------------------------------------- outcomes


@dataclass(frozen=True)
class Refused:
    """A call that ended in an error which names an argument."""

    error: Exception


def names_an_argument(message: str, arguments: set[str]) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", message) for name in arguments)


def outcome(call, arguments: set[str]) -> Any:
    """What ``call`` returns, or :class:`Refused`; any other end of it is raised as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for category in own_warnings():
            warnings.simplefilter("ignore", category)
        try:
            return call()
        except REFUSALS as error:
            assert not isinstance(error, UnicodeError), repr(error)
            assert names_an_argument(str(error), arguments), f"no argument is named: {error!r}"
            assert len(str(error)) < 1500, f"a message of {len(str(error))} characters"
            return Refused(error)


def own_warnings() -> list[type[Warning]]:
    """The warning classes of this package that are loaded."""
    found, waiting = [], [Warning]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.__module__.partition(".")[0] in OUR_PACKAGES:
            found.append(kind)
    return found


# ------------------------------------------------------------------------------------------------------ scalars

HOSTILE = st.sampled_from(
    [
        *(
            0,
            -1,
            10**30,
            -(10**30),
            2**63,
            1.5,
            -0.5,
            np.nan,
            np.inf,
            -np.inf,
            1e300,
            5e-324,
            True,
            None,
            "1",
            "",
            b"x",
        ),
        *(
            [],
            {},
            (),
            [1],
            "adam",
            1j,
            np.float32(0.5),
            np.int64(3),
            np.array(2),
            np.array([0.1, 0.2]),
            np.nan * np.ones(3),
        ),
        *(object, len, np.float16, datetime.date(2020, 1, 1), range(3), float("1e-40")),
    ]
)


def settings_of(good: dict[str, list[Any]]) -> st.SearchStrategy[tuple[dict[str, Any], bool]]:
    """Constructor arguments of ``good`` values, with up to two hostile ones in their place; whether there are any."""

    @st.composite
    def draw_settings(draw):
        chosen = {name: draw(st.sampled_from(values)) for name, values in good.items()}
        spoilt = draw(st.sampled_from([0, 0, 1, 2]))
        for name in draw(st.permutations(list(good)))[:spoilt]:
            chosen[name] = draw(HOSTILE)
        return chosen, spoilt > 0

    return draw_settings()


# --------------------------------------------------------------------------------------------------------- data


def with_entry(value):
    def spoil(X):
        X = X.astype(np.float64, copy=True)
        if X.size:
            X.flat[X.size // 2] = value
        return X

    return spoil


def containing_itself(X):
    rows = X.tolist()
    rows.append(rows)
    return rows


def masked(X):
    X = np.ma.masked_array(X)
    if X.size:
        X[0] = np.ma.masked
    return X


def dated(X):
    return pd.DataFrame({"when": pd.date_range("2020-01-01", periods=len(X), freq="h")})


SPOILERS = {
    "as it is": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "integers": lambda X: np.round(3 * X).astype(np.int16),
    "table": lambda X: pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])]),
    "nested lists": lambda X: X.tolist(),
    "fortran": np.asfortranarray,
    "constant": np.ones_like,
    "zeros": np.zeros_like,
    "far from zero": lambda X: 1000 + X,
    "tiny": lambda X: X * 1e-300,
    "huge": lambda X: X * 1e300,
    "subnormal": lambda X: X * 5e-324,
    "nan": with_entry(np.nan),
    "infinity": with_entry(-np.inf),
    "largest": with_entry(1.7e308),
    "half": lambda X: X.astype(np.float16),
    "complex": lambda X: X + 1j,
    "text": lambda X: X.astype(str),
    "objects": lambda X: X.astype(object),
    "None inside": lambda X: np.where(X > 0.5, None, X),
    "dates": dated,
    "masked": masked,
    "itself": containing_itself,
    "no rows": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "one axis": lambda X: X[:, 0],
    "a number": lambda X: 3.0,
    "a series": lambda X: pd.Series(X[:, 0]),
    "None": lambda X: None,
    "text alone": lambda X: "rows",
    "a set": lambda X: {1.0, 2.0},
    "a generator": lambda X: (row for row in X),
    "a dict": lambda X: {"a": X},
    "four axes": lambda X: X[None, None],
    "duplicated columns": lambda X: np.repeat(X[:, :1], X.shape[1], axis=1),
}
HARMLESS = (
    "as it is", "float32", "integers", "table", "fortran", "constant", "zeros", "far from zero", "objects",
    "duplicated columns",
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """Data of one call: rows and targets in one of the forms, as keywords of ``fit``; whether anything is bad."""

    X: Any
    y: Any
    sequences: dict[str, Any]
    n_rows: int
    is_spoilt: bool


BAD_LENGTHS = ([2**62] * 4, [-1, 3], [0], [1.5], "ab", [], [10**30], np.array([2**63], np.uint64), [[1]], {}, None)
BAD_GROUPS = ([[1], [2]], {}, "ab", [np.nan], 3, [], [{}])


@st.composite
def given_data(draw, target: str) -> Given:
    """X and y (``target`` "numbers", "labels" or "none") of up to 24 rows in any form, spoilt in half of the cases."""
    seed = draw(st.integers(0, 2**16))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    n_columns, n_outputs = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    n = sum(lengths)
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, n_columns)), rng.standard_normal((n, n_outputs))
    if target == "labels":
        y = rng.choice(["up", "down", "still"], n)
    spoiler = draw(st.sampled_from([*HARMLESS, *HARMLESS, *SPOILERS]))
    of_y = draw(st.sampled_from(["as it is"] * 6 + [*SPOILERS])) if target == "numbers" else "as it is"
    is_spoilt = not {spoiler, of_y} <= set(HARMLESS)
    form = draw(st.sampled_from(["rows", "rows", "list", "lengths", "groups", "bad lengths", "bad groups"]))
    sequences: dict[str, Any] = {}
    if form == "list":
        ends = np.cumsum(lengths)[:-1]
        parts = [SPOILERS[spoiler](part) for part in np.split(X, ends)]
        return Given(parts, np.split(y, ends), {}, n, is_spoilt or spoiler not in HARMLESS)
    if form == "lengths":
        sequences = {"lengths": lengths}
    elif form == "groups":
        sequences = {"groups": np.repeat(np.arange(len(lengths)), lengths)}
    elif form == "bad lengths":
        sequences, is_spoilt = {"lengths": draw(st.sampled_from(BAD_LENGTHS))}, True
    elif form == "bad groups":
        sequences, is_spoilt = {"groups": draw(st.sampled_from(BAD_GROUPS))}, True
    targets = None if target == "none" else SPOILERS[of_y](y) if target == "numbers" else y
    return Given(SPOILERS[spoiler](X), targets, sequences, n, is_spoilt)
