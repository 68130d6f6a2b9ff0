"""Sums of long vectors: float64, in an order of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optim
from optim.long_vectors import BLOCK, add_scaled, dot

# n products and n sums, each rounded once, of numbers of both signs: relative to the sum of absolute values.
SUM_RTOL = 1e-13

SIZES = [0, 1, 7, BLOCK - 1, BLOCK, 2 * BLOCK + 5]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inner_product_is_that_of_float64(size, dtype):
    rng = np.random.default_rng(size)
    a, b = rng.standard_normal((2, size)).astype(dtype)
    products = a.astype(np.longdouble) * b
    assert abs(dot(a, b) - float(products.sum())) <= SUM_RTOL * float(np.abs(products).sum())
    assert dot(a, a) == dot(a, a.copy())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_update_rounds_like_numpy(size, dtype):
    rng = np.random.default_rng(size)
    x, y = rng.standard_normal((2, size)).astype(dtype)
    expected = y + dtype(0.3) * x
    add_scaled(y, 0.3, x)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == dtype


def test_what_is_not_finite_shows_in_the_sum():
    assert np.isnan(dot(np.array([np.inf, -np.inf]), np.ones(2)))
    y = np.array([np.finfo(np.float32).max], np.float32)
    add_scaled(y, 1.0, y.copy())
    assert np.isinf(y[0])


def test_number_of_blas_threads_changes_no_bit():
    script = (
        "import numpy as np\n"
        "from optim.long_vectors import dot\n"
        "a, b = np.random.default_rng(0).standard_normal((2, 300_001))\n"
        "print(dot(a, b).hex(), dot(a.astype(np.float32), b.astype(np.float32)).hex())\n"
    )
    answers = set()
    for threads in ("1", "2"):
        environment = {
            "PYTHONPATH": str(Path(optim.__file__).parents[1]),
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        answers.add(run.stdout)
    assert len(answers) == 1
