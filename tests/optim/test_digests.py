"""Two runs are told apart by every setting and every byte of their data, and by nothing else."""

import numpy as np
import pytest

from optim import Adam, Cosine, Epochs, HessianFree, LevenbergMarquardt, Momentum
from optim.digests import differences, digest_of, digests_of


def rate(t):
    return 0.1


def test_equal_settings_have_equal_digests_whatever_type_their_numbers_have():
    assert digests_of(Adam(1), "m") == digests_of(Adam(1.0), "m") == digests_of(Adam(np.float64(1.0)), "m")
    assert digests_of(HessianFree(), "m") == digests_of(HessianFree(), "m")
    assert digests_of(Momentum(rate), "m") == digests_of(Momentum(rate), "m")


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        (Adam(0.1), Adam(0.2), "m.learning_rate"),
        (Adam(0.1), Momentum(0.1), "m"),
        (Adam(0.1), Adam(rate), "m.learning_rate"),
        (Adam(Cosine(0.1, 100)), Adam(Cosine(0.1, 200)), "m.learning_rate"),
        (HessianFree(damping=LevenbergMarquardt(1.0)), HessianFree(damping=LevenbergMarquardt(2.0)), "m.damping"),
        (Epochs(5, 2, seed=0), Epochs(5, 2, seed=1), "m.seed"),
        (np.zeros(3), np.ones(3), "m"),
        (None, Adam(0.1), "m"),
    ],
)
def test_what_differs_is_named(one, other, name):
    assert differences(digests_of(one, "m"), digests_of(other, "m")).startswith(name)
    assert differences(digests_of(one, "m"), digests_of(one, "m")) == ""


def test_every_byte_of_an_array_counts():
    array = np.arange(6.0)
    changed = array.copy()
    changed[5] = np.nextafter(5.0, 6.0)
    others = [changed, array.reshape(2, 3), array.astype(np.float32), array.view(np.int64), array[::-1]]
    assert len({digest_of(array), *map(digest_of, others)}) == 6
    assert digest_of(array[::2]) == digest_of(array[::2].copy())
    assert digest_of(np.empty(0)) != digest_of(np.empty((0, 3)))
