"""From data to a readout: which sums are taken, how often the data are read, which penalty is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from optim.arguments import choice
from optim.threads import single_blas_thread
from reservoir.drive.routes import Reader
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir
from reservoir.memory import check_memory
from reservoir.readout.conjugate import n_bytes, ridge_by_cg
from reservoir.readout.gram import Gram
from reservoir.readout.linear import Readout
from reservoir.readout.penalty import LeftOutErrors, blocked_errors, check_folds, choose_alpha, gcv_errors
from reservoir.readout.ridge import Sums, check_alpha, solve, total_of, warn_unless_reliable
from reservoir.readout.rows import HeldRows
from reservoir.readout.tsqr import TriangularFactor

# What each solver sums: the next where rounding of the one before outweighs the penalty.
KINDS: dict[str, tuple[type[Sums], ...]] = {
    "auto": (Gram, TriangularFactor),
    "gram": (Gram,),
    "qr": (TriangularFactor,),
}
SUMS = tuple(dict.fromkeys(kind for kinds in KINDS.values() for kind in kinds))
SOLVERS = (*KINDS, "cg")
SELECTIONS = ("gcv", "loo", "blocked")
N_FOLDS = 5
AUTO_ALPHAS = tuple(10.0**power for power in range(-11, 3))
_SHORT = 500  # rows of a call of partial_fit that are not cut into blocks of their own
_BLOCK = 50  # rows of a block that is put together from such calls

Kind = TypeVar("Kind", bound=Sums)


def train(
    reservoir: Reservoir,
    task: Task,
    *,
    alpha: str | float | np.ndarray,
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
    alpha : "auto", float >= 0, or (A,) candidates
        "auto": one of :data:`AUTO_ALPHAS` by blocks of time, as :func:`best_of_blocks` judges them.
    alpha_selection : {"gcv", "loo", "blocked"}
        How to choose among candidates: generalised cross-validation, exact leave-one-out (reads the data twice), or
        cross-validation over :data:`N_FOLDS` blocks of time, the only one for "cg".
    solver : {"auto", "gram", "qr", "cg"}
        "auto" takes the Gram matrix and reads the data once more for QR where rounding of the Gram matrix outweighs
        the penalty. "cg" holds no matrix of all features and reads the data many times.
    fit_intercept : bool
    final : (n_sequences, N), optional
        Filled with the state after the last row of each sequence.
    """
    choice("solver", solver, SOLVERS)
    choice("alpha_selection", alpha_selection, SELECTIONS)
    if is_auto(alpha):
        alpha, alpha_selection = np.array(AUTO_ALPHAS), "auto"
    alpha = check_alpha(alpha)
    with single_blas_thread():
        if solver == "cg":
            return _by_cg(reservoir, task, alpha, alpha_selection, fit_intercept, final)
        if not isinstance(alpha, float):
            best = _for_best_penalty if alpha_selection in ("gcv", "loo") else _for_best_of_blocks
            return best(reservoir, task, alpha, alpha_selection, solver, fit_intercept, final)
        kinds, how = KINDS[solver], {"fit_intercept": fit_intercept, "n_threads": task.n_threads}
        if solver != "qr" and len(task.rows) < n_features(reservoir, task):
            kinds = (HeldRows,)
        for kind in kinds[:-1]:
            (sums,) = take_sums(reservoir, task, kind, final=final)
            readout = sums.centred(keep=False, **how).solve(alpha, task.n_threads)
            if readout is not None:
                return readout
        (sums,) = take_sums(reservoir, task, kinds[-1], final=final)
        return solve(sums, alpha, **how)


def n_features(reservoir: Reservoir, task: Task) -> int:
    """Features of the readout: states, then the inputs it sees."""
    return reservoir.n_units + task.n_read


def take_sums(
    reservoir: Reservoir,
    task: Task,
    kind: type[Kind],
    n_folds: int = 1,
    final: np.ndarray | None = None,
) -> list[Kind]:
    """Sums of each of ``n_folds`` blocks of consecutive rows."""
    size = n_features(reservoir, task) + 1 + task.targets.shape[1]
    n_bytes = n_folds * kind.n_bytes(size, len(task.rows))
    check_memory(n_bytes, f"the sums of {size} features and targets")
    with single_blas_thread():
        return Reader(reservoir, task, n_folds).read(partial(kind, *_sizes(reservoir, task)), final)


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
    for kind in KINDS[solver]:
        (sums,) = take_sums(reservoir, task, kind, final=final)
        decomposition = sums.centred(fit_intercept=fit_intercept).decompose()
        if selection == "gcv":
            errors = gcv_errors(decomposition, alphas)
        else:
            (left_out,) = Reader(reservoir, task).read(partial(LeftOutErrors, decomposition, alphas))
            errors = left_out.errors
        alpha = choose_alpha(errors, alphas, decomposition.target_energy)
        if decomposition.is_reliable(alpha):
            return decomposition.readout(alpha)
    warn_unless_reliable(decomposition, alpha, kind.remedy)
    return decomposition.readout(alpha)


def _for_best_of_blocks(
    reservoir: Reservoir,
    task: Task,
    alphas: np.ndarray,
    selection: str,
    solver: str,
    fit_intercept: bool,
    final: np.ndarray | None,
) -> Readout:
    """Sums of blocks serve all penalties; with "auto" they are taken again by QR if a smaller one may be better."""
    how = {"fit_intercept": fit_intercept, "n_threads": task.n_threads}
    for kind in KINDS[solver]:
        folds = take_sums(reservoir, task, kind, N_FOLDS, final)
        if selection == "blocked":
            check_folds(folds)
        total = total_of(folds)
        alpha, is_last_known = best_of_blocks(total, folds, alphas, **how)
        if not is_last_known:
            break
    return solve(total, alpha, **how)


def is_auto(value: Any) -> bool:
    """Whether a parameter is the word "auto"."""
    return isinstance(value, str) and value == "auto"


def best_of_blocks(
    total: Sums, folds: Sequence[Sums], alphas: np.ndarray, *, fit_intercept: bool = True, n_threads: int = 1
) -> tuple[float, bool]:
    """The penalty of least error over blocks of time, and whether it is the least that rounding allows to judge.

    Parameters
    ----------
    total : sums of all folds
    folds : sums of blocks; of a single one that has rows, generalised cross-validation takes the place.
    alphas : (A,) >= 0
    fit_intercept : bool
    n_threads : int >= 1
    """
    centred = total.centred(fit_intercept=fit_intercept)
    if sum(fold.n_rows > 0 for fold in folds) > 1:
        errors = blocked_errors(folds, alphas, fit_intercept=fit_intercept, n_threads=n_threads)
    else:
        decomposition = centred.decompose()
        is_known = np.array([decomposition.is_reliable(alpha) for alpha in alphas])
        errors = np.where(is_known[:, None], gcv_errors(decomposition, alphas), np.inf)
    alpha = choose_alpha(errors, alphas, centred.target_energy)
    is_known = np.isfinite(errors).all(axis=1)
    return alpha, not is_known.all() and alpha <= np.min(alphas[is_known], initial=np.inf)


def n_blocks(n_rows: int) -> int:
    """Into how many blocks the rows of a call of ``partial_fit`` are cut."""
    return N_FOLDS if n_rows >= _SHORT else 1


def with_blocks(folds: list[Sums] | None, blocks: list[Sums]) -> list[Sums]:
    """New sums of N_FOLDS folds with those of a call's blocks merged in, the old ones left as they are.

    Blocks go to the folds in turn; those of short calls are gathered into blocks of some 50 rows first.
    """
    if folds is None:
        sizes = blocks[0].n_features, blocks[0].n_outputs, blocks[0].shift
        folds = [type(blocks[0])(*sizes) for _ in range(N_FOLDS)]
    first = sum(fold.n_rows for fold in folds) // _BLOCK if len(blocks) == 1 else 0
    added = {(first + k) % N_FOLDS: block for k, block in enumerate(blocks)}
    return [total_of([fold, added[k]]) if k in added else fold for k, fold in enumerate(folds)]


def readout_of_blocks(folds: list[Sums], *, fit_intercept: bool = True, n_threads: int = 1) -> Readout:
    """Readout of all folds with the penalty that they choose, out of those that hold what rounding blurs."""
    total, how = total_of(folds), {"fit_intercept": fit_intercept, "n_threads": n_threads}
    alpha, _ = best_of_blocks(total, folds, np.array(AUTO_ALPHAS), **how)
    return solve(total, alpha, **how)


def _by_cg(
    reservoir: Reservoir,
    task: Task,
    alpha: float | np.ndarray,
    selection: str,
    fit_intercept: bool,
    final: np.ndarray | None,
) -> Readout:
    """By conjugate gradients; final states are left behind by the first look at the data, progress is not told."""
    is_given = isinstance(alpha, float)
    if not is_given and selection not in ("auto", "blocked"):
        raise NotImplementedError(
            f"alpha_selection must be 'blocked' for several alpha with solver='cg', got {selection!r}, which needs "
            "eigenvectors of all features; choose 'blocked', give one alpha, or take another solver."
        )
    sizes, n_folds = _sizes(reservoir, task), 1 if is_given else N_FOLDS
    check_memory(n_bytes(sizes[0], n_folds), f"sketches of {sizes[0]} features")
    reader = Reader(reservoir, replace(task, watch=None), n_folds)
    return ridge_by_cg(partial(reader.read, final=final), *sizes, alpha, fit_intercept=fit_intercept)
