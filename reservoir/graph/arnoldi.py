"""The spectral radius by Arnoldi's method on powers of the matrix, in two runs that check each other.

The eigenvalues of a random matrix fill a disc, and Arnoldi on W itself crawls at the disc's crowded rim.
On W^p the ratios of neighbouring absolute values are raised to the p-th power, at p sparse products for
each vector that has to be orthogonalised: 3 times faster at N = 1,000, and at N = 100,000 the difference
between seconds and no convergence.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from optim.threads import run_all
from reservoir.graph.powers import multiply_by_power

_WORTH_THREADS = 1000  # units from which on the two runs gain more side by side than they wait for each other's Python
_HIGH_POWERS = 2_000  # units above which higher powers pay
_ROUGH = 20_000  # units above which a radius to a thousandth is enough


class Estimate(NamedTuple):
    """A spectral radius, its estimated relative error, and how it was had."""

    value: float
    error: float
    method: str


class _Abandoned(Exception):
    """The other run has ended in an exception."""


def radius_by_arnoldi(A: sp.csr_array | np.ndarray, rng: np.random.Generator, n_threads: int) -> Estimate:
    """Two Arnoldi runs on different powers from different starts; the larger value, the larger error.

    Large ones run side by side, but one after the other before SciPy 1.17, where ARPACK had a lock. The growth rate of
    ``A^m x`` answers where neither converges.

    Parameters
    ----------
    A : (N, N) float64, CSR or dense, N > 30
        Entries of at most 1, so that no power of it leaves the range of floats.
    rng : numpy.random.Generator
        Draws the start vectors.
    n_threads : int >= 1
        The bits do not depend on it.
    """
    N = A.shape[0]
    growth = _growth(A, rng.standard_normal(N))
    powers = (64, 48) if N > _HIGH_POWERS else (16, 12)
    abandoned = threading.Event()

    def run(p: int, start: np.ndarray, restarts: np.random.Generator) -> Estimate | None:
        def apply(x: np.ndarray) -> np.ndarray:
            if abandoned.is_set():
                raise _Abandoned
            return multiply_by_power(A, x, p, growth.value)

        try:
            return _arnoldi(apply, p, growth.value, start, restarts)
        except _Abandoned:
            return None
        except BaseException:
            abandoned.set()
            raise

    starts = [rng.standard_normal(N) for _ in powers]
    # Of their own, so that neither run depends on how far the other is.
    restarts = [np.random.default_rng(seed) for seed in copy.deepcopy(rng).integers(2**63, size=len(powers))]
    try:
        runs = run_all(run, list(zip(powers, starts, restarts, strict=True)), n_threads if N >= _WORTH_THREADS else 1)
    finally:
        abandoned.set()
    done = [run for run in runs if run is not None]
    if not done:
        return growth
    value = max(run.value for run in done)
    spread = 1 - min(run.value for run in done) / value
    error = max(spread, *(run.error for run in done))
    if len(done) < len(runs):
        # Half an answer: trusted no more than it agrees with the growth rate.
        error = max(error, growth.error, abs(1 - growth.value / value))
        return Estimate(value, error, "arnoldi, one run of two converged")
    return Estimate(value, error, "arnoldi")


def _arnoldi(
    apply: Callable[[np.ndarray], np.ndarray],
    p: int,
    scale: float,
    start: np.ndarray,
    restarts: np.random.Generator,
) -> Estimate | None:
    """Radius from the six largest eigenvalues of ``apply``, (W / scale)^p, or ``None`` without convergence.

    Six, because one or two were accepted by ARPACK while a larger one was still hidden. On the largest
    parts 1 % of an eigenvalue of W^64 is 1.6e-4 of one of W.
    """
    N = len(start)
    # SciPy >= 1.17 restarts an exhausted Krylov space from random numbers, fresh ones unless given.
    given = {"rng": restarts} if "rng" in inspect.signature(eigs).parameters else {}
    operator = LinearOperator((N, N), matvec=apply, dtype=np.float64)
    try:
        eigenvalues, vectors = eigs(
            operator,
            k=6,
            ncv=30,
            v0=start,
            tol=1e-2 if N > _ROUGH else 1e-11,
            maxiter=20 if N > _ROUGH else 100,
            **given,
        )
    except ArpackError:  # not converged, or a power of W that is numerically zero
        return None
    largest = int(np.abs(eigenvalues).argmax())
    mu, x = eigenvalues[largest], vectors[:, largest]
    residual = np.linalg.norm(apply(x.real) + 1j * apply(x.imag) - mu * x) / (np.abs(mu) * np.linalg.norm(x))
    return Estimate(float(np.abs(mu)) ** (1 / p) * scale, float(residual) / p, "arnoldi")


def _growth(A: sp.csr_array | np.ndarray, x: np.ndarray, n_steps: int = 200) -> Estimate:
    """Rate at which |W^m x| grows in the second half of ``n_steps``, after Gelfand.

    The error adds up how much the halves differ and log(N) / n_steps, what the unknown share of the
    leading eigenvectors in x may do to the rate.
    """
    logs = np.empty(n_steps)
    for step in range(n_steps):
        x = multiply_by_power(A, x, 1, 1.0)
        norm = np.linalg.norm(x)
        if norm == 0:
            return Estimate(1.0, np.inf, "growth")
        logs[step] = np.log(norm)
        x = x / norm
    first, second = logs[: n_steps // 2].mean(), logs[n_steps // 2 :].mean()
    error = abs(float(np.expm1(second - first))) + np.log(len(x)) / n_steps
    return Estimate(float(np.exp(second)), float(error), "growth")
