"""Sequences in their one internal form: flat rows plus offsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from optim.arguments import array, brief, choice, integer, precision
from optim.device import to_device

FORMS = ("rows", "list", "stack", "groups", "lengths", "column")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Rows of all sequences, one after the other, with what belongs to them.

    All arrays are read-only; ``rows``, ``targets``, ``labels`` and ``weights`` may share the caller's memory.
    Read-only always: the caller's data cannot be written by mistake, and kernels meet one type of array.

    Parameters
    ----------
    rows : (n_steps, n_features) C-contiguous, float64 or float32
        What drives the reservoir; the column of ids is not among them.
    offsets : (n_sequences + 1,) int64
        Sequence i is ``rows[offsets[i]:offsets[i + 1]]``; no sequence is empty.
    form : {"rows", "list", "stack", "groups", "lengths", "column"}
        How X came: 2-D, list of 2-D, 3-D, or 2-D with one of the three keywords.
    targets : (n_steps, n_outputs) C-contiguous, dtype of ``rows``, or None
    labels : (n_steps,) of any label type, or None
        One label a row, also where y held one a sequence. Encoding is left to the estimator.
    weights : (n_steps,) float64, or None
        Finite, not negative, not all zero.
    targets_1d : bool
        Whether a step of y was a number rather than a vector.
    one_per_sequence : bool
        Whether y held one entry a sequence (spread over its rows here).
    is_on_device : bool
        Whether X came in CuPy's arrays: then numbers are handed back in these, and computed on the GPU.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.base import BaseEstimator
    >>> from reservoir.data.reading import read_sequences
    >>> X = [np.zeros((2, 1)), np.ones((3, 1))]
    >>> sequences = read_sequences(BaseEstimator(), X, ["a", "b"], reset=True, target="labels")
    >>> sequences.offsets, sequences.labels.tolist()
    (array([0, 2, 5]), ['a', 'a', 'b', 'b', 'b'])
    >>> [states.shape for states in sequences.like_input(np.ones((5, 7)))]
    [(2, 7), (3, 7)]
    """

    rows: np.ndarray
    offsets: np.ndarray
    form: Literal["rows", "list", "stack", "groups", "lengths", "column"] = "rows"
    targets: np.ndarray | None = None
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None
    targets_1d: bool = False
    one_per_sequence: bool = False
    is_on_device: bool = False

    def __post_init__(self):
        for name in ("rows", "offsets", "targets", "labels", "weights"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, read_only(array))

    @property
    def n_steps(self) -> int:
        """Rows of all sequences together."""
        return self.rows.shape[0]

    @property
    def n_sequences(self) -> int:
        """Number of sequences, at least 1."""
        return self.offsets.shape[0] - 1

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each sequence, (n_sequences,) int64, all at least 1."""
        return np.diff(self.offsets)

    @property
    def labels_are_constant(self) -> bool:
        """Whether all rows of each sequence carry one label (so they may be decided as a whole)."""
        repeats = self.labels[1:] == self.labels[:-1]
        repeats[self.offsets[1:-1] - 1] = True
        return bool(repeats.all())

    def weights_after(self, washout: int) -> np.ndarray | None:
        """(n_steps,) float64 weights, 0 on the first ``washout`` rows of every sequence; None: all rows count 1."""
        if washout == 0:
            return self.weights
        step = np.arange(self.n_steps) - self.on_rows(self.offsets[:-1])
        return (step >= washout) * (1.0 if self.weights is None else self.weights)

    def on_rows(self, values: np.ndarray) -> np.ndarray:
        """Repeat values (n_sequences, ...), one a sequence, on the rows of each sequence: (n_steps, ...)."""
        return np.repeat(values, self.lengths, axis=0)

    def like_input(self, rows_out: np.ndarray) -> Any:
        """Hand back results (n_steps, ...) in the form of X: array, list of arrays or stack; no copies."""
        rows_out = self.placed(rows_out)
        if self.form == "list":
            return [rows_out[a:b] for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]
        if self.form == "stack":
            return rows_out.reshape(self.n_sequences, -1, *rows_out.shape[1:])
        return rows_out

    def per_sequence(self, values: np.ndarray) -> np.ndarray:
        """Hand back values (n_sequences, ...) in the form of X.

        A 2-D X, alone or with ``sequence_column=``, gets them on every row (scikit-learn counts rows);
        the other forms get one entry a sequence.
        """
        return self.placed(self.on_rows(values) if self.form in ("rows", "column") else values)

    def placed(self, values: np.ndarray | None) -> Any:
        """Hand back values where X lay; text, and what there is not, as it is."""
        return to_device(values) if self.is_on_device and values is not None and values.dtype.kind in "fiub" else values


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written through."""
    array = array.view()
    array.flags.writeable = False
    return array


def restored_sequences(rows: Any, offsets: Any, form: Any) -> Sequences:
    """Sequences of parts that come from a file, which fit one another.

    Raises
    ------
    TypeError, ValueError
        Naming the part.
    """
    dtype = precision("rows", getattr(rows, "dtype", None)) or np.float64
    array("rows", rows, shape=(None, None), dtype=dtype)
    array("offsets", offsets, shape=(None,), dtype=np.int64, least=0)
    choice("form", form, FORMS)
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(rows) or (np.diff(offsets) < 1).any():
        raise ValueError(f"offsets must rise from 0 to the {len(rows)} rows, got {brief(offsets)}; save it again.")
    return Sequences(rows, offsets, form)


def check_washout(sequences: Sequences, washout: int) -> int:
    """Return ``washout`` if it leaves every sequence a row, and some row a weight where there are weights.

    Raises
    ------
    TypeError, ValueError
        If it is no integer, is negative, swallows a sequence, or leaves only rows of weight zero.
    """
    washout = integer("washout", washout, least=0, remedy="give a number of steps, 0 to keep every row")
    lengths = sequences.lengths
    shortest = int(lengths.argmin())
    if washout >= lengths[shortest]:
        raise ValueError(
            f"washout must be smaller than the length of every sequence, got washout={washout} while "
            f"sequence {shortest} has {lengths[shortest]} rows; use a smaller washout or leave out short "
            "sequences."
        )
    if sequences.weights is not None and not sequences.weights_after(washout).any():
        raise ValueError(
            f"sample_weight must be positive on some row after the washout, got only zeros there with "
            f"washout={washout}; use a smaller washout or give weight to later rows."
        )
    return washout
