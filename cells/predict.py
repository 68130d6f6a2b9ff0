"""What a network says of sequences: predictions, outputs or states, in memory that does not grow with their length."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from cells.device.device_layer import has_array_code
from cells.device.device_run import DeviceParameters, DeviceRun
from cells.network import Network
from cells.passes.losses import predictions
from cells.passes.memory import Memory, MemoryPool
from cells.passes.parameters import Parameters, check_theta
from cells.shares.carried import carries_all, check_rows, initial_rows, parted, refuse_unless_carried, rows_after
from cells.shares.data import SequenceData
from cells.shares.run import Run
from cells.shares.share import ShareOptions
from cells.shares.sharing import cut_into_shares
from optim.device import all_to_host, beside, is_array, is_on_device, namespace, to_device, to_host
from optim.threads import n_threads, run_all

Wanted = Literal["predictions", "outputs", "states"]

# Rows of a stretch of time: its tape stays in the cache, and starting a stretch costs little beside it.
_ROWS = 1024


class Answer(NamedTuple):
    """What :func:`run_network` found: ``rows`` one after the other as the data, and the states after each sequence."""

    rows: np.ndarray  # (n_steps, W), or (n_sequences, W) for outputs with targets="last"
    final: np.ndarray  # (n_sequences, S), see cells.shares.carried


def predict(
    network: Network,
    theta: np.ndarray,
    X: Any,
    *,
    lengths: Any = None,
    initial_state: Any = None,
    return_state: bool = False,
    n_jobs: int | None = None,
    device: str | None = None,
) -> Any:
    """Predictions for every step, or with ``targets="last"`` for every sequence: what ``cells.passes.losses`` calls p.

    Parameters
    ----------
    network : Network
    theta : (P,)
        Its dtype is the working precision.
    X : sequence of (T_i, I) arrays, or (n, T, I) array
        Integers, (T_i,) or (n, T), stand for one-hot rows.
    lengths : (n,) integers, optional
        Steps of each sequence where X is padded.
    initial_state : (S,) or (n, S), optional
        States to start from, as ``return_state`` gives them; by default those learnt, or 0.
    return_state : bool
        Whether to return the states after each sequence too.
    n_jobs : int, optional
        Threads. Results have the same bits for any number, and for any grouping of sequences into calls.
    device : None, "cpu" or "gpu"
        Where to compute. None computes where the arrays lie; what is returned lies where ``theta`` does.

    Returns
    -------
    p : list of (T_i, O) arrays; (n, T, O) array if X is an array without ``lengths``; (n, O) for ``targets="last"``
    state : (n, S)
        Only if ``return_state``.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network, initial_theta, predict
    >>> network = Network(LSTM(2, 3), n_out=4, loss="softmax")
    >>> theta = initial_theta(network, rng=np.random.default_rng(0))
    >>> [p.shape for p in predict(network, theta, [np.zeros((5, 2)), np.zeros((1, 2))])]
    [(5, 4), (1, 4)]
    """
    data, answer = _run_on(network, theta, X, lengths, initial_state, n_jobs, device, "predictions")
    shaped = answer.rows if network.targets == "last" else _like(X, lengths, data, answer.rows)
    return (shaped, answer.final) if return_state else shaped


def states(
    network: Network,
    theta: np.ndarray,
    X: Any,
    *,
    lengths: Any = None,
    initial_state: Any = None,
    n_jobs: int | None = None,
    device: str | None = None,
) -> Any:
    """States of the uppermost layer after every step, both directions side by side: what the readout sees.

    Parameters
    ----------
    network, theta, X, lengths, initial_state, n_jobs, device : as in :func:`predict`

    Returns
    -------
    h : list of (T_i, F) arrays, or (n, T, F) array if X is an array without ``lengths``

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network, initial_theta, states
    >>> network = Network(LSTM(2, 3), n_out=4)
    >>> states(network, initial_theta(network, rng=np.random.default_rng(0)), np.zeros((7, 5, 2))).shape
    (7, 5, 3)
    """
    data, answer = _run_on(network, theta, X, lengths, initial_state, n_jobs, device, "states")
    return _like(X, lengths, data, answer.rows)


def run_network(
    network: Network,
    theta: np.ndarray,
    data: SequenceData,
    *,
    wanted: Wanted = "predictions",
    initial: np.ndarray | None = None,
    n_threads: int = 1,
    is_on_device: bool = False,
) -> Answer:
    """Run ``network`` over checked data.

    Parameters
    ----------
    network : Network
    theta : (P,)
    data : SequenceData
        Targets and weights are not looked at.
    wanted : "predictions", "outputs" (before any nonlinearity) or "states"
    initial : (n_sequences, S), optional
    n_threads : int >= 1
    is_on_device : bool
        Whether to compute on a GPU; what is given and returned is NumPy's in any case.

    Returns
    -------
    Answer
    """
    if initial is None:
        initial = initial_rows(network, theta, data.n_sequences)
    if is_on_device and all(map(has_array_code, network.layers)):
        found = _run_there(network, theta, data, wanted, initial)
    else:
        found = _run_here(network, theta, data, wanted, initial, n_threads)
    for what, rows in ((wanted, found.rows), ("states", found.final)):
        if not np.isfinite(rows).all() and not np.isfinite(theta).all():
            raise ValueError("theta must be finite, got NaN or infinity; train from other parameters.")
        refuse_unless_finite(rows, what, data.dtype)
    return found


def _run_there(network: Network, theta: np.ndarray, data: SequenceData, wanted: Wanted, initial: np.ndarray) -> Answer:
    """All sequences at once, on a GPU."""
    order, parameters = data.by_length, DeviceParameters(network, to_device(theta))
    run = DeviceRun(network, data.portion(order), ShareOptions(data.dtype), namespace(to_device(theta)))
    outputs = run.forward(parameters, parted(network, to_device(initial[order])))
    rows, final = {"outputs": outputs, "predictions": run.predictions, "states": run.top}[wanted], run.final()
    is_last = network.targets == "last" and wanted != "states"
    place = order if is_last else data.offsets[order][run.data.rows.sequence] + run.data.rows.step
    found = Answer(np.empty(rows.shape, data.dtype), np.empty_like(initial))
    found.rows[place], found.final[order] = to_host(rows), to_host(final)
    return found


def _run_here(
    network: Network, theta: np.ndarray, data: SequenceData, wanted: Wanted, initial: np.ndarray, n_threads: int
) -> Answer:
    """Shares of the sequences, on the threads of the processor."""
    parts = cut_into_shares(network, data.dtype, data.by_length, int(data.offsets[-1]), keeps_states=False)
    parameters = Parameters(network, theta, min(part.size for part in parts))
    is_last = network.targets == "last" and wanted != "states"
    width = network.n_features if wanted == "states" else network.n_out
    found = Answer(
        np.empty((data.n_sequences if is_last else int(data.offsets[-1]), width), data.dtype),
        np.empty_like(initial),
    )
    pool = MemoryPool()

    def run(part: np.ndarray) -> None:
        with pool.borrow() as memory:
            _run_share(network, parameters, data, part, initial, wanted, found, memory)

    run_all(run, [(part,) for part in parts], n_threads)
    return found


def refuse_unless_finite(rows: np.ndarray, what: str, dtype: Any) -> None:
    """Raise if a number that is to be handed over has left the range of ``dtype``.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> import numpy as np
    >>> from cells.predict import refuse_unless_finite
    >>> refuse_unless_finite(np.array([[1.0], [np.inf]]), "outputs", np.float64)
    Traceback (most recent call last):
    ValueError: X must keep outputs finite in float64, got inf in row 1; scale X, shorten its sequences, or take a ...
    """
    is_finite = np.isfinite(rows)
    if not is_finite.all():
        row = int(np.flatnonzero(~is_finite.reshape(len(rows), -1).all(axis=1))[0])
        first = float(rows[row][~is_finite[row]][0])
        raise ValueError(
            f"X must keep {what} finite in {np.dtype(dtype).name}, got {first} in row {row}; scale X, shorten its "
            "sequences, or take a cell whose states are bounded."
        )


def _run_share(
    network: Network,
    parameters: Parameters,
    data: SequenceData,
    part: np.ndarray,
    initial: np.ndarray,
    wanted: Wanted,
    found: Answer,
    memory: Memory,
) -> None:
    """Run the sequences ``part``, longest first, stretch after stretch, and write their rows of ``found``."""
    whole = data.portion(part)
    place = data.offsets[part][whole.rows.sequence] + whole.rows.step
    state, T = initial[part], whole.n_steps
    n_steps = max(1, _ROWS // part.size) if carries_all(network) else T
    for begin in range(0, T, n_steps):
        stretch = whole.between(begin, min(begin + n_steps, T))
        n, n_continuing = stretch.rows.n_sequences, stretch.n_continuing
        run = Run(network, stretch.rows, data.dtype, memory, n_continuing)
        outputs = run.forward(parameters, stretch.x, parted(network, state))
        if wanted == "states":
            answers = _top_states(run)
        else:
            answers = outputs if wanted == "outputs" else predictions(network.loss, outputs)
        if wanted == "states" or network.targets == "all":
            first = int(whole.rows.first[begin])
            found.rows[place[first : first + stretch.rows.n_rows]] = answers
        else:
            found.rows[part[n_continuing:n]] = answers
        after = rows_after(run, stretch.n_steps)
        found.final[part[n_continuing:n]] = after[n_continuing:]
        state = after[:n_continuing]


def _top_states(run: Run) -> np.ndarray:
    """(R, F) states of the uppermost layer, both directions in the order of time."""
    B, top = run.rows.n_sequences, len(run.network.layers) - 1
    of_both = [
        layer.tape.h[B + run.rows.reversed] if part.is_reversed else layer.tape.h[B:]
        for part, layer in zip(run.parts, run.layers, strict=True)
        if part.layer == top
    ]
    return np.concatenate(of_both, axis=1)


def _run_on(
    network: Network,
    theta: Any,
    X: Any,
    lengths: Any,
    initial_state: Any,
    n_jobs: int | None,
    device: str | None,
    wanted: Wanted,
) -> tuple[SequenceData, Answer]:
    check_theta(network, theta)
    is_there = is_on_device(device, *((X, lengths, initial_state) if device == "gpu" else (theta, X, initial_state)))
    given, theta = theta, to_host(theta)
    data = SequenceData(network, all_to_host(X), lengths=all_to_host(lengths), dtype=theta.dtype)
    initial = None
    if initial_state is not None:
        refuse_unless_carried(network, "initial_state")
        initial = check_rows(network, all_to_host(initial_state), data.n_sequences, theta.dtype)
    options = {"n_threads": n_threads(n_jobs), "is_on_device": is_there}
    answer = run_network(network, theta, data, wanted=wanted, initial=initial, **options)
    return data, Answer(beside(given, answer.rows), beside(given, answer.final))


def _like(X: Any, lengths: Any, data: SequenceData, rows: np.ndarray) -> Any:
    if is_array(X) and X.dtype != object and lengths is None:
        return rows.reshape(data.n_sequences, -1, rows.shape[1])
    return [rows[a:b] for a, b in pairwise(data.offsets.tolist())]
