"""What the door for data refuses: by name, with what came and what to do."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

from sequence_forms import read

X5 = np.arange(10.0).reshape(5, 2)
NAN = np.where(np.arange(10).reshape(5, 2) == 3, np.nan, X5)
PAIR = [X5[:2], X5[2:]]
FLOAT16 = X5.astype(np.float16)
OBJECTS = np.array([[1, "2"], [3, 4]], dtype=object)
ERRORS = {
    "two marks": ({"X": X5, "groups": [1] * 5, "lengths": [5]}, "one way, got groups and lengths; keep one"),
    "marks on a list": ({"X": PAIR, "lengths": [2, 3]}, "lengths .*2-D X, got a list.*; leave them out"),
    "column in a stack": (
        {"X": X5[None], "sequence_column": 0},
        "sequence_column .*got a list.*3-D.*; leave",
    ),
    "X 1-D": ({"X": X5[0]}, r"X must be 2-D.*got shape \(2,\)\. Reshape your data"),
    "X 4-D": ({"X": np.zeros((1, 2, 3, 4))}, r"X must be 2-D, or 3-D .*got shape \(1, 2, 3, 4\); leave"),
    "X empty": ({"X": X5[:0]}, r"0 sample\(s\)"),
    "X without columns": ({"X": X5[:, :0]}, r"0 feature\(s\)"),
    "empty list": ({"X": []}, r"X must be 2-D.*got shape \(0,\)"),
    "empty stack": ({"X": np.zeros((0, 3, 1))}, r"X must be .*got shape \(0, 3, 1\); leave out empty"),
    "stack of empty": ({"X": np.zeros((2, 0, 1))}, r"X must be .*got shape \(2, 0, 1\); leave out empty"),
    "empty member": ({"X": [X5, X5[:0]]}, r"X must be 2-D and not empty, got X\[1\] of shape \(0, 2\); give"),
    "1-D member": ({"X": [X5, X5[0]]}, r"sequence in X must be 2-D .*got X\[1\] of shape \(2,\); give"),
    "uneven members": ({"X": [X5, X5[:, :1]]}, r"number of features, got 2 in X\[0\] and 1 in X\[1\]; give"),
    "ragged nest": ({"X": [[1.0, 2.0], [3.0]]}, "X must be a rectangular array, got nested.*; make all"),
    "ragged member": ({"X": [X5, [[1.0], [2.0, 3.0]]]}, r"X\[1\] must be a rectangular array.*; make all"),
    "frames at odds": (
        {"X": [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]})]},
        r"same column names, X\[1\] differs from X\[0\]; give",
    ),
    "NaN in X": ({"X": NAN}, r"X must hold finite numbers, got NaN on row 1, column 1 \(.* 1 in all\); fill"),
    "NaN in a member": ({"X": [X5, NAN]}, "X must hold finite numbers, got NaN on row 6, column 1"),
    "infinity in X": (
        {"X": np.where(X5 == 3, np.inf, X5)},
        "X must hold finite.* infinity.* on row 1, column 1",
    ),
    "complex X": ({"X": X5 + 1j}, "Complex data not supported: X must .*got complex128; give"),
    "complex member": ({"X": [X5, X5 + 1j]}, r"Complex data not supported: X\[1\] must .*; give"),
    "complex y": ({"X": X5, "y": np.ones(5) + 1j, "target": "rows"}, "Complex .*: y must.*complex128; give"),
    "complex labels": ({"X": X5, "y": np.ones(5) + 1j, "target": "labels"}, "Complex .*: y must.*; give"),
    "lengths short": ({"X": X5, "lengths": [2, 2]}, "lengths must sum .*got a sum of 4 for 5 rows; give"),
    "lengths zero": ({"X": X5, "lengths": [5, 0]}, "lengths must be .*smallest entry of 0; leave out"),
    "lengths negative": ({"X": X5, "lengths": [6, -1]}, "lengths must be .*smallest entry of -1; leave out"),
    "lengths 2-D": ({"X": X5, "lengths": [[2, 3]]}, r"lengths must be 1-D .*got shape \(1, 2\).*; give"),
    "groups recur": ({"X": X5, "groups": list("aabba")}, "groups must keep.*'a' from row 0 .* row 4; sort"),
    "groups short": ({"X": X5, "groups": [1, 1]}, r"groups must hold one id a row.*got shape \(2,\); repeat"),
    "groups NaN": ({"X": X5, "groups": [1, 1, np.nan, 2, 2]}, "groups must hold an id.*on row 2; fill in"),
    "column recurs": (
        {"X": X5 % 4, "sequence_column": 0},
        r"sequence_column=0 must keep.*id 0.0 from row 0 .*again from row 2.*ShuffleSplit",
    ),
    "column outside": (
        {"X": X5, "sequence_column": 2},
        r"sequence_column must .* \[-2, 1\], got 2; give",
    ),
    "column unknown": (
        {"X": pd.DataFrame(X5, columns=["a", "b"]), "sequence_column": "c"},
        r"sequence_column='c' must name.*got the columns \['a', 'b'\]; give",
    ),
    "column unnamed": ({"X": X5, "sequence_column": "c"}, "'c' must .*an X without column names; give"),
    "column alone": ({"X": X5[:, :1], "sequence_column": 0}, "X must have a feature beside.*; add"),
    "column gaps": (
        {"X": pd.DataFrame({"id": ["a", None], "u": [1.0, 2.0]}), "sequence_column": "id"},
        "column of ids must be filled .*on row 1; fill",
    ),
    "no y": ({"X": X5, "target": "rows"}, "requires y to be passed, but the target y is None; give"),
    "y short": (
        {"X": X5, "y": [1.0] * 4, "target": "rows"},
        r"y must have one entry a row of X \(5\), got 4;",
    ),
    "y scalar": ({"X": X5, "y": 1.0, "target": "rows"}, "y must have one entry a row.*got a scalar; check"),
    "y neither": (
        {"X": PAIR, "y": [1.0] * 3, "target": "rows"},
        r"y must .*\(5\) or one .*\(2\), got 3; check",
    ),
    "y by sequence in a column": (
        {"X": X5, "y": [1.0] * 5, "sequence_column": 0, "sample_weight": [1.0] * 2, "target": "rows"},
        r"sample_weight must have one entry a row of X \(5\), got 2; check",
    ),
    "y unlike X": (
        {"X": PAIR, "y": [np.ones(2), np.ones(2)], "target": "rows"},
        r"y\[1\] must have the 3 rows of X\[1\].*got shape \(2,\); give",
    ),
    "y 3-D": (
        {"X": X5, "y": np.ones((5, 1, 1)), "target": "rows"},
        r"y must .*got shape \(5, 1, 1\); flatten",
    ),
    "NaN in y": ({"X": X5, "y": NAN[:, 1], "target": "rows"}, "y must hold finite numbers, got NaN on row 1"),
    "NaN label": ({"X": X5, "y": NAN[:, 1], "target": "labels"}, "y must hold finite numbers, got NaN on row 1"),
    "2-D labels": (
        {"X": X5, "y": X5, "target": "labels"},
        r"y must hold one label.*shape \(5, 2\); give 1-D",
    ),
    "numbers as labels": ({"X": X5, "y": X5[:, 0] + 0.5, "target": "labels"}, "Unknown label type"),
    "negative weight": (
        {"X": X5, "sample_weight": [1, 1, -2, 1, 1]},
        "sample_weight .*got -2.0 on row 2; use 0",
    ),
    "zero weights": (
        {"X": X5, "sample_weight": np.zeros(5)},
        "sample_weight must be positive.*zeros.*; leave",
    ),
    "zero scalar weight": ({"X": X5, "sample_weight": 0.0}, "sample_weight must be positive.*; leave"),
    "NaN weight": ({"X": X5, "sample_weight": NAN[:, 1]}, "sample_weight must hold finite.*NaN on row 1"),
    "NaN scalar weight": (
        {"X": X5, "sample_weight": np.nan},
        "sample_weight must be a finite .*got nan; give",
    ),
    "2-D weights": ({"X": X5, "sample_weight": X5}, r"sample_weight must be 1-D.*got shape \(5, 2\); give"),
}
KIND_ERRORS = {
    "float16 X": ({"X": FLOAT16}, r"X must hold float64, .*got float16; use"),
    "float16 member": ({"X": [X5, FLOAT16]}, r"X\[1\] must hold float64, .*got float16; use"),
    "float16 column": ({"X": pd.DataFrame({"a": FLOAT16[:, 0]})}, "column 'a' of X must .*float16; use"),
    "float16 y": ({"X": X5, "y": FLOAT16[:, 0], "target": "rows"}, "y must hold float64.*got float16; use"),
    "float16 label": ({"X": X5, "y": FLOAT16[:, 0], "target": "labels"}, "y must .*got float16; use"),
    "float16 weight": ({"X": X5, "sample_weight": FLOAT16[:, 1]}, "sample_weight must .*got float16; use"),
    "text": ({"X": np.array([["1", "2"]])}, "X must hold real numbers, got dtype <U1; encode"),
    "text y": (
        {"X": X5, "y": list("abcde"), "target": "rows"},
        "y must hold real numbers, got dtype <U1; enc",
    ),
    "text weight": ({"X": X5, "sample_weight": list("abcde")}, "sample_weight must .*got dtype <U1; encode"),
    "text in objects": ({"X": OBJECTS}, "X must hold real numbers, got '2' in an object array; this"),
    "text column": ({"X": pd.DataFrame({"a": ["x", "y"]})}, "column 'a' of X must .*got .*: encode each"),
    "complex object": ({"X": np.array([[np.complex64(1j)]], dtype=object)}, "X must hold real .*: encode"),
    "dict": (
        {"X": np.array([[{}]], dtype=object)},
        "X must .*argument must be .*string.*: encode each as a number",
    ),
    "dates": (
        {"X": np.array([["2020-01-01"]], dtype="M8[D]")},
        "X must hold real .*datetime64.*; give times",
    ),
    "sparse": ({"X": csr_array(X5)}, "Sparse data was passed"),
    "sparse ids": ({"X": csr_array(X5), "sequence_column": 0}, "Sparse data was passed"),
    "sparse member": ({"X": [csr_array(X5)]}, r"X\[0\] must be a dense.*got a sparse matrix; convert"),
    "float lengths": ({"X": X5, "lengths": [2.0, 3.0]}, r"lengths must be integers, got \[2.0, 3.0\]; give"),
    "column kind": ({"X": X5, "sequence_column": 0.5}, "sequence_column must be an integer.*got 0.5; give"),
    "column bool": ({"X": X5, "sequence_column": True}, "sequence_column must be an integer.*got True; give"),
}


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [pytest.param(ValueError, *case, id=name) for name, case in ERRORS.items()]
    + [pytest.param(TypeError, *case, id=name) for name, case in KIND_ERRORS.items()],
)
def test_unusable_data_are_refused_by_name_with_what_came_and_what_to_do(kind, arguments, message):
    with pytest.raises(kind, match=f"(?s){message}"):
        read(**arguments)


def test_a_changed_number_or_order_of_features_is_refused():
    estimator = BaseEstimator()
    read(X5, estimator=estimator)
    for X in (X5[:, :1], [X5[:, :1]], X5[None, :, :1]):
        with pytest.raises(ValueError, match="X has 1 features, but BaseEstimator is expecting 2 features"):
            read(X, estimator=estimator, reset=False)
    frame = pd.DataFrame(X5, columns=["a", "b"])
    read([frame, frame], estimator=estimator)
    assert estimator.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        read([frame[["b", "a"]]] * 2, estimator=estimator, reset=False)
