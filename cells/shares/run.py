"""A network over the rows of a batch: forward, backward and R-forward through its layers and its readout.

Its states before the first step are given, learnt or 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cells.network import Network
from cells.passes.feed import Feed
from cells.passes.layer import PLAIN, Input, Layer, PassOptions
from cells.passes.memory import Memory
from cells.passes.outputs import add_read_out, add_readout_gradient, read_back, read_out
from cells.passes.parameters import Parameters, Readout
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp, Tape
from cells.shares.portion import Portion

States = list[tuple[Any, Any]]  # h and c of every part: (B, H) arrays, or scalars


class Run:
    """One pass of a network over a batch, or over a stretch of its steps.

    Parameters
    ----------
    network : Network
    rows : Rows
        Of the stretch.
    dtype : numpy dtype
    memory : Memory
        Where arrays are taken from; runs that are alive at the same time need memories of their own.
    n_continuing : int
        The first so many sequences go on after this stretch: with ``targets="last"`` they have no output here.

    Notes
    -----
    What forward and backward passes write to arrays is written by ``options.do``, unless the network has two
    directions: reversals are not.
    """

    def __init__(self, network: Network, rows: Rows, dtype: Any, memory: Memory, n_continuing: int = 0) -> None:
        self.network, self.rows, self.dtype, self.memory = network, rows, dtype, memory
        self.n_continuing, self.parts = n_continuing, network.parts
        self.layers = [Layer(part.cell, rows, dtype, memory, part.name, part.start) for part in self.parts]
        self._members = [
            [k for k, part in enumerate(self.parts) if part.layer == layer] for layer in range(len(network.layers))
        ]
        self._no_clamp = Clamp(np.empty(0, np.int64), np.empty((rows.n_rows, 0), dtype))
        self._nothing = np.empty((0, 0), dtype)

    @property
    def n_outputs(self) -> int:
        """Number of output rows."""
        return self.rows.n_rows if self.network.targets == "all" else self.rows.n_sequences - self.n_continuing

    def forward(
        self,
        parameters: Parameters,
        x: Input,
        initial: States,
        clamp: Clamp | None = None,
        options: PassOptions = PLAIN,
    ) -> np.ndarray:
        """Outputs (n_outputs, O) before any nonlinearity; ``clamp`` holds units of the first cell."""
        outputs = self.memory.lend("outputs", (self.n_outputs, self.network.n_out), self.dtype)

        def read_rows(rows: slice, features: Input) -> None:
            self._read_out(options.do, parameters.readout, features, outputs, rows)

        below = x
        for layer, members in enumerate(self._members):
            then = read_rows if self._reads_block_by_block and members == self._members[-1] else None
            for k in members:
                mine = self._reversed(below, f"{self.parts[k].name}.x") if self.parts[k].is_reversed else below
                held = clamp if k == 0 and clamp is not None else self._no_clamp
                self.layers[k].forward(parameters.matrices[k], mine, initial[k], held, options, then=then)
            below = self._joined([self.layers[k].tape.h for k in members], f"layer{layer}.joined")
        top = [self.layers[k].tape.h for k in self._members[-1]]
        self.features = self._features(options.do, top, below, "features")
        if not self._reads_block_by_block:
            read_rows(slice(0, self.n_outputs), self.features)
        return outputs

    def rforward(
        self, parameters: Parameters, direction: Parameters, initial: States, options: PassOptions = PLAIN
    ) -> tuple[np.ndarray, list[Tape]]:
        """Directional derivatives of the outputs and of the tapes; ``initial`` are those of the initial states.

        Unless ``options.keeps_planes`` only h and c of the tapes are of use.
        """
        tapes: list[Tape] = []
        rbelow: Input | None = None
        routputs = self.memory.lend("routputs", (self.n_outputs, self.network.n_out), self.dtype)

        def read_rows(rows: slice, rfeatures: Input) -> None:
            self._read_out(options.do, direction.readout, self.features, routputs, rows)
            matrix, columns = parameters.readout.panels, parameters.readout.columns
            add_read_out(rfeatures.array, rfeatures.first + rows.start, matrix, columns, routputs[rows])

        for layer, members in enumerate(self._members):
            then = read_rows if self._reads_block_by_block and members == self._members[-1] else None
            for k in members:
                rx = rbelow
                if rx is not None and self.parts[k].is_reversed:
                    rx = self._reversed(rx, f"{self.parts[k].name}.rx")
                of = parameters.matrices[k], direction.matrices[k]
                tapes.append(self.layers[k].rforward(*of, rx, initial[k], options, then=then))
            rbelow = self._joined([tapes[k].h for k in members], f"layer{layer}.rjoined")
        if not self._reads_block_by_block:
            top = [tapes[k].h for k in self._members[-1]]
            read_rows(slice(0, self.n_outputs), self._features(options.do, top, rbelow, "rfeatures"))
        return routputs, tapes

    def backward(
        self,
        parameters: Parameters,
        doutputs: np.ndarray,
        gradient: np.ndarray,
        options: PassOptions = PLAIN,
        *,
        final: States | None = None,
        added: Sequence[np.ndarray] | None = None,
    ) -> States:
        """Add the gradient (P,) and return the derivatives by the initial states.

        Parameters
        ----------
        doutputs : (n_outputs, O)
            Derivatives by the outputs.
        final : States, optional
            Derivatives by the final states.
        added : list of (R, Z) arrays, optional
            Added to the derivatives by the planes of each part.
        """
        back: Callable[[slice], np.ndarray]
        feed = parameters.readout.feed(doutputs)
        back = functools.partial(self._read_out_backward, options, parameters.readout, feed, doutputs, gradient)
        dfeatures = back if self._reads_block_by_block else back(slice(0, self.n_outputs))
        from_above: Any = dfeatures if self.network.targets == "all" else None
        initial: States = [(0.0, 0.0)] * len(self.parts)
        self.planes: list[np.ndarray] = [self._nothing] * len(self.parts)
        for layer in range(len(self.network.layers) - 1, -1, -1):
            of_layer = replace(options, keeps_planes=True) if layer > 0 else options  # dx is a product with all of dz
            dbelow = None
            for place, k in enumerate(self._members[layer]):
                part, run = self.parts[k], self.layers[k]
                H = part.cell.n_units
                mine = slice(place * H, (place + 1) * H)
                douts, (dh, dc) = self._nothing, (0.0, 0.0) if final is None else final[k]
                if from_above is not None:
                    douts = from_above
                    if self.network.bidirectional:
                        douts = np.ascontiguousarray(from_above[:, mine])
                    if part.is_reversed:
                        douts = douts[self.rows.reversed]
                elif layer == len(self.network.layers) - 1:
                    dh = self._added_to(options, dh, dfeatures[:, mine], f"{part.name}.dh_last")
                d = run.backward(
                    *(parameters.matrices[k], douts, (dh, dc), of_layer),
                    gradient=gradient,
                    feed=feed if from_above is back else None,
                    added=None if added is None else added[k],
                )
                self.planes[k] = d.z
                initial[k] = (d.h, d.c)
                if layer > 0:
                    dx = run.input_cotangent(parameters.matrices[k], d.z, options)
                    dx = dx[self.rows.reversed] if part.is_reversed else dx
                    dbelow = dx if dbelow is None else dbelow + dx
            from_above = dbelow
        return initial

    # ------------------------------------------------------------------------------------------------ the readout

    def add_readout_gradient(
        self, readout: Readout, features: Input, doutputs: np.ndarray, gradient: np.ndarray, options: PassOptions
    ) -> None:
        """Add the gradient by the readout, of rows that it has read, to ``gradient`` (P,)."""
        start = gradient.size - (self.network.n_features + 1) * self.network.n_out
        dcolumns = (options.scratch or self.memory).lend("dcolumns", readout.columns.shape, self.dtype)
        of = features.array, features.first, doutputs
        options.do(add_readout_gradient, *of, gradient, start, dcolumns, self.layers[0].panel(options))

    @property
    def _reads_block_by_block(self) -> bool:
        """Whether the readout can follow the top layer through time, whose states then are still in the cache."""
        return self.network.targets == "all" and not self.network.bidirectional

    def _features(self, do: Callable, states: Sequence[np.ndarray], joined: Input, name: str) -> Input:
        """What the readout reads: rows of the top layer's states at all steps, or after the last."""
        if self.network.targets == "all":
            return joined
        last = (self.rows.n_sequences + self.rows.last)[self.n_continuing :]
        features = self.memory.lend(name, (last.size, self.network.n_features), self.dtype)
        if len(states) == 1:
            do(np.take, states[0], last, 0, features)
        else:
            np.concatenate([h[last] for h in states], axis=1, out=features)
        return Input(features)

    def _read_out(self, do: Callable, of: Readout, features: Input, outputs: np.ndarray, rows: slice) -> None:
        """Write these rows of the outputs."""
        do(read_out, features.array, features.first + rows.start, of.panels, of.columns, of.bias, outputs[rows])

    def _read_out_backward(
        self,
        options: PassOptions,
        readout: Readout,
        feed: Feed,
        doutputs: np.ndarray,
        gradient: np.ndarray,
        rows: slice,
    ) -> np.ndarray:
        """Add these rows' gradient; derivatives by their features until the next call, or nothing if steps are fed."""
        features = self.features._replace(first=self.features.first + rows.start)
        self.add_readout_gradient(readout, features, doutputs[rows], gradient, options)
        if self._reads_block_by_block and feed.matrix.size > 0:
            return self._nothing  # the steps take them from the feed
        shape = rows.stop - rows.start, self.network.n_features
        dfeatures = (options.scratch or self.memory).lend("dfeatures", shape, self.dtype)
        options.do(read_back, feed._replace(first=rows.start), doutputs[rows], readout.back, dfeatures)
        return dfeatures

    def _added_to(self, options: PassOptions, final: Any, ended: np.ndarray, name: str) -> np.ndarray:
        """``final`` (B, H), or a scalar, plus ``ended`` for the sequences that end here."""
        shape, m = (self.rows.n_sequences, ended.shape[1]), self.n_continuing
        dh = (options.scratch or self.memory).lend(name, shape, self.dtype)
        options.do(np.copyto, dh, final)
        options.do(np.add, dh[m:], ended, dh[m:])
        return dh

    # ------------------------------------------------------------------------------------------------ between layers

    def _reversed(self, x: Input, name: str) -> Input:
        """The same input as the backward direction meets it."""
        if x.index is not None:
            return Input(x.array, 0, x.index[self.rows.reversed])
        turned = self.memory.lend(name, (self.rows.n_rows, x.array.shape[1]), self.dtype)
        np.take(x.array, x.first + self.rows.reversed, axis=0, out=turned)
        return Input(turned)

    def _joined(self, states: Sequence[np.ndarray], name: str) -> Input:
        """Rows of the states of both directions side by side, in the order of time."""
        B, R = self.rows.n_sequences, self.rows.n_rows
        if len(states) == 1:
            return Input(states[0], B)
        H = states[0].shape[1]
        joined = self.memory.lend(name, (R, 2 * H), self.dtype)
        joined[:, :H] = states[0][B:]
        joined[:, H:] = states[1][B + self.rows.reversed]
        return Input(joined)


# ------------------------------------------------------------------------------------------------------ initial states


def initial_states(parameters: Parameters, data: Portion) -> States:
    """States before the first step: those learnt, or 0, and of the first cell's units those given."""
    states, (units, values) = list(parameters.initial), data.given
    if units.size:
        learnt, c = states[0]
        h = np.zeros((data.rows.n_sequences, parameters.network.layers[0].n_units), values.dtype)
        h += learnt
        h[:, units] = values
        states[0] = (h, c)
    return states


def initial_tangents(direction: Parameters, data: Portion) -> States:
    """Their derivatives along a direction: of units that are given, 0."""
    states, (units, _) = list(direction.initial), data.given
    if units.size and np.ndim(states[0][0]):
        h = states[0][0].copy()
        h[units] = 0.0
        states[0] = (h, states[0][1])
    return states


def add_initial_gradient(network: Network, initial: States, gradient: np.ndarray, units: np.ndarray) -> None:
    """Add to ``gradient`` (P,) what the derivatives by the initial states give those learnt.

    ``initial`` holds h and c of every part, a row for each sequence that begins with them; h is overwritten at the
    first cell's ``units``, whose states are given.
    """
    if not network.learn_initial_state:
        return
    views = network.views(gradient)
    for k, (part, (dh, dc)) in enumerate(zip(network.parts, initial, strict=True)):
        if k == 0:
            dh[:, units] = 0.0
        views[f"{part.name}.initial_h"] += dh.sum(axis=0)
        if part.cell.has_second_state:
            views[f"{part.name}.initial_c"] += dc.sum(axis=0)
