"""What all reservoir estimators share: drawing the reservoir, driving it, and fits that succeed or leave no trace."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from optim.arguments import brief, choice, flag, generator, integer, number, reals
from optim.device import check_device
from optim.interrupts import interrupts_deferred
from optim.threads import n_threads
from reservoir.alarms import StateOverflowError
from reservoir.data.reading import read_sequences
from reservoir.data.sequences import Sequences
from reservoir.data.states import read_states
from reservoir.drive.routes import drive
from reservoir.drive.task import Task
from reservoir.drive.weights import Reservoir, build_reservoir
from reservoir.estimators.persistence import save
from reservoir.graph.matrix import MOST_WEIGHTS

_FLAGS = ("fit_intercept", "include_input", "warm_start")


def all_or_nothing(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a fit that ends in an exception, Ctrl-C included, leaves the estimator as it was."""

    @functools.wraps(fit)
    def careful_fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            with interrupts_deferred():
                vars(self).update(before)
                for name in vars(self).keys() - before.keys():
                    delattr(self, name)
            raise

    return careful_fit


class ReservoirEstimator(BaseEstimator):
    """Base of the estimators; its subclasses define ``__init__`` and say what is fitted."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Give an inherited ``__init__`` the name of the class that users call, which Python's errors tell them."""
        super().__init_subclass__(**options)
        init = cls.__init__
        if isinstance(init, types.FunctionType) and "__init__" not in vars(cls):
            own = types.FunctionType(init.__code__, init.__globals__, "__init__", init.__defaults__, init.__closure__)
            own.__kwdefaults__, own.__qualname__ = init.__kwdefaults__, f"{cls.__qualname__}.__init__"
            cls.__init__ = own

    def run(self, X: Any, *, groups: Any = None, lengths: Any = None, initial_state: Any = None) -> Any:
        """Reservoir states after every row of X.

        Parameters
        ----------
        X : (n_steps, n_features), or any form of several sequences
        groups, lengths : see ``fit``
        initial_state : (n_units,) or (n_sequences, n_units), optional
            Start from here instead of from rest (zero).

        Returns
        -------
        states : (n_steps, n_units), or in the form of X
            In the precision of the reservoir.
        """
        check_is_fitted(self)
        sequences = self._read(X, groups=groups, lengths=lengths)
        return sequences.like_input(self._states(sequences, initial_state))

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to one ``.npz`` file; :func:`reservoir.load` reads it without running code.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self)
        save(self, path)

    # ------------------------------------------------------------ for subclasses

    def _states(self, sequences: Sequences, initial_state: Any = None) -> np.ndarray:
        """(n_steps, n_units) finite states."""
        task = self._task(sequences, sequences.rows, initial=self._starts(initial_state, sequences))
        states = drive(self.reservoir_, task, wants_states=True).states
        self._refuse_overflow(states, "states")
        return states

    def _read(self, X: Any, *, groups: Any = None, lengths: Any = None) -> Sequences:
        """X for a fitted model, in the precision of its reservoir."""
        return read_sequences(
            self, X, groups=groups, lengths=lengths, sequence_column=getattr(self, "sequence_column", None),
            dtype=self.reservoir_.dtype, reset=False, target="none",
        )  # fmt: skip

    def _task(self, sequences: Sequences, rows: np.ndarray, **more: Any) -> Task:
        include_input = getattr(self, "include_input", False)
        n_read = self.reservoir_.n_inputs if include_input else 0
        check_device(self.device)
        return Task(
            rows,
            sequences.offsets,
            n_read=n_read,
            n_threads=n_threads(self.n_jobs),
            device="gpu" if sequences.is_on_device else self.device,
            forgetting_time=getattr(self, "forgetting_time_", None),
            **more,
        )

    def _starts(self, initial_state: Any, sequences: Sequences) -> np.ndarray | None:
        """(n_sequences, N), or (n_sequences, N + O) with feedback, from what the user gave; None: rest."""
        if initial_state is None:
            return None
        if isinstance(initial_state, str):
            word = choice("initial_state", initial_state, ("fitted", "last"), or_else="an array of states")
            initial_state = getattr(self, "state_", None)
            if initial_state is None:
                raise ValueError(
                    f"initial_state={word!r} needs states that fitting has kept, got a {type(self).__name__} that "
                    "keeps none; pass what return_state=True returned."
                )
        width = self.reservoir_.n_units + self.reservoir_.n_feedback
        return read_states(initial_state, sequences.n_sequences, width, self.reservoir_.dtype)

    def _refuse_overflow(self, rows: np.ndarray, what: str, of: str = "row") -> None:
        """Raise for a number in ``rows`` (n, k) that is not finite; a row of X is behind each, or another thing."""
        with np.errstate(all="ignore"):
            if np.isfinite(rows.sum()):
                return
        is_finite = np.isfinite(rows).all(axis=1)
        if not is_finite.all():
            raise StateOverflowError(
                f"X must keep the {what} finite in {rows.dtype}, got values that are not from {of} "
                f"{int(np.argmin(is_finite))} on, with spectral_radius={brief(self.spectral_radius)} and "
                f"activation={self.activation!r}; scale X down, or choose a smaller spectral_radius or "
                "activation='tanh'."
            )

    def _draw(self, n_inputs: int, n_outputs: int, dtype: np.dtype) -> None:
        """Set ``reservoir_``, unless ``warm_start`` keeps one that fits the data; set ``noise_seed_`` with it."""
        check_device(self.device)
        n_threads(self.n_jobs)
        kept: Reservoir | None = getattr(self, "reservoir_", None) if getattr(self, "warm_start", False) else None
        for name in _FLAGS:
            flag(name, getattr(self, name, False))
        feedback = number("feedback_scaling", getattr(self, "feedback_scaling", 0.0), least=0, remedy="0 turns it off")
        wanted = (n_inputs, n_outputs if feedback > 0 else 0, np.dtype(dtype))
        if kept is not None and (kept.n_inputs, kept.n_feedback, kept.dtype) == wanted and kept.n_units == self.n_units:
            return
        of_reservoir, of_noise = generator(self.random_state).spawn(2)
        self.reservoir_ = build_reservoir(
            **self._settings_of_reservoir(), n_inputs=n_inputs, n_outputs=n_outputs, dtype=dtype, rng=of_reservoir,
            feedback_scaling=feedback, n_jobs=self.n_jobs,
        )  # fmt: skip
        self.noise_seed_ = int(of_noise.integers(2**63))
        vars(self).pop("forgetting_time_", None)
        radius = self.reservoir_.radius
        self.spectral_radius_error_ = 0.0 if radius is None else radius.error

    def _settings_of_reservoir(self) -> dict[str, Any]:
        """What :func:`reservoir.drive.weights.build_reservoir` is told of the parameters."""
        names = (
            "n_units", "spectral_radius", "leak_rate", "input_scaling", "input_weights", "bias_scaling", "in_degree",
            "topology", "activation",
        )  # fmt: skip
        settings = {name: getattr(self, name) for name in names}
        leaks = settings["leak_rate"]
        n_units = integer("n_units", self.n_units, most=MOST_WEIGHTS, remedy="give a number of units")
        if isinstance(leaks, tuple) and 0 < len(leaks) < n_units:
            settings["leak_rate"] = np.resize(reals("leak_rate", leaks), n_units)
        return settings

    @property
    def _n_features_out(self) -> int:
        return self.reservoir_.n_units


def progress(name: str, verbose: int) -> Any:
    """A callable that shows the fraction done with tqdm, if ``verbose`` > 0 and it is installed; else None."""
    if isinstance(verbose, (bool, np.bool_)):
        verbose = int(verbose)
    if integer("verbose", verbose, least=0, remedy="0 shows nothing, 1 shows progress") == 0:
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    bar = tqdm(total=100, desc=name, unit="%")

    def watch(fraction: float) -> None:
        bar.update(min(100, int(100 * fraction)) - bar.n)
        if fraction >= 1.0:
            bar.close()

    return watch
