"""Which axis counts sequences, and which rows a batch may name."""

import numpy as np
import pytest

from optim.batch_axes import axis_of_sequences, rows_of_batch


@pytest.mark.parametrize(
    ("shape", "batch_axis", "axis"),
    [((7, 30, 2), 1, 1), ((30,), 1, 0), ((30, 1), 1, 0), ((30, 30), 1, 1), ((2, 30), -1, 1), ((30, 4), -1, 0)],
)
def test_the_axis_named_is_taken_before_the_first(shape, batch_axis, axis):
    assert axis_of_sequences("y", shape, batch_axis, 30) == axis


@pytest.mark.parametrize("shape", [(), (29,), (7, 29), (7, 2, 30)])
def test_an_array_without_the_sequences_is_named(shape):
    with pytest.raises(
        ValueError, match=r"y must have 30 entries, one a sequence, along axis 1 or its first, got shape"
    ):
        axis_of_sequences("y", shape, 1, 30)


def test_rows_keep_their_order_and_may_repeat():
    rows = rows_of_batch(np.array([3, 0, 3], np.uint8), 4)
    assert rows.tolist() == [3, 0, 3] and rows.dtype == np.int64


@pytest.mark.parametrize("batch", [[4], [-1], [2**63], []])
def test_rows_that_are_not_there_are_named(batch):
    with pytest.raises(ValueError, match=r"batch must be indices in \[0, 3\]"):
        rows_of_batch(batch, 4)


@pytest.mark.parametrize("batch", [[0.0], [True], [[0]], ["a"], 2, [None]])
def test_rows_of_another_kind_are_named(batch):
    with pytest.raises(TypeError, match=r"batch must be indices in \[0, 3\]"):
        rows_of_batch(batch, 4)
