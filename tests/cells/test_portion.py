"""Portions of the data: stretches of time cover the whole once, and know who ends in them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, Network
from cells.shares.portion import total_weight
from network_problems import problem

LENGTHS = [5, 1, 4, 4]
KINDS = {"numbers": {}, "classes": {"index": True}, "clamped": {"clamped": 1, "given": 2}}


def whole(targets="all", masked=True, **options):
    network = Network(LSTM(2, 3), n_out=2, targets=targets)
    data = problem(network, LENGTHS, masked=masked, **options).objective().data
    return data.portion(data.by_length)


@pytest.mark.parametrize("targets", ["all", "last"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 3, 4])
def test_two_stretches_hold_every_row_once(kind, targets, cut):
    data = whole(targets, **KINDS[kind])
    parts = [data.between(0, cut), data.between(cut, data.n_steps)]
    assert_array_equal(
        np.concatenate([part.x.array if kind != "classes" else part.x.index for part in parts]),
        data.x.array if kind != "classes" else data.x.index,
    )
    assert_array_equal(np.concatenate([part.clamp.values for part in parts]), data.clamp.values)
    order = parts if targets == "all" else parts[::-1]  # the sequences that end first come last
    assert_array_equal(np.concatenate([part.targets for part in order]), data.targets)
    assert_array_equal(np.concatenate([part.weights for part in order]), data.weights)


def test_a_stretch_knows_who_begins_who_goes_on_and_how_long_each_is():
    data = whole()
    first, second = data.between(0, 2), data.between(2, 5)
    assert (first.begins, second.begins) == (True, False)
    assert (first.n_continuing, second.n_continuing) == (3, 0)
    assert first.rows.lengths.tolist() == [2, 2, 2, 1] and second.rows.lengths.tolist() == [3, 2, 2]
    assert first.lengths.tolist() == [5, 4, 4, 1] and second.lengths.tolist() == [5, 4, 4]
    assert_array_equal(second.indices, data.indices[:3])


def test_a_stretch_may_be_cut_again():
    data = whole(clamped=1)
    twice, once = data.between(1, 5).between(1, 3), data.between(2, 4)
    assert_array_equal(twice.x.array, once.x.array)
    assert_array_equal(twice.weights, once.weights)
    assert_array_equal(twice.clamp.values, once.clamp.values)
    assert twice.n_continuing == once.n_continuing == 1
    assert not data.between(1, 5).between(0, 2).begins


def test_all_of_it_is_itself():
    data = whole()
    assert data.between(0, data.n_steps) is data


def test_outputs_that_have_weights_of_their_own_are_rows():
    data = whole(masked="outputs")
    targets, _, weights = data.answers
    assert targets.shape == (28, 1) and weights.shape == (28,)
    rows = np.arange(28.0).reshape(14, 2)
    assert_array_equal(data.counted(rows)[:, 0], np.arange(28.0))
    assert np.shares_memory(data.counted(rows), rows)
    assert total_weight(data.weights) == pytest.approx(weights.sum() / 2)
