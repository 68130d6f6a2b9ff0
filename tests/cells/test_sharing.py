"""How a batch is cut into shares."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, Elman, Network
from cells.shares.sharing import MAX_SHARE, cut_into_shares
from reservoir.simd.tiles import MOST_ROWS

TILE = MOST_ROWS


@pytest.mark.parametrize("n_sequences", [1, 7, 20, 40, 100, 999, 1000, 5000])
def test_shares_are_whole_tiles_of_sequences_in_their_order_and_alike(n_sequences):
    network = Network(LSTM(3, 10), n_out=2)
    shares = cut_into_shares(network, np.float64, np.arange(n_sequences), n_rows=10**9)
    assert_array_equal(np.concatenate(shares), np.arange(n_sequences))
    sizes = np.array([share.size for share in shares])
    assert (sizes[:-1] % TILE == 0).all()
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() < 2 * TILE
    assert sizes.max() <= MAX_SHARE + TILE


def test_shares_whose_states_fit_the_cache_are_as_large_as_fits():
    """60 steps of 100 units in float64 are 48 kB a sequence, of which 21 fit: 16 in whole tiles."""
    network = Network(Elman(3, 100), n_out=2)
    sizes = {
        keeps_states: [
            share.size
            for share in cut_into_shares(network, np.float64, np.arange(1024), 60 * 1024, keeps_states=keeps_states)
        ]
        for keeps_states in (True, False)
    }
    assert sizes == {True: [16] * 64, False: [64] * 16}


def test_shares_whose_states_never_fit_are_large():
    network = Network(Elman(3, 100), n_out=2)
    assert {share.size for share in cut_into_shares(network, np.float64, np.arange(1024), 90 * 1024)} == {64}
