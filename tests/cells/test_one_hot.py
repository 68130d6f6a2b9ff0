"""One-hot rows by index: the products that their dense form has."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells.device import one_hot
from cells.device.one_hot import OneHot
from cuda_host import standin


@pytest.mark.parametrize("n_elements", [1, 7, 100])
def test_products_are_those_of_the_dense_rows(n_elements, monkeypatch):
    monkeypatch.setattr(one_hot, "_DENSE_ELEMENTS", n_elements)
    rng = np.random.default_rng(0)
    index, matrix, dz = rng.integers(0, 5, 9), rng.integers(0, 9, (5, 3)), rng.integers(0, 9, (9, 2)).astype(np.float32)
    dense = np.eye(5, dtype=np.float32)[index]
    with standin.installed() as cupy:
        rows = OneHot(cupy.asarray(index), 5, np.float32, cupy)
        assert_array_equal(rows.dense().get(), dense)
        assert_array_equal((rows @ cupy.asarray(matrix)).get(), dense @ matrix)
        found = rows.transposed_times(cupy.asarray(dz))
        assert found.dtype == np.float32
        assert_array_equal(found.get(), dense.T @ dz)
        assert_array_equal(rows[cupy.asarray([2, 0])].dense().get(), dense[[2, 0]])
