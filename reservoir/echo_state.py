r"""What echo state networks for regression and for classification share.

    x(t) = (1 - a) x(t-1) + a f(W x(t-1) + W_in u(t) + W_fb y(t-1) + b + noise)
    y(t) = C [x(t); u(t)] + c

Only C and c are learnt, by ridge regression; everything else is drawn once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reservoir.estimator import ReservoirEstimator, check_dtype, check_number, progress
from reservoir.gram import Gram
from reservoir.readout import Readout, check_alpha, solve
from reservoir.runs import drive
from reservoir.sequences import Sequences, check_washout, read_sequences
from reservoir.task import Task
from reservoir.training import SOLVERS, check_choice, take_sums, train
from reservoir.tsqr import TriangularFactor


class EchoStateNetwork(ReservoirEstimator):
    """What regressor and classifier share: numbers in, numbers out."""

    def __init__(
        self,
        n_units=500,
        *,
        spectral_radius=0.9,
        leak_rate=1.0,
        input_scaling=1.0,
        bias_scaling=0.0,
        feedback_scaling=0.0,
        in_degree=10,
        topology="sparse",
        activation="tanh",
        state_noise=0.0,
        feedback_noise=0.0,
        washout=0,
        include_input=True,
        fit_intercept=True,
        alpha=1e-6,
        alpha_selection="gcv",
        solver="auto",
        sequence_column=None,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.spectral_radius = spectral_radius
        self.leak_rate = leak_rate
        self.input_scaling = input_scaling
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
        self.sequence_column = sequence_column
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _read_for_fit(self, X, y, sample_weight, groups, lengths, *, reset: bool, target: str) -> Sequences:
        dtype = check_dtype(self.dtype) if reset else self.reservoir_.dtype
        sequences = read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=dtype, reset=reset, target=target,
        )  # fmt: skip
        check_washout(sequences, self.washout)
        return sequences

    def _fitting_task(
        self, sequences: Sequences, targets: np.ndarray, shift: np.ndarray | None = None, n_seen: int = 0
    ) -> Task:
        """The task of a fit: teacher forcing, noise new after ``n_seen`` rows, weights without the washout."""
        rows, n_read = sequences.rows, sequences.rows.shape[1] if self.include_input else 0
        if self.reservoir_.n_feedback > 0:
            rows = np.concatenate([rows, self._teacher(sequences, targets, n_seen)], axis=1)
        if shift is None:
            shift = np.concatenate(
                [sequences.rows.mean(axis=0, dtype=float)[:n_read], targets.mean(axis=0, dtype=float)]
            )
        task = self._task(
            sequences, rows, targets=targets, weights=sequences.weights_after(self.washout), shift=shift,
            noise=check_number("state_noise", self.state_noise), noise_seed=self.noise_seed_ + n_seen,
        )  # fmt: skip
        return replace(task, watch=progress(type(self).__name__, self.verbose))

    def _teacher(self, sequences: Sequences, targets: np.ndarray, n_seen: int) -> np.ndarray:
        """(n, O) targets of the step before, 0 at the start of a sequence, with noise if wanted."""
        level = check_number("feedback_noise", self.feedback_noise)
        before = np.zeros_like(targets)
        before[1:] = targets[:-1]
        if level > 0:
            rng = np.random.default_rng([self.noise_seed_, 1, n_seen])
            before += level * rng.standard_normal(before.shape).astype(before.dtype)
        before[sequences.offsets[:-1]] = 0
        return before

    def _fit_readout(self, sequences: Sequences, targets: np.ndarray) -> None:
        self._draw(sequences.rows.shape[1], targets.shape[1], sequences.rows.dtype)
        task = self._fitting_task(sequences, targets)
        readout = train(
            self.reservoir_, task, alpha=self.alpha, alpha_selection=self.alpha_selection, solver=self.solver,
            fit_intercept=self.fit_intercept,
        )  # fmt: skip
        task.tell(1.0)
        vars(self).pop("sums_", None)
        self._keep(readout)

    def _add_to_sums(self, sequences: Sequences, targets: np.ndarray, is_first: bool) -> None:
        alpha = check_alpha(self.alpha)
        check_choice("solver", self.solver, SOLVERS)
        if not isinstance(alpha, float):
            raise NotImplementedError(
                f"alpha must be one number for partial_fit, got {len(alpha)} candidates; choose by fit, or give one."
            )
        if is_first:
            self._draw(sequences.rows.shape[1], targets.shape[1], sequences.rows.dtype)
        n_units = self.reservoir_.n_units
        shift = None if is_first else self.sums_.shift[n_units:]
        task = self._fitting_task(sequences, targets, shift, 0 if is_first else self.sums_.n_rows)
        (sums,) = take_sums(self.reservoir_, task, TriangularFactor if self.solver == "qr" else Gram)
        if not is_first:
            # Into a new object: an interrupted call leaves the old one untouched.
            block, sums = sums, type(sums)(sums.n_features, sums.n_outputs, sums.shift)
            sums.merge(self.sums_)
            sums.merge(block)
        self._keep(solve(sums, alpha, fit_intercept=self.fit_intercept))
        self.sums_ = sums

    def _keep(self, readout: Readout) -> None:
        self.coef_, self.intercept_ = readout.coef, readout.intercept
        self.alpha_ = readout.alpha
        self.condition_ = readout.condition

    def _loop(self) -> dict:
        if self.reservoir_.n_feedback == 0:
            return {}
        return {**self._readout(), "fed": self.reservoir_.n_inputs}

    def _readout(self) -> dict:
        return {"coef": np.atleast_2d(self.coef_), "intercept": np.atleast_1d(self.intercept_)}

    def _outputs(self, sequences: Sequences, initial_state: Any = None, wants_final: bool = False):
        readout = self._readout()
        initial = self._starts(initial_state, sequences)
        if initial is not None and self.reservoir_.n_feedback == 0:
            rest = np.zeros((sequences.n_sequences, len(readout["intercept"])))
            initial = np.concatenate([initial, rest], axis=1)
        task = self._task(sequences, self._driving_rows(sequences), initial=initial)
        run = drive(self.reservoir_, task, **(readout | self._loop()), wants_final=wants_final)
        width = self.reservoir_.n_units + self.reservoir_.n_feedback
        return run.outputs, None if run.final is None else run.final[:, :width]


PARAMETERS = """    n_units : int >= 1
        N, the size of the reservoir.
    spectral_radius : float > 0, or None
        Largest modulus of an eigenvalue of W. None, for a matrix as ``topology`` only: the matrix as it is.
    leak_rate : float in (0, 1], or (n_units,)
        a in x(t) = (1 - a) x(t-1) + a f(...): 1 keeps nothing of the old state.
    input_scaling : float, or (n_features,)
        Input weights are uniform(-1, 1) times it.
    bias_scaling : float >= 0
        Likewise for the bias; 0: none.
    feedback_scaling : float >= 0
        Likewise for the weights from the outputs of the step before; 0: none. In fit the targets stand in for the
        outputs (teacher forcing), in predict the loop is closed.
    in_degree : int >= 1
        Weights a unit receives from others; at most ``n_units`` count.
    topology : str or (n_units, n_units) array or sparse matrix
        "sparse", "shifts", "ring", "ring_jumps", "delay_line", "orthogonal" or "small_world": see
        :mod:`reservoir.topology`. "shifts" is the fastest for one sequence at a time.
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
    alpha : float >= 0, or (n,) array of candidates
        Penalty of the ridge regression, added to the sum of squares as in scikit-learn's Ridge.
    alpha_selection : {"gcv", "loo", "blocked"}
        How one of several candidates is chosen: generalised cross-validation, exact leave-one-out, or cross-validation
        over 5 blocks of time.
    solver : {"auto", "gram", "qr"}
        "gram": normal equations, streamed. "qr": streamed QR, for nearly noiseless targets and tiny penalties.
        "auto": Gram, and QR in a second pass where rounding would outweigh the penalty.
    sequence_column : int or str, optional
        Column of X that holds a sequence's id: a new sequence starts where it changes.
    warm_start : bool
        Keep the reservoir of an earlier fit and learn the readout only; parameters of the reservoir changed since then
        do not act, except ``n_units``.
    dtype : None, float64 or float32
        Precision of the reservoir; None: float32 for float32 data, else float64. Sums and solves are float64.
    device : None or "cpu"
    n_jobs : int, optional
        Threads; None: all cores. The result has the same bits for any number.
    random_state : int, Generator, RandomState or None
    verbose : int
        Above 0: show progress, if tqdm is installed.
"""
