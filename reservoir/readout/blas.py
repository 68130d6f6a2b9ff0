"""BLAS and LAPACK routines that add to their result in place and release the GIL.

SciPy's own wrappers hold the GIL and copy what is not Fortran-ordered. The same library is reached here
through the addresses SciPy publishes for Cython; ctypes releases the GIL during the call. A C-contiguous
array (D, n) is, read by columns, the Fortran matrix (n, D), so nothing is copied or transposed.

Call these under :func:`optim.threads.single_blas_thread`: threads are the caller's affair.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np

_ITEM = np.dtype(np.float64).itemsize
_PANEL = 64  # columns of LAPACK's blocked reductions, at most


def add_self_product(rows: np.ndarray, total: np.ndarray) -> None:
    """Lower triangle of ``total += rows @ rows.T``; what is above the diagonal is neither read nor written.

    Parameters
    ----------
    rows : (m, n) float64, last axis contiguous, in
    total : (m, m) float64, last axis contiguous, in and out, no alias of ``rows``
    """
    m, n = rows.shape
    dsyrk = _routine("cython_blas", "dsyrk", 10)
    dsyrk(b"U", b"T", _int(m), _int(n), _double(1.0), *_matrix(rows), _double(1.0), *_matrix(total))


def add_product(left: np.ndarray, right: np.ndarray, total: np.ndarray) -> None:
    """``total += left @ right.T``.

    Parameters
    ----------
    left : (m, n) float64, last axis contiguous, in
    right : (k, n) float64, last axis contiguous, in
    total : (m, k) float64, last axis contiguous, in and out, no alias of the others
    """
    (m, n), k = left.shape, right.shape[0]
    dgemm = _routine("cython_blas", "dgemm", 13)
    sizes = (_int(k), _int(m), _int(n))
    dgemm(b"T", b"N", *sizes, _double(1.0), *_matrix(right), *_matrix(left), _double(1.0), *_matrix(total))


def fold_in(columns: np.ndarray, lower: np.ndarray, *, triangular: bool = False) -> None:
    """Replace ``lower`` by L with ``L Lᵀ = lower lowerᵀ + columns columnsᵀ``, by orthogonal transformations.

    This is the QR factorisation of the stacked rows [Rᵀ = lower; columnsᵀ]: no product of the data with
    itself is formed, so the condition number is not squared.

    Parameters
    ----------
    columns : (m, n) float64, C-contiguous, in; overwritten
    lower : (m, m) float64, C-contiguous, in and out; only the lower triangle is read and written
    triangular : bool
        Whether ``columns`` is lower trapezoidal, (m, n) with n <= m and zeros for column > row; the entries
        above the diagonal are then not read.

    References
    ----------
    Demmel, Grigori, Hoemmen, Langou (2012), Communication-optimal parallel and sequential QR, section 3.
    LAPACK dtpqrt.
    """
    m, n = columns.shape
    # The panels are slow and the updates fast: 32 was best at m = 500 and 1000, 16 at m = 100.
    panel = min(m, 32 if m > 256 else 16)
    reflectors, work = np.empty((m, panel)), np.empty((m, panel))
    info = ctypes.c_int(0)
    dtpqrt = _routine("cython_lapack", "dtpqrt", 12)
    sizes = (_int(n), _int(m), _int(n if triangular else 0), _int(panel))
    scratch = (*_matrix(reflectors), work.ctypes.data)
    dtpqrt(*sizes, *_matrix(lower), *_matrix(columns), *scratch, ctypes.byref(info))
    assert info.value == 0, f"dtpqrt: argument {-info.value}"


def factorise(matrix: np.ndarray) -> bool:
    """Replace the lower triangle of a symmetric matrix by L with L Lᵀ = matrix.

    Parameters
    ----------
    matrix : (m, m) float64, last axis contiguous, in and out; what is above the diagonal is neither read nor written

    Returns
    -------
    bool
        False, with ``matrix`` spoilt, if it is not positive definite to working precision.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.readout.blas import factorise
    >>> matrix = np.array([[4.0, 2.0], [2.0, 2.0]])
    >>> factorise(matrix)
    True
    >>> np.tril(matrix)
    array([[2., 0.],
           [1., 1.]])
    """
    info = ctypes.c_int(0)
    dpotrf = _routine("cython_lapack", "dpotrf", 5)
    dpotrf(b"U", _int(len(matrix)), *_matrix(matrix), ctypes.byref(info))
    return info.value == 0 and bool(np.isfinite(np.diagonal(matrix)).all())


def one_norm(lower: np.ndarray) -> float:
    """Largest sum of absolute values of a row of the symmetric matrix whose lower triangle is given."""
    scratch = np.empty(len(lower))
    dlansy = _routine("cython_lapack", "dlansy", 6, ctypes.c_double)
    return dlansy(b"1", b"U", _int(len(lower)), *_matrix(lower), scratch.ctypes.data)


def inverse_condition(lower: np.ndarray, norm: float) -> float:
    """Estimated 1 / (norm |A⁻¹|) of A = L Lᵀ, of norm ``norm``, from L."""
    m = len(lower)
    found, info = ctypes.c_double(0.0), ctypes.c_int(0)
    work, integers = np.empty(3 * m), np.empty(m, np.intc)
    scratch = work.ctypes.data, integers.ctypes.data
    dpocon = _routine("cython_lapack", "dpocon", 9)
    dpocon(b"U", _int(m), *_matrix(lower), _double(norm), ctypes.byref(found), *scratch, ctypes.byref(info))
    return found.value


def solve_factored(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(m, k) solution X of L Lᵀ X = right; a fresh array."""
    columns = np.array(right.T, order="C")
    k, m = columns.shape
    info = ctypes.c_int(0)
    dpotrs = _routine("cython_lapack", "dpotrs", 8)
    dpotrs(b"U", _int(m), _int(k), *_matrix(lower), *_matrix(columns), ctypes.byref(info))
    return columns.T


def tridiagonalise(lower: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal (m,) and subdiagonal (m - 1,), at least (1,), of T with A = Q T Qᵀ, and the scales of Q's reflectors.

    The reflectors take the place of ``lower``, see :func:`rotate`. LAPACK dsytrd.

    Parameters
    ----------
    lower : (m, m) float64, last axis contiguous, in and out
        What is above the diagonal is neither read nor written.
    """
    m = len(lower)
    diagonal, below, scales = np.empty(m), np.zeros(max(m - 1, 1)), np.empty(max(m - 1, 1))
    work, info = np.empty(max(1, _PANEL * m)), ctypes.c_int(0)
    dsytrd = _routine("cython_lapack", "dsytrd", 10)
    vectors = (each.ctypes.data for each in (diagonal, below, scales, work))
    dsytrd(b"U", _int(m), *_matrix(lower), *vectors, _int(len(work)), ctypes.byref(info))
    return diagonal, below, scales


def rotate(rows: np.ndarray, reflectors: np.ndarray, scales: np.ndarray, *, back: bool = False) -> None:
    """Replace each row v by Qᵀ v, or by Q v on the way ``back``, with what :func:`tridiagonalise` left. LAPACK dormtr.

    Parameters
    ----------
    rows : (n, m) float64, C-contiguous, in and out
    reflectors : (m, m), scales : (m - 1,)
    back : bool
    """
    n, m = rows.shape
    work, info = np.empty(max(1, _PANEL * n)), ctypes.c_int(0)
    dormtr = _routine("cython_lapack", "dormtr", 13)
    kind = b"L", b"U", b"N" if back else b"T", _int(m), _int(n)
    scratch = work.ctypes.data, _int(len(work)), ctypes.byref(info)
    dormtr(*kind, *_matrix(reflectors), scales.ctypes.data, *_matrix(rows), *scratch)


def bidiagonalise(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal (m,) and subdiagonal (m - 1,) of B with A = P B Qᵀ, and the scales of the reflectors of Q and of P.

    The reflectors take the place of ``matrix``, see :func:`rotate_side`. LAPACK dgebrd.

    Parameters
    ----------
    matrix : (m, m) float64, C-contiguous, in and out
    """
    m = len(matrix)
    diagonal, below, of_q, of_p = np.empty(m), np.empty(m - 1), np.empty(m), np.empty(m)
    work, info = np.empty(max(1, 2 * _PANEL * m)), ctypes.c_int(0)
    dgebrd = _routine("cython_lapack", "dgebrd", 11)
    vectors = (each.ctypes.data for each in (diagonal, below, of_q, of_p, work))
    dgebrd(_int(m), _int(m), *_matrix(matrix), *vectors, _int(len(work)), ctypes.byref(info))
    return diagonal, below, of_q, of_p


def rotate_side(rows: np.ndarray, reflectors: np.ndarray, scales: np.ndarray, *, back: bool) -> None:
    """Replace each row v by Pᵀ v, or by Q v on the way ``back``, with what :func:`bidiagonalise` left. LAPACK dormbr.

    Parameters
    ----------
    rows : (n, m) float64, C-contiguous, in and out
    reflectors : (m, m)
    scales : (m,)
        Of P, or of Q on the way back.
    back : bool
    """
    n, m = rows.shape
    work, info = np.empty(max(1, _PANEL * n)), ctypes.c_int(0)
    dormbr = _routine("cython_lapack", "dormbr", 14)
    kind = (b"Q", b"L", b"N") if back else (b"P", b"L", b"T")
    scratch = work.ctypes.data, _int(len(work)), ctypes.byref(info)
    sizes = _int(m), _int(n), _int(m)
    dormbr(*kind, *sizes, *_matrix(reflectors), scales.ctypes.data, *_matrix(rows), *scratch)


@functools.cache
def _routine(module: str, name: str, n_arguments: int, result: type | None = None) -> Callable:
    # Imported here: Numba is slow to import, and only the address is wanted from it.
    from numba.extending import get_cython_function_address

    address = get_cython_function_address(f"scipy.linalg.{module}", name)
    return ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * n_arguments)(address)


def _matrix(a: np.ndarray) -> tuple:
    """Pointer and leading dimension of ``a`` read as the Fortran matrix ``a.T``."""
    leading = max(1, a.strides[0] // _ITEM if a.shape[0] > 1 else a.shape[1])
    return a.ctypes.data, _int(leading)


def _int(value: int) -> object:
    return ctypes.byref(ctypes.c_int(value))


def _double(value: float) -> object:
    return ctypes.byref(ctypes.c_double(value))
