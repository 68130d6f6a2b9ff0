"""Sequences in every form in which they may be handed over, and the door that reads them."""

import numpy as np
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from naive import sequences as naive
from reservoir.data.reading import read_sequences

FORMS = ["list", "groups", "lengths", "column", "stack"]


def read(X, y=None, *, target="none", reset=True, estimator=None, **keywords):
    return read_sequences(estimator or BaseEstimator(), X, y, target=target, reset=reset, **keywords)


def in_form(form, members, ids, position=0):
    """Arguments that hand over the sequences ``members``, a list of (n, F) arrays, in one of the forms."""
    flat = np.concatenate(members)
    rows = np.array(naive.ids(members, ids))
    if form == "list":
        return {"X": members}
    if form == "stack":
        return {"X": np.stack(members)}
    if form == "groups":
        return {"X": flat, "groups": rows}
    if form == "lengths":
        return {"X": flat, "lengths": [len(member) for member in members]}
    return {"X": np.insert(flat, position, rows, axis=1), "sequence_column": position}


@st.composite
def cases(draw):
    equal = draw(st.booleans())
    n_sequences = draw(st.integers(1, 6))
    length = st.just(draw(st.integers(1, 5))) if equal else st.integers(1, 5)
    lengths = [draw(length) for _ in range(n_sequences)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    n_features, n_outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "form": draw(st.sampled_from(FORMS if equal else FORMS[:-1])),
        "members": [rng.normal(size=(n, n_features)).astype(dtype) for n in lengths],
        "ids": rng.permutation(100)[:n_sequences].tolist(),
        "position": draw(st.integers(0, n_features)),
        "y": [rng.normal(size=(n, n_outputs)) for n in lengths],
        "one": rng.normal(size=(n_sequences, n_outputs)),
        "weights": [rng.uniform(0.1, 1, n) for n in lengths],
    }
