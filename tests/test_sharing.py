"""How a batch is cut into shares; memories that threads borrow: nobody shares one, and none is lost."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, Network
from cells.sharing import MAX_SHARE, MemoryPool, cut_into_shares
from reservoir.tiles import EIGHT_ROWS

TILE = len(EIGHT_ROWS)


def test_borrowers_at_the_same_time_have_memories_of_their_own():
    pool = MemoryPool()
    with pool.borrow() as one, pool.borrow() as other:
        assert one is not other
        assert pool.take() not in (one, other)


def test_a_memory_is_lent_again_when_it_is_back():
    pool = MemoryPool()
    with pool.borrow() as memory:
        pass
    assert pool.take() is memory
    pool.give_back([memory])
    assert pool.take() is memory


def test_a_failure_gives_the_memory_back():
    pool = MemoryPool()
    with pytest.raises(ZeroDivisionError), pool.borrow() as memory:
        1 / 0  # noqa: B018
    assert pool.take() is memory


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
