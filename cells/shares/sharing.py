"""How a batch is cut into shares, which depends on the network and the batch, never on the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from cells.network import Network
from reservoir.simd.tiles import MOST_ROWS

# Sequences of a share: enough that a matrix read from the cache meets many rows. Shares are more than MAX_SHARES only
# where they would be larger than MAX_SHARE, or their states would not fit.
MIN_SHARE, MAX_SHARE, MAX_SHARES = 16, 64, 16
# Bytes of states that wait in the second-level cache for the way back. If not even MIN_SHARE's fit it is not tried.
CACHED_STATES = 2**20
# Bytes beyond which a matrix shares the second-level cache with nothing, so that more rows must meet it.
LARGE_MATRIX = 2**20
TILE = MOST_ROWS
WORTH_A_THREAD = 10**7  # rows times parameters: half a millisecond, many times what it takes to wake a thread


def cut_into_shares(
    network: Network, dtype: Any, longest_first: np.ndarray, n_rows: int, *, keeps_states: bool = True
) -> list[np.ndarray]:
    """Parts of about equal size of the sequences ``longest_first``, which have ``n_rows`` steps in all.

    ``keeps_states`` says whether all these steps' states are read on a way back.

    All but the last part fill whole tiles of the matrix products: three rows beside a tile take as long as a tile.

    Examples
    --------
    >>> import numpy as np
    >>> from cells import LSTM, Network
    >>> from cells.shares.sharing import cut_into_shares
    >>> network = Network(LSTM(3, 10), n_out=2)
    >>> [part.size for part in cut_into_shares(network, np.float64, np.arange(40), n_rows=100_000)]
    [16, 16, 8]
    """
    B = longest_first.size
    largest = max(cell.n_units * cell.n_columns for cell in network.layers) * np.dtype(dtype).itemsize
    least = MIN_SHARE * (2 if largest > LARGE_MATRIX else 1)
    cached = CACHED_STATES * B // (n_rows * _bytes_of_step(network, dtype)) // TILE * TILE if keeps_states else 0
    size = int(np.clip(-(-B // MAX_SHARES), least, min(cached, MAX_SHARE) if cached >= least else MAX_SHARE))
    n_shares = min(-(-B // size), n_rows * network.n_params // WORTH_A_THREAD)
    tiles = np.array_split(np.arange(0, B, TILE), max(1, n_shares))
    return np.split(longest_first, [int(part[0]) for part in tiles[1:]])


def _bytes_of_step(network: Network, dtype: Any) -> int:
    """Memory of the tapes, by sequence and step."""
    numbers = 0
    for cell in (part.cell for part in network.parts):
        planes = 0 if cell.planes_turn_into_states else cell.n_columns
        numbers += planes + cell.n_units * (2 if cell.has_second_state else 1) + cell.n_kept
    return numbers * np.dtype(dtype).itemsize
