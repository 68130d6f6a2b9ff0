"""What the kernels of :mod:`reservoir.drive.kernels` read and write."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Entries of a row that a kernel takes without a loop: the default in-degree.
UNROLLED = 10


class Graph(NamedTuple):
    """W as a kernel reads it.

    Lanes: compressed rows. Sequence: slices of ``pack_size`` rows, an entry of each row side by side, padded with
    weight 0 from the slot behind the last slice; or, with ``shifts``, blocks of two packs of each cyclic diagonal in
    turn: (N_padded / (2 pack_size), K, 2 pack_size).
    """

    pointers: np.ndarray  # (N + 1,) or (n_slices + 1,) int64
    indices: np.ndarray  # (n_entries,) int32
    weights: np.ndarray  # (n_entries,)
    shifts: np.ndarray  # (K,) int64; empty unless W is a sum of K cyclic diagonals
    # A 0 for each entry of a row if all rows of W have UNROLLED, and with them all slices, for a kernel compiled for it
    unrolled: tuple = ()


class Units(NamedTuple):
    """What belongs to the units; the last axis is padded to a multiple of ``pack_size``."""

    input_weights: np.ndarray  # (I, N_padded)
    bias: np.ndarray  # (N_padded,)
    leak: np.ndarray  # (N_padded,), padded with 1
    is_leaky: bool  # False promises that every leak, times every lane's factor, is 1


class Readout(NamedTuple):
    """Linear readout y = offset + C_in u[:n_read] + C x; O = 0 where no output is wanted."""

    coef: np.ndarray  # (O, N_padded)
    input_coef: np.ndarray  # (O, n_read)
    offset: np.ndarray  # (O,)
    fed: int  # inputs fed .. fed + O - 1 are the outputs of the step before; -1: the loop is open


class Data(NamedTuple):
    """Rows of all sequences, one a time step."""

    rows: np.ndarray  # (n, I)
    targets: np.ndarray  # (n, n_targets), n_targets = 0 without targets
    roots: np.ndarray  # (n,) square roots of the sample weights, or empty: all 1
    initial: np.ndarray  # (n_initial, N + O) states and last outputs to start from; row 0 is rest


class Plan(NamedTuple):
    """What each lane does at each step of a call."""

    row: np.ndarray  # (S, B) int64: row of ``Data`` read; -1: the lane idles on zero input
    start: np.ndarray  # (S, B) int32: row of ``Data.initial`` the lane starts from before this step; -1: it goes on
    record: np.ndarray  # (S, B) int32: row of ``Sinks.records`` the state goes to after this step; -1: none
    kept: np.ndarray  # (S, B) bool: the step counts; else it only warms the lane up
    # (S,) int64; -1: the step counts for no lane. As laid out, the number of the step among those that count; as the
    # kernel takes it, the first column of ``Sinks.tile`` it goes to
    column: np.ndarray


class Sinks(NamedTuple):
    """Where results go; an array of size 0 wants none of them."""

    tile: np.ndarray  # (N + I_read + 1 + n_targets, n_columns) float64: sqrt(weight) [x; u - shift; 1; y - shift]
    shift: np.ndarray  # (I_read + n_targets,)
    outputs: np.ndarray  # (n, O)
    states: np.ndarray  # (n, N)
    records: np.ndarray  # (n_records, N + O)


class Work(NamedTuple):
    """State between calls and scratch, B = lanes (1 for a sequence)."""

    state: np.ndarray  # (2, N, B), or (2, stride) for a sequence; both calls begin and end with the state in [0]
    output: np.ndarray  # (O, B) outputs of the last step
    inputs: np.ndarray  # (I, B)
    root: np.ndarray  # lanes only: (B,) square roots of the weights of the last step that counted
    partial: np.ndarray  # (O, pack_size, B)
    doubles: np.ndarray  # lanes only: (2, B) float64, a row of the tile on its way and ``root``
    recent: np.ndarray  # sequence only: (pack_size, N_padded) states on their way to the tile
    lone_input: tuple = ()  # lanes only: (0,) if I is 1, for a kernel compiled for it
