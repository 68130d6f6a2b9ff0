"""What a file may hold: what goes in comes out, everything else is refused by its place."""

from dataclasses import dataclass

import numpy as np
import pytest

from optim.codec import Record, decode, encode


@dataclass
class Point:
    x: float
    name: str = ""


def built(x, name):
    if not x > 0:
        raise ValueError(f"x must be > 0, got {x}")
    return Point(x, name)


RECORDS = {"Point": Record(Point, built), "slice": Record(slice, slice, lambda cut: {})}


def there_and_back(tree):
    arrays = {}
    encoded = encode(tree, arrays, RECORDS)
    return decode(encoded, arrays, RECORDS)


def test_lists_tuples_types_and_arrays_of_anything_come_back_as_what_they_were():
    tree = [(1, (2.5,), [None]), {"array": {"dict": 1}}, np.float32, np.array(["a", 1, None], dtype=object)]
    back = there_and_back(tree)
    assert back[:3] == tree[:3] and type(back[0]) is tuple
    np.testing.assert_array_equal(back[3], tree[3])


def test_arrays_come_back_in_c_order_and_native():
    for array in (np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(3, dtype=">i4"), np.arange(8)[::2]):
        back = there_and_back(array)
        np.testing.assert_array_equal(back, array)
        assert back.flags.c_contiguous and back.dtype.isnative


def test_a_record_is_built_by_its_own_check():
    assert there_and_back({"p": Point(2.0, "a")}) == {"p": Point(2.0, "a")}
    with pytest.raises(ValueError, match="x must be > 0, got -1"):
        decode({"record": "Point", "fields": {"x": -1.0, "name": ""}}, {}, RECORDS)


@pytest.mark.parametrize("leaf", [object(), {1: 2}, np.ma.array([1.0]), np.zeros(2, "f8,i4"), 1j, len, {3}])
def test_what_is_not_known_is_refused_with_its_place(leaf):
    with pytest.raises(TypeError, match=r"what is saved must be .* in here\.1; "):
        encode({"here": [0, leaf]}, {}, {})


def test_a_list_that_holds_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(ValueError, match="at most 100 levels"):
        encode(ring, {}, {})
