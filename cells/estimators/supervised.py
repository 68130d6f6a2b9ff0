"""What recurrent networks for regression and for classification share: from sequences to a trained network and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cells.estimators.architecture import build_method, build_network, decayed
from cells.estimators.estimator import RecurrentEstimator, interrupts_told
from cells.estimators.settings import SUPERVISED, check_settings
from cells.estimators.targets import TARGETS
from cells.initial import initial_theta
from cells.network import Network
from cells.objective import SequenceObjective
from cells.predict import Answer, Wanted, run_network
from cells.shares.carried import check_rows, refuse_unless_carried
from cells.shares.data import SequenceData
from cells.train import train
from optim.arguments import generator, precision
from optim.batches import RandomBatches
from optim.device import is_on_device
from optim.threads import n_threads
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences
from reservoir.data.standardise import standard, standardised

_BATCH = 64  # sequences of a step where nothing else is said


class SupervisedNetwork(RecurrentEstimator):
    """What regressor and classifier share."""

    def __init__(
        self,
        n_units=32,
        *,
        cell="lstm",
        n_layers=1,
        bidirectional=False,
        targets=None,
        solver="adam",
        learning_rate=None,
        decay="cosine",
        momentum=0.9,
        batch_size=None,
        max_epochs=200,
        clip_norm=1.0,
        clip_signal=None,
        init="glorot",
        standardize=True,
        early_stopping=False,
        validation_fraction=0.1,
        patience=10,
        tol=0.0,
        hf_options=None,
        checkpoint=None,
        sequence_column=None,
        warm_start=False,
        dtype=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.cell = cell
        self.n_layers = n_layers
        self.bidirectional = bidirectional
        self.targets = targets
        self.solver = solver
        self.learning_rate = learning_rate
        self.decay = decay
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.clip_norm = clip_norm
        self.clip_signal = clip_signal
        self.init = init
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.hf_options = hf_options
        self.checkpoint = checkpoint
        self.sequence_column = sequence_column
        self.warm_start = warm_start
        self.dtype = dtype
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def run(self, X: Any, *, groups: Any = None, lengths: Any = None, initial_state: Any = None) -> Any:
        """States of the uppermost layer after every row of X.

        Parameters
        ----------
        X, groups, lengths : as in ``fit``
        initial_state : (n_state,) or (n_sequences, n_state), optional
            Start from here instead of from rest.

        Returns
        -------
        states : (n_steps, n_units), or (n_steps, 2 n_units) if bidirectional, or in the form of X
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        return sequences.like_input(self._answer_of(sequences, "states", initial_state).rows)

    # ------------------------------------------------------------------------------------------------ data

    def _read_for_fit(self, X, y, sample_weight, groups, lengths, *, target: str) -> Sequences:
        check_settings(self, SUPERVISED)
        return read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=precision("dtype", self.dtype), reset=True, target=target,
            y_of=TARGETS.get(self.targets), y_has_gaps=True,
        )  # fmt: skip

    def _read_for_score(self, X, y, sample_weight, groups, lengths, *, target: str) -> Sequences:
        return read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=self.theta_.dtype, reset=False, target=target,
            y_of="sequences" if self.network_.targets == "last" else None, y_has_gaps=True,
        )  # fmt: skip

    def _read(self, X: Any, *, groups: Any = None, lengths: Any = None) -> Sequences:
        return read_sequences(
            self, X, groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=self.theta_.dtype, reset=False, target="none",
        )  # fmt: skip

    def _scaled(self, sequences: Sequences) -> list[np.ndarray]:
        """Inputs of every sequence as the network reads them."""
        with np.errstate(over="ignore"):  # what is too large is refused by name
            rows = standardised(sequences.rows, self.input_shift_, self.input_scale_)
        return np.split(rows, sequences.offsets[1:-1])

    def _is_kept(self, network: Network, dtype: Any) -> bool:
        """Whether ``warm_start`` goes on from the parameters that are there."""
        same = self.warm_start and getattr(self, "network_", None) == network
        return bool(same and self.theta_.dtype == dtype)

    # ------------------------------------------------------------------------------------------------ learning

    def _weights_of_targets(self, sequences: Sequences, per_sequence: bool) -> np.ndarray | None:
        """Weights of the rows or, where there is one target a sequence, the mean over its rows."""
        weights = sequences.weights
        if per_sequence and weights is not None:
            weights = np.add.reduceat(weights, sequences.offsets[:-1]) / sequences.lengths
        return weights

    def _learn(
        self,
        sequences: Sequences,
        targets: np.ndarray,
        weights: np.ndarray | None,
        *,
        loss: str,
        n_out: int,
        per_sequence: bool,
    ) -> None:
        """Train on ``targets``, one a row or one a sequence, with their weights."""
        n_in, dtype = sequences.rows.shape[1], sequences.rows.dtype
        network = build_network(
            *(self.cell, n_in, self.n_units),
            n_layers=self.n_layers,
            bidirectional=self.bidirectional,
            n_out=n_out,
            loss=loss,
            targets="last" if per_sequence else "all",
        )
        goes_on = self.checkpoint is not None and self.random_state is None
        of_theta, of_order = generator(0 if goes_on else self.random_state).spawn(2)
        is_kept = self._is_kept(network, dtype)
        if not is_kept:
            self.network_ = network
            self.theta_ = initial_theta(network, self.init, rng=of_theta, dtype=dtype)
            self._set_scales(sequences, targets, weights)
        X, answers = self._scaled(sequences), self._answers_of(targets)
        y = list(answers) if per_sequence else np.split(answers, sequences.offsets[1:-1])
        w = _weights_of(sequences, weights, per_sequence)
        training, held_out = self._split(w, of_order)
        device = "gpu" if sequences.is_on_device else self.device
        objective = self._objective(X, y, training, device)
        validation = None if held_out is None else self._objective(X, y, held_out, device)
        with interrupts_told(self.checkpoint):
            self._take(self._train(objective, validation, of_order))

    def _set_scales(self, sequences: Sequences, targets: np.ndarray, weights: np.ndarray | None) -> None:
        """Set shifts and scales, over rows as they are weighted."""
        self.input_shift_, self.input_scale_ = standard(sequences.rows, sequences.weights, on=self.standardize)

    def _answers_of(self, targets: np.ndarray) -> np.ndarray:
        """Targets as the network learns them."""
        return targets

    def _split(self, weights: list[np.ndarray], rng: np.random.Generator) -> tuple[list, list | None]:
        """Weights to learn with and weights to validate with: sequences held out or, of a single one, its last rows."""
        if not self.early_stopping:
            return weights, None
        share = self.validation_fraction
        n = len(weights)
        if n == 1 and weights[0].size < 2:
            raise ValueError(
                "early_stopping needs something to hold out, got one sequence with one target; give more sequences, "
                "or early_stopping=False."
            )
        nothing = [np.zeros_like(part) for part in weights]
        if n == 1:
            first = min(max(1, round((1.0 - share) * weights[0].size)), weights[0].size - 1)
            is_held_out = [np.arange(weights[0].size) >= first]
        else:
            chosen = set(rng.permutation(n)[: min(max(1, round(share * n)), n - 1)].tolist())
            is_held_out = [np.full(part.size, i in chosen) for i, part in enumerate(weights)]
        pairs = list(zip(weights, nothing, is_held_out, strict=True))
        split = (
            [np.where(held, none, part) for part, none, held in pairs],
            [np.where(held, part, none) for part, none, held in pairs],
        )
        if not all(any(part.any() for part in side) for side in split):
            raise ValueError(
                "sample_weight must be positive both in what is learnt and in what early_stopping holds out, got zeros "
                "only on one side; use another random_state or validation_fraction."
            )
        return split

    def _objective(self, X: list, y: list, weights: list[np.ndarray], device: str | None) -> SequenceObjective:
        """The loss on the sequences that have any weight."""
        chosen = [i for i, part in enumerate(weights) if part.any()]
        is_last = self.network_.targets == "last"
        mask = [weights[i] for i in chosen]
        return SequenceObjective(
            self.network_,
            [X[i] for i in chosen],
            np.array([y[i] for i in chosen]) if is_last else [y[i] for i in chosen],
            mask=np.concatenate(mask) if is_last else mask,
            clip_signal=np.inf if self.clip_signal is None else self.clip_signal,
            dtype=self.theta_.dtype,
            n_jobs=self.n_jobs,
            device=device,
        )

    def _train(self, objective: SequenceObjective, validation: Any, rng: np.random.Generator) -> Any:
        n = objective.n_sequences
        size = min(n, _BATCH if self.batch_size is None else self.batch_size)
        seed = int(rng.integers(2**31))
        if self.solver == "hf":
            n_batches = 1
            choices = {"batches": RandomBatches(n, gradient=n, curvature=size) if size < n else None}
        else:
            n_batches = -(-n // size)
            choices = {"batch_size": size if size < n else None}
        return train(
            *(objective, self.theta_, self._method(n_batches)),
            **choices,
            seed=seed,
            max_epochs=self.max_epochs,
            validation=validation,
            patience=None if validation is None else self.patience,
            min_improvement=self.tol,
            checkpoint=self.checkpoint,
            resume=self.checkpoint is not None,
            rng=rng,
            verbose=self.verbose,
        )

    def _method(self, n_batches: int) -> Any:
        rate = decayed(self.solver, self.learning_rate, self.decay, n_batches * self.max_epochs)
        return build_method(
            self.solver, rate, momentum=self.momentum, clip_norm=self.clip_norm, hf_options=self.hf_options
        )

    # ------------------------------------------------------------------------------------------------ answers

    def _answer_of(self, sequences: Sequences, wanted: Wanted, initial_state: Any = None) -> Answer:
        data = SequenceData(self.network_, self._scaled(sequences), dtype=self.theta_.dtype)
        initial = None
        if initial_state is not None:
            refuse_unless_carried(self.network_, "initial_state")
            initial = check_rows(self.network_, initial_state, sequences.n_sequences, self.theta_.dtype)
        return run_network(
            self.network_, self.theta_, data, wanted=wanted, initial=initial, n_threads=n_threads(self.n_jobs),
            is_on_device=is_on_device(self.device) or sequences.is_on_device,
        )  # fmt: skip

    def _answers(
        self,
        X: Any,
        groups: Any,
        lengths: Any,
        initial_state: Any,
        return_state: bool,
        wanted: Wanted = "outputs",
        *,
        make: Callable[[np.ndarray], np.ndarray],
    ) -> Any:
        """What ``make`` makes of the rows that are wanted, in the form of X, and the states after the last ones."""
        check_is_fitted(self)
        if return_state:
            refuse_unless_carried(self.network_, "return_state")
        sequences = self._read(X, groups=groups, lengths=lengths)
        rows, final = self._answer_of(sequences, wanted, initial_state)
        shaped = self._shaped(sequences, make(rows))
        return (shaped, sequences.placed(final)) if return_state else shaped

    def _shaped(self, sequences: Sequences, values: np.ndarray) -> Any:
        """Values one a sequence or one a row, whichever are learnt, in the form of X."""
        is_last = self.network_.targets == "last"
        return sequences.per_sequence(values) if is_last else sequences.like_input(values)


def _weights_of(sequences: Sequences, weights: np.ndarray | None, per_sequence: bool) -> list[np.ndarray]:
    """Weights of each sequence's targets: (T_i,), or (1,) where it has one target."""
    dtype = sequences.rows.dtype
    if per_sequence:
        ones = np.ones(sequences.n_sequences)
        return list((ones if weights is None else weights).astype(dtype)[:, None])
    ones = np.ones(sequences.n_steps)
    return np.split((ones if weights is None else weights).astype(dtype), sequences.offsets[1:-1])
