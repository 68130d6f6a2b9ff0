"""Arrays that are lent again, and memories that threads borrow: nobody shares one, and none is lost."""

import numpy as np
import pytest

from cells.passes.memory import Memory, MemoryPool
from reservoir.simd.vectors import PACK_BYTES


def test_memory_lends_the_same_pages_again():
    memory = Memory()
    large = memory.lend("a", (4, 6), np.float64)
    small = memory.lend("a", (3, 5), np.float64)
    assert np.shares_memory(large, small)
    assert small.shape == (3, 5)
    assert small.flags.c_contiguous


@pytest.mark.parametrize("other", [("b", (4, 6), np.float64), ("a", (5, 6), np.float64), ("a", (4, 6), np.float32)])
def test_memory_lends_other_pages_to_other_names_larger_shapes_and_other_types(other):
    memory = Memory()
    array = memory.lend("a", (4, 6), np.float64)
    assert not np.shares_memory(array, memory.lend(*other))
    assert memory.lend(*other).dtype == other[2]


def test_memory_holds_arrays_of_size_0():
    assert Memory().lend("a", (3, 0), np.float32).shape == (3, 0)


def test_zeros_are_zeros_also_where_something_stood():
    memory = Memory()
    memory.lend("a", (4, 6), np.float64)[:] = 7
    assert not memory.zeros("a", (2, 5), np.float64).any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_lent_arrays_begin_on_a_pack(dtype):
    memory = Memory()
    assert all(memory.lend(name, (3, 5), dtype).ctypes.data % PACK_BYTES == 0 for name in "abc")


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
