r"""What echo state networks for regression and for classification share.

    x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + W_fb y(t-1) + b + noise)
    y(t) = C [x(t); u(t)] + c

Only C and c are learnt, by ridge regression; everything else is drawn once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, choice, integer, number, precision
from reservoir.data.cold_start import warn_of_a_cold_piece
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences, check_washout
from reservoir.data.states import steps_of_memory
from reservoir.drive.one_sequence import kept_forgetting_time
from reservoir.drive.routes import Run, drive
from reservoir.drive.task import Task
from reservoir.estimators.estimator import ReservoirEstimator, progress
from reservoir.estimators.free_run import range_of, watched
from reservoir.estimators.training import (
    KINDS,
    SOLVERS,
    is_auto,
    n_blocks,
    readout_of_blocks,
    take_sums,
    train,
    with_blocks,
)
from reservoir.readout.ridge import Readout, Sums, check_alpha, solve, total_of


class EchoStateNetwork(ReservoirEstimator):
    """What regressor and classifier share: numbers in, numbers out."""

    def __init__(
        self,
        n_units,
        *,
        spectral_radius,
        leak_rate,
        input_scaling,
        input_weights,
        bias_scaling,
        feedback_scaling,
        in_degree,
        topology,
        activation,
        state_noise,
        feedback_noise,
        washout,
        include_input,
        fit_intercept,
        alpha,
        alpha_selection,
        solver,
        pooling,
        bidirectional,
        sequence_column,
        warm_start,
        dtype,
        device,
        n_jobs,
        random_state,
        verbose,
    ):
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
        self.input_weights = input_weights
        self.bias_scaling = bias_scaling
        self.feedback_scaling = feedback_scaling
        self.in_degree = in_degree
        self.topology = topology
        self.activation = activation
        self.state_noise = state_noise
        self.feedback_noise = feedback_noise
        self.washout = washout
        self.include_input = include_input
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.alpha_selection = alpha_selection
        self.solver = solver
        self.pooling = pooling
        self.bidirectional = bidirectional
        self.sequence_column = sequence_column
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def run(self, X, *, groups=None, lengths=None, initial_state=None, teacher=None):
        """Reservoir states after every row of X.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        groups, lengths : see ``fit``
        initial_state, teacher
            As in ``predict``.

        Returns
        -------
        states : (n_steps, n_units), or in the form of X
            In the precision of the reservoir.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        states = self._drive(sequences, initial_state, teacher, wants_states=True).states
        self._refuse_overflow(states, "states")
        return sequences.like_input(states)

    # ------------------------------------------------------------ for subclasses

    def _read_targets(self, sequences: Sequences, teacher: Any) -> np.ndarray:
        """(n_steps, O) numbers to be fed back, from a ``teacher`` in the form of the y of ``fit``."""
        raise NotImplementedError

    def _read_for_fit(
        self, X, y, sample_weight, groups, lengths, *, reset: bool, target: str, goes_on: bool = False, y_of=None
    ) -> Sequences:
        """X and y for a fit; the washout has been paid where a fit ``goes_on`` from a state."""
        dtype = precision("dtype", self.dtype) if reset else self.reservoir_.dtype
        sequences = read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=dtype, reset=reset, target=target, y_of=y_of,
        )  # fmt: skip
        integer("washout", self.washout, least=0, remedy="0 keeps every row")
        check_washout(sequences, 0 if goes_on else self.washout)
        return sequences

    def _fitting_task(
        self,
        sequences: Sequences,
        targets: np.ndarray,
        *,
        shift: np.ndarray | None = None,
        n_seen: int = 0,
        initial: np.ndarray | None = None,
    ) -> Task:
        """The task of a fit: teacher forcing, noise new after ``n_seen`` rows, weights without the washout.

        From ``initial`` (n_sequences, N), or (n_sequences, N + O) with feedback, there is no washout.
        """
        rows, n_read = sequences.rows, sequences.rows.shape[1] if self.include_input else 0
        N = self.reservoir_.n_units
        if self.reservoir_.n_feedback > 0:
            origin = None if initial is None else initial[:, N:]
            rows = np.concatenate([rows, self._teacher(sequences, targets, origin, n_seen)], axis=1)
        if shift is None:
            shift = np.concatenate(
                [sequences.rows.mean(axis=0, dtype=float)[:n_read], targets.mean(axis=0, dtype=float)]
            )
        task = self._task(
            sequences, rows, targets=targets, shift=shift,
            weights=sequences.weights_after(self.washout) if initial is None else sequences.weights,
            initial=None if initial is None else initial[:, :N],
            noise=number("state_noise", self.state_noise, least=0, remedy="0 turns it off"),
            noise_seed=self.noise_seed_ + n_seen,
        )  # fmt: skip
        return replace(task, watch=progress(type(self).__name__, self.verbose))

    def _measured(self, task: Task) -> Task:
        """The task of a fit, with the forgetting time that the reservoir's first one keeps for what comes."""
        known = getattr(self, "forgetting_time_", None)
        self.forgetting_time_ = kept_forgetting_time(self.reservoir_, task) if known is None else known
        return replace(task, forgetting_time=self.forgetting_time_)

    def _teacher(self, sequences: Sequences, targets: np.ndarray, origin: np.ndarray | None, n_seen: int) -> np.ndarray:
        """(n, O) targets of the step before, with noise if wanted; where there is none, 0."""
        level = number("feedback_noise", self.feedback_noise, least=0, remedy="0 turns it off")
        before = targets_before(sequences, targets, origin)
        if level > 0:
            rng = np.random.default_rng([self.noise_seed_, 1, n_seen])
            before += level * rng.standard_normal(before.shape).astype(before.dtype)
            if origin is None:
                before[sequences.offsets[:-1]] = 0
        return before

    def _fit_readout(self, sequences: Sequences, targets: np.ndarray) -> None:
        self._draw(sequences.rows.shape[1], targets.shape[1], sequences.rows.dtype)
        task = self._measured(self._fitting_task(sequences, targets))
        state = np.empty((sequences.n_sequences, self.reservoir_.n_units), self.reservoir_.dtype)
        readout = train(
            self.reservoir_, task, alpha=self.alpha, alpha_selection=self.alpha_selection,
            solver=self.solver, fit_intercept=self.fit_intercept, final=state,
        )  # fmt: skip
        task.tell(1.0)
        self._refuse_overflow(state, "states")
        for name in ("sums_", "fold_sums_"):
            vars(self).pop(name, None)
        self._keep(readout)
        self.state_ = self._with_outputs(state, sequences, targets)
        self.target_range_ = range_of(targets)

    def _add_to_sums(self, sequences: Sequences, targets: np.ndarray, initial_state: Any) -> None:
        """Add rows to what has been seen, from ``initial_state`` on, and keep the states after the last of them."""
        alpha = self.alpha if is_auto(self.alpha) else check_alpha(self.alpha)
        choice("solver", self.solver, SOLVERS)
        if isinstance(alpha, np.ndarray):
            raise NotImplementedError(
                f"alpha must be 'auto' or one number for partial_fit, got {len(alpha)} candidates; give one of these, "
                "or choose by fit."
            )
        if self.solver not in KINDS:
            raise NotImplementedError(
                f"solver must be one of {', '.join(map(repr, KINDS))} for partial_fit, got {self.solver!r}, which "
                "reads the data many times; use fit, or another solver."
            )
        before: Sums | None = getattr(self, "sums_", None)
        folds: list[Sums] | None = getattr(self, "fold_sums_", None)
        if is_auto(alpha) and before is not None and folds is None:
            raise ValueError(
                "alpha must stay a number once partial_fit has learnt with one, got 'auto', which needs what was seen "
                "in blocks; give a number, or start anew with fit or a clone."
            )
        if before is not None and initial_state is None:
            warn_of_a_cold_piece(sequences, steps_of_memory(self.spectral_radius, self.reservoir_.leak))
        if before is None:
            self._draw(sequences.rows.shape[1], targets.shape[1], sequences.rows.dtype)
        N = self.reservoir_.n_units
        task = self._fitting_task(
            sequences, targets, shift=None if before is None else before.shift[N:],
            n_seen=0 if before is None else before.n_rows, initial=self._starts(initial_state, sequences),
        )  # fmt: skip
        state = np.empty((sequences.n_sequences, N), self.reservoir_.dtype)
        if before is None:
            task = self._measured(task)
        n_folds = n_blocks(sequences.n_steps) if is_auto(alpha) else 1
        blocks = take_sums(self.reservoir_, task, KINDS[self.solver][0], n_folds, final=state)
        self._refuse_overflow(state, "states")
        folds = with_blocks(folds, blocks) if is_auto(alpha) else None
        # Into new objects: an interrupted call leaves the old ones untouched.
        sums = total_of(blocks if before is None else [before, *blocks])
        if folds is None:
            self._keep(solve(sums, alpha, fit_intercept=self.fit_intercept))
        else:
            self._keep(readout_of_blocks(folds, fit_intercept=self.fit_intercept, n_threads=task.n_threads))
        self.sums_, self.fold_sums_ = sums, folds
        self.state_ = self._with_outputs(state, sequences, targets)
        self.target_range_ = range_of(targets, None if before is None else self.target_range_)

    def _with_outputs(self, state: np.ndarray, sequences: Sequences, targets: np.ndarray) -> np.ndarray:
        """States after the last rows with, where there is feedback, the targets there beside them."""
        if self.reservoir_.n_feedback == 0:
            return state
        return np.concatenate([state, targets[sequences.offsets[1:] - 1].astype(state.dtype)], axis=1)

    def _going_on(self, initial_state: Any) -> Any:
        """``initial_state`` of a ``partial_fit``; "last" means rest at the first call."""
        is_last = isinstance(initial_state, str) and initial_state == "last"
        return None if is_last and not hasattr(self, "sums_") else initial_state

    def _keep(self, readout: Readout) -> None:
        self.coef_, self.intercept_ = readout.coef, readout.intercept
        self.alpha_ = readout.alpha
        self.condition_ = readout.condition

    def _drive(
        self,
        sequences: Sequences,
        initial_state: Any,
        teacher: Any,
        *,
        wants_states: bool = False,
        wants_final: bool = False,
    ) -> Run:
        """States or outputs, on the net's own outputs where there is feedback, or on those of ``teacher``."""
        N, n_feedback = self.reservoir_.n_units, self.reservoir_.n_feedback
        initial = self._starts(initial_state, sequences)
        rows, taught, readout = sequences.rows, None, {}
        if teacher is not None:
            taught = self._read_teacher(sequences, teacher)
            before = targets_before(sequences, taught, None if initial is None else initial[:, N:])
            rows = np.concatenate([rows, before], axis=1)
        elif n_feedback > 0:
            rows = np.concatenate([rows, np.zeros((sequences.n_steps, n_feedback), rows.dtype)], axis=1)
            readout["fed"] = self.reservoir_.n_inputs
        if readout or not wants_states:
            readout |= {"coef": np.atleast_2d(self.coef_), "intercept": np.atleast_1d(self.intercept_)}
        if initial is not None:
            initial = _of_width(initial, N + len(readout.get("intercept", ())))
        task = self._task(sequences, rows, initial=initial)
        run = drive(self.reservoir_, task, **readout, wants_states=wants_states, wants_final=wants_final)
        if run.final is None:
            return run
        self._refuse_overflow(run.final, "states")
        final = run.final[:, : N + n_feedback]
        return replace(run, final=final if taught is None else self._with_outputs(final[:, :N], sequences, taught))

    def _read_teacher(self, sequences: Sequences, teacher: Any) -> np.ndarray:
        if self.reservoir_.n_feedback == 0:
            raise ValueError(
                f"teacher must be None for a model without output feedback, got {brief(teacher)}; leave it out, or fit "
                "with feedback_scaling > 0."
            )
        return self._read_targets(sequences, teacher)

    def _outputs(self, sequences: Sequences, initial_state: Any = None, teacher: Any = None, wants_final: bool = False):
        """Outputs (n_steps, O), which are finite, and the states after the last rows."""
        run = self._drive(sequences, initial_state, teacher, wants_final=wants_final)
        if self.reservoir_.n_feedback > 0 and teacher is None:
            return watched(run.outputs, sequences.offsets, self.target_range_), run.final
        self._refuse_overflow(run.outputs, "states and outputs")
        return run.outputs, run.final


def _of_width(states: np.ndarray, width: int) -> np.ndarray:
    """(n_sequences, width) states, with zeros for outputs that they lack or without those that are not asked for."""
    found = np.zeros((len(states), width), states.dtype)
    found[:, : states.shape[1]] = states[:, :width]
    return found


def targets_before(sequences: Sequences, targets: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    """(n, O) targets of the step before; at the start of a sequence its row of ``origin`` (n_sequences, O), or 0."""
    before = np.empty_like(targets)
    before[1:] = targets[:-1]
    before[sequences.offsets[:-1]] = 0 if origin is None else origin
    return before


PARAMETERS = """    n_units : int >= 1
        N, the size of the reservoir.
    spectral_radius : float > 0, or None
        Largest modulus of an eigenvalue of W. None, for a matrix as ``topology`` only: the matrix as it is.
    leak_rate : "auto", float in (0, 1], tuple of several or (n_units,)
        a in x(t) = (1 - a) x(t-1) + a f(...): 1 keeps nothing of the old state. Those of a tuple are dealt to the units
        in turn. "auto": 1 where every row is read, (1, 0.3, 0.1, 0.03) where sequences are pooled.
    input_scaling : float, or (n_features,)
        What input weights are multiplied by; may differ by feature.
    input_weights : {"uniform", "signs"}, (n_units, n_features) array or sparse matrix
        Uniform(-1, 1), signs drawn from {-1, 1}, as minimal reservoirs have them (Rodan and Tino 2011), or your own.
    bias_scaling : "auto", or float >= 0
        Likewise for the bias; 0: none. "auto": 0 where every row is read, 0.5 where sequences are pooled, for without a
        bias states of tanh units are odd, and their means cancel.
    feedback_scaling : float >= 0
        Likewise for the weights from the outputs of the step before; 0: none. In fit the targets stand in for the
        outputs (teacher forcing); in predict the loop is closed, unless true outputs are given as ``teacher``.
    in_degree : int >= 1
        Weights a unit receives from others; at most ``n_units`` count.
    topology : str or (n_units, n_units) array or sparse matrix
        "sparse", "shifts", "ring", "ring_jumps", "delay_line", "orthogonal" or "small_world": see
        :mod:`reservoir.graph.topology`. "shifts" is the fastest for one sequence at a time.
    activation : {"tanh", "relu", "logistic", "identity"}
    state_noise : float >= 0
        Standard deviation of normal noise inside f, in fit only.
    feedback_noise : float >= 0
        Standard deviation of normal noise on the targets that are fed back, in fit only.
    washout : int >= 0
        Steps at the start of every sequence that fit leaves out; predict returns every row.
    include_input : bool
        Whether the readout sees u(t) beside x(t).
    fit_intercept : bool
    alpha : "auto", float >= 0, or (n,) array of candidates
        Penalty of the ridge regression, added to the sum of squares as in scikit-learn's Ridge. "auto": where every row
        is read the power of ten from 1e-11 to 1e2 that cross-validation over 5 blocks of time chooses, ``partial_fit``
        at every call; where sequences are pooled, and features standardised, one of 1e-3 to 1e6.
    alpha_selection : {"gcv", "loo", "blocked"}
        How one of an array's candidates is chosen where every row is read: generalised cross-validation, exact
        leave-one-out, or cross-validation over 5 blocks of time. Where sequences are pooled it is always
        cross-validation over 5 folds of sequences, stratified by their answers.
    solver : {"auto", "gram", "qr", "cg"}
        "gram": normal equations, streamed. "qr": streamed QR, for nearly noiseless targets and tiny penalties.
        "auto": Gram, and QR in a second pass where rounding would outweigh the penalty. "cg": conjugate gradients, for
        more units than an (n_units, n_units) matrix has room for; drives the reservoir anew at every iteration, stops
        where predictions are known to some 1e-10 of their size, chooses among candidates by "blocked" only, and pools
        nothing.
    pooling : "auto", None or tuple of names
        How the states of a sequence, and its inputs, become the features of one answer: by their "mean", "std", "last",
        "max", "min" and "share_positive" (share of steps above 0). "auto": by all of them where y has one entry a
        sequence of more than one row, unless an argument that only acts on rows is given. None: every row is read.
    bidirectional : bool
        Where sequences are pooled, whether to drive the reservoir over the reversed sequence too.
    sequence_column : int or str, optional
        Column of X that holds a sequence's id: a new sequence starts where it changes.
    warm_start : bool
        Keep the reservoir of an earlier fit and learn the readout only; parameters of the reservoir changed since then
        do not act, except ``n_units``.
    dtype : None, float64 or float32
        Precision of the reservoir; None: float32 for float32 data, else float64. Sums and solves are float64.
    device : None, "cpu" or "gpu"
        Where to compute. None computes where the arrays lie: CuPy's, on the GPU, with answers in CuPy's arrays.
    n_jobs : int, optional
        Threads; None: all cores. The result has the same bits for any number.
    random_state : int, Generator, RandomState or None
    verbose : int
        Above 0: show progress, if tqdm is installed.
"""
