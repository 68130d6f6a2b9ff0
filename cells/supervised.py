"""What recurrent networks for regression and for classification share: from sequences to a trained network and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cells.architecture import LEARNING_RATES, build_method, build_network, check_count
from cells.carried import check_rows
from cells.data import SequenceData
from cells.estimator import RecurrentEstimator, generator
from cells.initial import initial_theta
from cells.network import Network
from cells.objective import SequenceObjective
from cells.predict import Answer, Wanted, run_network
from cells.train import train
from optim.batches import RandomBatches
from optim.schedule import Cosine
from optim.threads import n_threads
from reservoir.estimator import check_dtype
from reservoir.sequences import Sequences, read_sequences

_LAST_RATE = 0.01  # share of the learning rate that a decay ends at


class SupervisedNetwork(RecurrentEstimator):
    """What regressor and classifier share."""

    def __init__(
        self,
        n_units=32,
        *,
        cell="lstm",
        n_layers=1,
        bidirectional=False,
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
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.cell = cell
        self.n_layers = n_layers
        self.bidirectional = bidirectional
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
        sequences = self._read(X, groups=groups, lengths=lengths)
        return sequences.like_input(self._answer_of(sequences, "states", initial_state).rows)

    # ------------------------------------------------------------------------------------------------ data

    def _read_for_fit(self, X, y, sample_weight, groups, lengths, *, target: str) -> Sequences:
        return read_sequences(
            self, X, y, sample_weight=sample_weight, groups=groups, lengths=lengths,
            sequence_column=self.sequence_column, dtype=check_dtype(self.dtype), reset=True, target=target,
        )  # fmt: skip

    def _read(self, X: Any, *, groups: Any = None, lengths: Any = None) -> Sequences:
        return read_sequences(
            self, X, groups=groups, lengths=lengths, sequence_column=self.sequence_column,
            dtype=self.theta_.dtype, reset=False, target="none",
        )  # fmt: skip

    def _scaled(self, sequences: Sequences) -> list[np.ndarray]:
        """Inputs of every sequence as the network reads them."""
        rows = ((sequences.rows - self.input_shift_) / self.input_scale_).astype(sequences.rows.dtype, copy=False)
        return np.split(rows, sequences.offsets[1:-1])

    def _is_kept(self, network: Network, dtype: Any) -> bool:
        """Whether ``warm_start`` goes on from the parameters that are there."""
        same = self.warm_start and getattr(self, "network_", None) == network
        return bool(same and self.theta_.dtype == dtype)

    # ------------------------------------------------------------------------------------------------ learning

    def _learn(self, sequences: Sequences, answers: np.ndarray, *, loss: str, n_out: int, per_sequence: bool) -> None:
        """Train on ``answers``, one a row or one a sequence; weights are those of the rows."""
        weights = sequences.weights
        if per_sequence and weights is not None:
            weights = np.add.reduceat(weights, sequences.offsets[:-1]) / sequences.lengths
        targets = "last" if per_sequence else "all"
        choices = {"n_layers": self.n_layers, "bidirectional": bool(self.bidirectional), "loss": loss}
        n_in, dtype = sequences.rows.shape[1], sequences.rows.dtype
        network = build_network(self.cell, n_in, self.n_units, n_out=n_out, targets=targets, **choices)
        of_theta, of_order = generator(self.random_state).spawn(2)
        is_kept = self._is_kept(network, dtype)
        if not is_kept:
            self.network_ = network
            self.theta_ = initial_theta(network, self.init, rng=of_theta, dtype=dtype)
            self._set_scales(sequences)
        chosen, looked_at = self._split(sequences, weights, of_order)
        X = self._scaled(sequences)
        y = list(answers) if per_sequence else np.split(answers, sequences.offsets[1:-1])
        mask = None if chosen[1] is None else chosen[1]
        objective = self._objective(X, y, *chosen, mask)
        validation = None if looked_at is None else self._objective(X, y, *looked_at, looked_at[1])
        self._take(self._train(objective, validation, of_order))

    def _train(self, objective: SequenceObjective, validation: Any, rng: np.random.Generator) -> Any:
        n = objective.n_sequences
        size = min(n, 64) if self.batch_size is None else min(n, check_count("batch_size", self.batch_size))
        choices: dict[str, Any] = {"batch_size": size if size < n else None}
        if self.solver == "hf":
            choices = {"batches": RandomBatches(n, gradient=n, curvature=size) if size < n else None}
        n_batches = -(-n // size) if "batch_size" in choices else 1
        return train(
            *(objective, self.theta_, self._method(n_batches)),
            **choices,
            seed=int(rng.integers(2**31)),
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
        if self.decay not in (None, "cosine"):
            raise ValueError(f"decay must be None or 'cosine', got {self.decay!r}; choose one of them.")
        rate = self.learning_rate
        if rate is None and isinstance(self.solver, str):
            rate = LEARNING_RATES.get(self.solver)
        if self.decay == "cosine" and rate is not None and not callable(rate):
            rate = Cosine(rate, n_batches * self.max_epochs, _LAST_RATE * rate)
        return build_method(
            self.solver, rate, momentum=self.momentum, clip_norm=self.clip_norm, hf_options=self.hf_options
        )

    def _objective(
        self, X: list, y: list, chosen: np.ndarray, weights: list | np.ndarray | None, mask: Any
    ) -> SequenceObjective:
        del weights
        return SequenceObjective(
            self.network_,
            [X[i] for i in chosen],
            np.array([y[i] for i in chosen]) if self.network_.targets == "last" else [y[i] for i in chosen],
            mask=mask,
            clip_signal=np.inf if self.clip_signal is None else self.clip_signal,
            dtype=self.theta_.dtype,
            n_jobs=self.n_jobs,
        )
