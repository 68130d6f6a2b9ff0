"""From data to a readout: which sums are taken, how often the data are read, which penalty is chosen."""

from __future__ import annotations

from functools import partial

import numpy as np

from optim.arguments import choice
from optim.threads import single_blas_thread
from reservoir.drive.routes import gather
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir
from reservoir.memory import check_memory
from reservoir.readout.decomposition import decompose
from reservoir.readout.gram import Gram
from reservoir.readout.penalty import LeftOutErrors, blocked_errors, choose_alpha, gcv_errors
from reservoir.readout.ridge import (
    Readout,
    check_alpha,
    solve,
    solve_decomposed,
    solve_dual,
    solve_if_reliable,
    warn_unless_reliable,
)
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

SOLVERS = ("auto", "gram", "qr")
SELECTIONS = ("gcv", "loo", "blocked")
N_FOLDS = 5


def train(
    reservoir: Reservoir,
    task: Task,
    *,
    alpha: float | np.ndarray,
    alpha_selection: str = "gcv",
    solver: str = "auto",
    fit_intercept: bool = True,
    final: np.ndarray | None = None,
) -> Readout:
    """Ridge readout of the states that ``task`` drives ``reservoir`` through; states are never all held.

    Parameters
    ----------
    reservoir : Reservoir
    task : Task
        With targets.
    alpha : float >= 0, or (A,) candidates
    alpha_selection : {"gcv", "loo", "blocked"}
        How to choose among candidates: generalised cross-validation, exact leave-one-out (reads the data twice), or
        cross-validation over :data:`N_FOLDS` blocks of time.
    solver : {"auto", "gram", "qr"}
        "auto" takes the Gram matrix and reads the data once more for QR where rounding of the Gram matrix outweighs
        the penalty.
    fit_intercept : bool
    final : (n_sequences, N), optional
        Filled with the state after the last row of each sequence.
    """
    alpha = check_alpha(alpha)
    choice("solver", solver, SOLVERS)
    choice("alpha_selection", alpha_selection, SELECTIONS)
    with single_blas_thread():
        if not isinstance(alpha, float):
            return _for_best_penalty(reservoir, task, alpha, alpha_selection, solver, fit_intercept, final)
        if solver != "qr" and len(task.rows) < n_features(reservoir, task):
            (rows,) = gather(reservoir, task, partial(HeldRows, *_sizes(reservoir, task)), final=final)
            return solve_dual(rows.tile, alpha, rows.n_features, rows.shift, fit_intercept=fit_intercept)
        if solver != "qr":
            (gram,) = take_sums(reservoir, task, Gram, final=final)
            if solver == "gram":
                return solve(gram, alpha, fit_intercept=fit_intercept, n_threads=task.n_threads)
            readout = solve_if_reliable(gram, alpha, fit_intercept=fit_intercept, n_threads=task.n_threads, keep=False)
            if readout is not None:
                return readout
        (factor,) = take_sums(reservoir, task, TriangularFactor, final=final)
        return solve(factor, alpha, fit_intercept=fit_intercept)


def n_features(reservoir: Reservoir, task: Task) -> int:
    """Features of the readout: states, then the inputs it sees."""
    return reservoir.n_units + task.n_read


def take_sums(
    reservoir: Reservoir,
    task: Task,
    kind: type[Gram] | type[TriangularFactor],
    n_folds: int = 1,
    final: np.ndarray | None = None,
) -> list[Gram] | list[TriangularFactor]:
    """Sums of each of ``n_folds`` blocks of consecutive rows."""
    size = n_features(reservoir, task) + 1 + task.targets.shape[1]
    check_memory(8 * kind.n_matrices(size) * n_folds * size**2, f"the sums of {size} features and targets")
    with single_blas_thread():
        return gather(reservoir, task, partial(kind, *_sizes(reservoir, task)), n_folds, final)


def _sizes(reservoir: Reservoir, task: Task) -> tuple[int, int, np.ndarray]:
    """Features and outputs of the readout, and what they are shifted by."""
    return n_features(reservoir, task), task.targets.shape[1], task.shift_of_features(reservoir.n_units)


def _for_best_penalty(
    reservoir: Reservoir,
    task: Task,
    alphas: np.ndarray,
    selection: str,
    solver: str,
    fit_intercept: bool,
    final: np.ndarray | None,
) -> Readout:
    """One decomposition serves all penalties; with "auto" it is taken again by QR if the chosen one needs it."""
    for kind in (Gram, TriangularFactor) if solver == "auto" else (Gram,) if solver == "gram" else (TriangularFactor,):
        folds = take_sums(reservoir, task, kind, N_FOLDS if selection == "blocked" else 1, final)
        total = folds[0] if len(folds) == 1 else kind(folds[0].n_features, folds[0].n_outputs, folds[0].shift)
        for fold in folds if len(folds) > 1 else ():
            total.merge(fold)
        decomposition = decompose(total, fit_intercept=fit_intercept)
        if selection == "gcv":
            errors = gcv_errors(decomposition, alphas)
        elif selection == "loo":
            (left_out,) = gather(reservoir, task, partial(LeftOutErrors, decomposition, alphas))
            errors = left_out.errors
        else:
            errors = blocked_errors(folds, alphas, fit_intercept=fit_intercept)
        alpha = choose_alpha(errors, alphas, decomposition.target_energy)
        if decomposition.is_reliable(alpha):
            return solve_decomposed(decomposition, alpha)
    warn_unless_reliable(decomposition, alpha, " or solver='qr'" if kind is Gram else "")
    return solve_decomposed(decomposition, alpha)
