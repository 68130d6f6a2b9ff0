"""Language models of characters: a recurrent network that reads a text and says what comes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from cells.estimators.architecture import LEARNING_RATES, build_method, build_network, decayed
from cells.estimators.estimator import RecurrentEstimator, interrupts_told
from cells.estimators.settings import LANGUAGE, check_settings
from cells.initial import initial_theta
from cells.language.alphabet import Alphabet, check_text, cut_off, streams
from cells.language.char_recipe import MIN_CHAR_RNN
from cells.language.interpolation import Interpolation, interpolate
from cells.language.scoring import log_probabilities, log_softmax
from cells.language.writing import MOST_WRITTEN, Completion, check_temperature, complete, draw
from cells.stepper import Stepper
from cells.train import TrainingResult, train
from cells.truncated import TruncatedObjective
from optim.arguments import generator, integer, precision
from optim.device import is_on_device
from optim.threads import n_threads
from reservoir.estimators.estimator import all_or_nothing

_MOST_BEAMS = 2**16  # each keeps a state, and a probability of every character


class CharRNN(RecurrentEstimator):
    """Character-level language model.

    The text is cut into ``n_streams`` pieces that are read side by side, in windows of ``n_steps`` characters. The
    state is carried from window to window, the gradient is cut there (:mod:`cells.truncated`). At the end of the
    pieces reading begins anew, with the state at its start.

    Parameters
    ----------
    n_units : int >= 1
    cell : str or callable
        "lstm", "gru", "elman", "relu", "multiplicative_lstm", "multiplicative", "mut1", "mut2", "mut3", "forget_gate",
        or a function ``cell(n_in, n_units) -> Cell``.
    n_layers : int >= 1
    n_steps : int >= 1
        Characters of a window, in each stream.
    n_back : int >= n_steps, optional
        Characters that gradients reach back; ``n_steps`` by default.
    n_streams : int >= 1
        Fewer are used where the text is too short to give each a window.
    restart_every : int >= 1, optional
        Windows after which a stream's state is set back to rest, each stream in its turn; None: only where the text
        begins anew. Without it a network may come to need what its cells have gathered over thousands of characters,
        and be lost where it starts from rest, as it does in ``score`` and ``sample``.
    solver : str or method of ``optim``
        "adam", "rmsprop", "adagrad", "nesterov", "momentum", "sgd".
    learning_rate : float or schedule, optional
        By default what suits the solver, 0.01 for "adam".
    decay : None or "cosine"
        How ``fit`` lowers a learning rate given as a number: not, or along half a cosine that ends with the last epoch.
    momentum : float or schedule
        Of "momentum" and "nesterov".
    clip_value, clip_norm, clip_signal : float > 0, optional
        Bounds on the entries of the gradient, on its norm, and on the signal that is propagated back.
    init : str or scheme
        See :func:`cells.initial_theta`.
    reduction : "mean" or "sum"
        Whether steps follow the mean of a window's losses or, as in min-char-rnn, their sum.
    max_epochs : float > 0
        Passes over the text.
    max_seconds : float > 0, optional
    validation_fraction : float in [0, 1)
        Share of the text, at its end, that is held out and looked at after each epoch; the best parameters are kept.
    patience : int >= 1, optional
        Looks without improvement after which ``fit`` stops.
    alphabet : str, optional
        All characters that will ever occur; by default those of all text given to ``fit``, sorted.
    unknown : "error" or a character
        Characters that are not in the alphabet are refused, or read as this one.
    dtype : float32 or float64
    checkpoint : path, optional
        ``fit`` writes its state there after each epoch, and goes on from it where the file is there: delete it to
        begin anew. One of other texts or settings is refused.
    device : None, "cpu" or "gpu"
        Where to train and to score; writing goes step by step on the processor.
    n_jobs : int, optional
        Threads; the result has the same bits for any number.
    random_state : int, Generator, RandomState or None
    verbose : int
        Above 0: show progress, if tqdm is installed.

    Attributes
    ----------
    alphabet_ : str
    network_ : Network
    theta_ : (P,)
    loss_curve_ : (n_iter_,)
        Loss of each window before the step that it led to, in nats a character; a sum over the window with
        ``reduction="sum"``.
    validation_curve_ : dict
        Columns ``iteration`` and ``loss`` (nats a character) of the looks at the text held out.
    state_ : (n_streams, S)
        States of the streams where training ended, from which ``partial_fit`` goes on.
    waiting_ : (n,)
        With one stream, numbers of the characters that have filled no window yet.
    n_iter_, trace_, stop_reason_, training_state_
        Of the last training.

    Notes
    -----
    Window, streams, restarts and the rate of Adam were chosen on a megabyte of plays, see the study ``character_text``.

    References
    ----------
    Karpathy (2015), The unreasonable effectiveness of recurrent neural networks; char-rnn.

    Examples
    --------
    >>> from cells import CharRNN
    >>> text = "the cat sat on the mat. " * 40
    >>> model = CharRNN(32, n_steps=20, n_streams=4, max_epochs=40, random_state=0).fit(text)
    >>> model.score("the cat sat on the mat.") < 1.0
    True
    >>> model.sample("the c", 10, temperature=0.1, random_state=0)
    'at sat on '
    """

    def __init__(
        self,
        n_units=256,
        *,
        cell="lstm",
        n_layers=1,
        n_steps=64,
        n_back=None,
        n_streams=32,
        restart_every=50,
        solver="adam",
        learning_rate=None,
        decay="cosine",
        momentum=0.9,
        clip_value=None,
        clip_norm=1.0,
        clip_signal=None,
        init="glorot",
        reduction="mean",
        max_epochs=10,
        max_seconds=None,
        validation_fraction=0.0,
        patience=None,
        alphabet=None,
        unknown="error",
        dtype=np.float32,
        checkpoint=None,
        device=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.n_units = n_units
        self.cell = cell
        self.n_layers = n_layers
        self.n_steps = n_steps
        self.n_back = n_back
        self.n_streams = n_streams
        self.restart_every = restart_every
        self.solver = solver
        self.learning_rate = learning_rate
        self.decay = decay
        self.momentum = momentum
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.clip_signal = clip_signal
        self.init = init
        self.reduction = reduction
        self.max_epochs = max_epochs
        self.max_seconds = max_seconds
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.alphabet = alphabet
        self.unknown = unknown
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------------------------------------------ learning

    @all_or_nothing
    def fit(self, text: str, *, validation: str | None = None, callback: Callable[..., Any] | None = None) -> CharRNN:
        """Learn a text from the beginning.

        Parameters
        ----------
        text : str
            Two characters at least.
        validation : str, optional
            Text to look at after each epoch, in the place of ``validation_fraction``.
        callback : callable, optional
            ``callback(progress)`` after every window, see :func:`cells.train`; to stop, return True.

        Returns
        -------
        self
        """
        check_settings(self, LANGUAGE)
        text, validation = self._held_out(text, validation)
        self._begin(text + (validation or ""))
        letters = self._letters()
        numbers = letters.encode(text)
        objective = self._objective(numbers)
        looked_at = None if validation is None else self._objective(letters.encode(validation), is_looked_at=True)
        n_windows = objective.n_windows * self.max_epochs
        with interrupts_told(self.checkpoint):
            result = train(
                *(objective, self.theta_, self._method(n_windows)),
                max_epochs=self.max_epochs,
                max_seconds=self.max_seconds,
                validation=looked_at,
                patience=self.patience,
                callback=callback,
                checkpoint=self.checkpoint,
                resume=self.checkpoint is not None,
                verbose=self.verbose,
            )
            return self._keep(result, objective, numbers)

    @all_or_nothing
    def partial_fit(self, text: str) -> CharRNN:
        """Go on learning: one pass over ``text``, from the parameters and the state of the solver as they are.

        With ``n_streams=1`` a text in pieces is read as one: characters that do not fill a window wait for the next
        piece. With more, the states of the streams are handed on where there are as many as before. The learning rate
        is what it would be at the beginning: it does not decay.

        Parameters
        ----------
        text : str

        Returns
        -------
        self
        """
        check_settings(self, LANGUAGE)
        check_text("text", text, least=1 if self.n_streams == 1 else 2)
        if not hasattr(self, "theta_"):
            self._begin(text)
        numbers = self._letters().encode(text)
        if self.n_streams == 1:
            numbers = np.concatenate([getattr(self, "waiting_", numbers[:0]), numbers])
            if numbers.size <= integer("n_steps", self.n_steps):
                self.waiting_ = numbers
                return self
        objective = self._objective(numbers, initial_state=getattr(self, "state_", None))
        state = getattr(self, "training_state_", None)
        result = train(objective, self.theta_, self._method(None), max_epochs=1, state=state, verbose=self.verbose)
        return self._keep(result, objective, numbers)

    def _held_out(self, text: str, validation: str | None) -> tuple[str, str | None]:
        """The text to learn from and the one to look at, two characters each: one to read and one to predict."""
        check_text("text", text, least=2)
        if validation is not None:
            return text, check_text("validation", validation, least=2)
        return (text, None) if self.validation_fraction == 0 else cut_off(text, self.validation_fraction)

    def _begin(self, text: str) -> None:
        """Parameters as they are before training, for the characters of ``text`` unless an alphabet is given."""
        precision("dtype", self.dtype)
        alphabet = Alphabet("".join(sorted(set(text))) if self.alphabet is None else self.alphabet, self.unknown)
        self.alphabet_ = alphabet.characters
        V = alphabet.size
        self.network_ = build_network(self.cell, V, self.n_units, n_layers=self.n_layers, n_out=V, loss="softmax")
        rng = generator(self.random_state)
        self.theta_ = initial_theta(self.network_, self.init, rng=rng, dtype=self.dtype or np.float32)
        for name in ("state_", "waiting_", "training_state_"):
            vars(self).pop(name, None)

    def _objective(self, numbers: np.ndarray, *, initial_state: Any = None, is_looked_at: bool = False) -> Any:
        T = min(integer("n_steps", self.n_steps), numbers.size - 1)
        X, y = streams(numbers, min(integer("n_streams", self.n_streams), (numbers.size - 1) // T), T)
        if initial_state is not None and len(initial_state) != len(X):
            initial_state = None
        return TruncatedObjective(
            *(self.network_, X, y),
            k1=T,
            k2=None if self.n_back is None else integer("n_back", self.n_back, least=T),
            reduction="mean" if is_looked_at else self.reduction,
            clip_signal=np.inf if self.clip_signal is None else self.clip_signal,
            restart_every=None if is_looked_at else self.restart_every,
            initial_state=initial_state,
            dtype=self.theta_.dtype,
            n_jobs=self.n_jobs,
            device=self.device,
        )

    def _method(self, n_steps: float | None) -> Any:
        rate = decayed(self.solver, self.learning_rate, None if n_steps is None else self.decay, n_steps)
        if self.solver == "hf":
            raise NotImplementedError(
                f"solver must be one of {', '.join(LEARNING_RATES)} for windows with a carried state, got 'hf'; or use "
                "cells.SequenceObjective on pieces of the text with optim.HessianFree."
            )
        return build_method(
            self.solver, rate, momentum=self.momentum, clip_value=self.clip_value, clip_norm=self.clip_norm
        )

    def _keep(self, result: TrainingResult, objective: TruncatedObjective, numbers: np.ndarray) -> CharRNN:
        self._take(result)
        self.training_state_ = result.state
        if result.state.carried is not None:
            self.state_ = result.state.carried
        self.waiting_ = numbers[int(objective.data.lengths.max()) :] if objective.n_sequences == 1 else numbers[:0]
        return self

    # ------------------------------------------------------------------------------------------------ scoring

    def log_probabilities_of(self, text: str) -> np.ndarray:
        """log p of every character but the first given those before it, in nats: (T - 1,) float64.

        Parameters
        ----------
        text : str
            Two characters at least; the state starts from rest.
        """
        check_is_fitted(self)
        numbers = self._letters().encode(check_text("text", text, least=2))
        where = {"n_threads": n_threads(self.n_jobs), "is_on_device": is_on_device(self.device)}
        return log_probabilities(self.network_, self.theta_, numbers, **where)

    def score(self, text: str) -> float:
        """Bits a character: the mean of -log2 p over all characters but the first.

        Parameters
        ----------
        text : str
        """
        return -float(self.log_probabilities_of(text).mean()) / float(np.log(2.0))

    def interpolate(self, ngram: Any, held_out: str) -> Interpolation:
        """This model mixed with an n-gram, p = w p_network + (1 - w) p_ngram, w chosen on a text held out.

        Parameters
        ----------
        ngram : cells.language.ngram.NGram
            Fitted; its alphabet must hold the characters that are scored.
        held_out : str
            What neither has learnt from.

        Returns
        -------
        Interpolation
            With ``weight``, ``score`` and ``log_probabilities_of``.
        """
        check_is_fitted(self)
        return interpolate(self, ngram, held_out)

    # ------------------------------------------------------------------------------------------------ writing

    def sample(self, prime: str = "", n: int = 100, *, temperature: float = 1.0, random_state: Any = None) -> str:
        """Draw a continuation, character by character.

        Parameters
        ----------
        prime : str
            Read first, from rest, to set the state (burn-in). If empty, a line break is read where the alphabet has
            one, else its first character.
        n : int >= 0
        temperature : float >= 0
            log p is divided by it; at 0 the likeliest character always wins.
        random_state : int, Generator, RandomState or None

        Returns
        -------
        str
            n characters, the prime not among them.
        """
        check_is_fitted(self)
        n = integer("n", n, least=0, most=MOST_WRITTEN, remedy="give the number of characters to draw")
        temperature = check_temperature(temperature)
        rng = generator(random_state)
        stepper, outputs = self._burnt_in("prime", prime)
        return self._letters().decode(draw(stepper, outputs, n, temperature=temperature, rng=rng))

    def complete(
        self, prefix: str, k: int = 5, *, stop: str = " \n", n_characters: int = 40, n_beams: int | None = None
    ) -> list[Completion]:
        """The k likeliest ways to go on until a character of ``stop``, by beam search.

        Parameters
        ----------
        prefix : str
            Read first, from rest.
        k : int >= 1
            Completions wanted; there may be fewer.
        stop : str
            A completion ends before any of these characters, which counts in its probability.
        n_characters : int >= 1
            At most so many.
        n_beams : int >= k, optional
            Beginnings that are pursued at a time; max(k, 10) by default.

        Returns
        -------
        list of Completion
            The likeliest first: ``text`` and ``bits``, -log2 of its probability.
        """
        check_is_fitted(self)
        k = integer("k", k, most=_MOST_BEAMS)
        n_characters = integer("n_characters", n_characters, most=MOST_WRITTEN)
        n_beams = max(k, 10) if n_beams is None else integer("n_beams", n_beams, least=k, most=_MOST_BEAMS)
        check_text("stop", stop)
        stepper, outputs = self._burnt_in("prefix", prefix)
        ends = np.array([character in stop for character in self.alphabet_])
        beams = Stepper(self.network_, self.theta_, n_sequences=n_beams)
        return complete(beams, stepper.state, log_softmax(outputs)[0], ends, self._letters(), k, n_characters)

    def _burnt_in(self, name: str, prime: str) -> tuple[Stepper, np.ndarray]:
        """The network after it has read the argument ``name``, and what it then says before the softmax."""
        check_text(name, prime)
        stepper = Stepper(self.network_, self.theta_)
        for number in self._letters().encode(prime or ("\n" if "\n" in self.alphabet_ else self.alphabet_[0]), name):
            outputs = stepper.outputs(number)
        return stepper, outputs

    def _letters(self) -> Alphabet:
        return Alphabet(self.alphabet_, self.unknown)

    @classmethod
    def min_char_rnn(cls, **changes: Any) -> CharRNN:
        """The recipe of min-char-rnn, see :mod:`cells.language.char_recipe`: 100 tanh units, windows of 25 characters,
        Adagrad.

        Parameters
        ----------
        changes
            Other parameters of :class:`CharRNN`, such as ``max_epochs`` and ``random_state``.

        Returns
        -------
        CharRNN

        Examples
        --------
        >>> from cells import CharRNN
        >>> CharRNN.min_char_rnn(random_state=0).learning_rate
        0.1
        """
        return cls(**{**MIN_CHAR_RNN, **changes})
