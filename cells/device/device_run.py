"""A network over a portion of data on a device: forward, backward and R-forward through its layers and its readout.

What :mod:`cells.shares.run` and :mod:`cells.shares.share` do on the processor, for the arrays of any namespace and
every cell whose steps can be read as array code.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from cells.device.device_layer import DeviceLayer
from cells.device.device_losses import Answers, loss_sum, output_cotangents, predictions_of, times_curvature
from cells.device.device_matrices import DeviceMatrices
from cells.device.device_places import Held, Places
from cells.device.one_hot import OneHot
from cells.network import Network
from cells.passes.cell import layout
from cells.passes.time_loops import Tape
from cells.shares.portion import Portion
from cells.shares.share import ShareOptions
from optim.device import check_room

States = list[tuple[Any, Any]]  # h and c of every part, or scalars


class DeviceParameters:
    """theta, or a direction, by part and by name.

    Parameters
    ----------
    network : Network
    theta : (P,) array on the device
    """

    def __init__(self, network: Network, theta: Any) -> None:
        self.network, self.dtype, views = network, theta.dtype, network.views(theta)
        self.matrices = [DeviceMatrices(part.cell, theta[part.parameters]) for part in network.parts]
        self.readout = views["readout.weights"], views["readout.bias"]
        self.initial = [
            (views.get(f"{part.name}.initial_h", 0.0), views.get(f"{part.name}.initial_c", 0.0))
            for part in network.parts
        ]


def bytes_of_a_step(network: Network, dtype: Any, *, by_index: bool) -> int:
    """What planes and states of a pass, of its derivative and of what goes back take for a step of one sequence."""
    width = network.n_out + (1 if by_index else network.n_in)
    for part in network.parts:
        place = layout(part.cell)
        width += 2 * (place.n_columns + place.n_kept) + 4 * part.cell.n_units
    return 2 * width * np.dtype(dtype).itemsize


class DeviceRun:
    """A network over one portion of data; after :meth:`forward` with its states.

    Parameters
    ----------
    network : Network
    data : Portion
        In the memory of the host.
    options : ShareOptions
    xp : module
        Of the arrays that everything is moved to.
    """

    def __init__(self, network: Network, data: Portion, options: ShareOptions, xp: ModuleType) -> None:
        self.network, self.data, self.options, self.xp, self.dtype = network, data, options, xp, options.dtype
        self._check_room()
        self.places = Places(data.rows, xp)
        self.layers = [DeviceLayer(part.cell, self.places, options.dtype) for part in network.parts]
        self.is_learnt = None
        self.held = Held(data.clamp.units.tolist(), xp.asarray(data.clamp.values))
        self.nobody = Held((), None)
        units, values = data.given
        self.given = units.tolist(), xp.asarray(values)
        has_answers = data.targets.size or data.labels.size
        self.answers = Answers.of(data, network.n_out, xp) if has_answers else None
        index = data.x.index
        self.x = xp.asarray(data.x.array, dtype=options.dtype)
        if index is not None:
            self.x = OneHot(xp.asarray(index), network.n_in, options.dtype, xp)

    def _check_room(self) -> None:
        """Raise unless the passes have room."""
        n_rows = self.data.rows.n_rows
        n_bytes = n_rows * bytes_of_a_step(self.network, self.dtype, by_index=self.data.x.index is not None)
        what = f"{n_rows} steps of {self.network.n_params} parameters"
        check_room(n_bytes, what, remedy="use fewer or shorter sequences at a time, or device='cpu'")

    # ------------------------------------------------------------------------------------------- what is asked

    def loss(self, parameters: DeviceParameters, initial: States | None = None) -> float:
        """Sum of the losses, from the network's initial states or those given; kept as ``loss_sum``."""
        outputs = self.forward(parameters, initial)
        self.loss_sum = loss_sum(self.xp, self.network.loss, outputs, self.answers)
        return self.loss_sum

    def gradient(self, parameters: DeviceParameters, is_learnt: np.ndarray | None = None) -> Any:
        """(P,) of the loss, after :meth:`loss` with the same parameters.

        ``is_learnt`` (B,) bool says which sequences start from the states that are learnt; all by default.
        """
        self.is_learnt = None if is_learnt is None else self.xp.asarray(is_learnt.astype(self.dtype)[:, None])
        return self.backward(parameters, output_cotangents(self.xp, self.predictions, self.answers))

    def gauss_newton(self, parameters: DeviceParameters, direction: DeviceParameters, structural: float) -> Any:
        """(P,) Jᵀ H J v: J of the outputs and, if ``structural`` is not 0, of the planes."""
        Ro, Ra = self.rforward(parameters, direction)
        HRo = times_curvature(self.xp, self.network.loss, self.predictions, self.answers, Ro)
        added = None
        if structural != 0.0:  # exact: zero switches it off
            factors = np.full(self.data.rows.n_rows, structural, self.dtype)
            if self.options.is_mean_over_time:
                factors *= (1.0 / self.data.lengths[self.data.rows.sequence]).astype(self.dtype)
            factors = self.xp.asarray(factors)
            added = [layer.damp(r, self.options.distance, factors) for layer, r in zip(self.layers, Ra, strict=True)]
        return self.backward(parameters, HRo, added=added, limit=np.inf)

    def squared_gradients(self, parameters: DeviceParameters) -> Any:
        """(P,) sum over the sequences of the squares of each one's gradient, after :meth:`loss`."""
        doutputs = output_cotangents(self.xp, self.predictions, self.answers)
        self.backward(parameters, doutputs)
        first, squares = self.data.rows.first, self.xp.zeros_like(self.gradient_of_all)
        for i, length in enumerate(self.data.rows.lengths):
            steps = self.xp.asarray(first[:length] + i)
            alone = self._gradient(doutputs, slice(i, i + 1), steps)
            squares += alone * alone
        return squares

    # ------------------------------------------------------------------------------------------------- passes

    def forward(self, parameters: DeviceParameters, initial: States | None = None) -> Any:
        """Outputs (n_outputs, O) before any nonlinearity."""
        initial = self._initial(parameters) if initial is None else initial
        below = self.x
        for members in self._members:
            for k in members:
                x = below[self.places.reversed] if self._is_reversed(k) else below
                self.layers[k].forward(parameters.matrices[k], x, initial[k], self.held if k == 0 else self.nobody)
            below = self._joined([self.layers[k].tape.h for k in members])
        self.top = below  # (R, F) states of the uppermost layer, both directions in the order of time
        self.features = self._features([layer.tape for layer in self.layers], below)
        weights, bias = parameters.readout
        outputs = self.features @ weights + bias
        self.predictions = predictions_of(self.xp, self.network.loss, outputs)
        return outputs

    def rforward(self, parameters: DeviceParameters, direction: DeviceParameters) -> tuple[Any, list[Tape]]:
        """Directional derivatives of the outputs and of the tapes."""
        tapes: list[Tape] = []
        initial, rbelow = self._initial_tangents(direction), None
        for members in self._members:
            for k in members:
                rx = rbelow[self.places.reversed] if rbelow is not None and self._is_reversed(k) else rbelow
                tapes.append(self.layers[k].rforward(direction.matrices[k], rx, initial[k]))
            rbelow = self._joined([tapes[k].h for k in members])
        (V, v), (weights, _) = direction.readout, parameters.readout
        return self.features @ V + v + self._features(tapes, rbelow) @ weights, tapes

    def backward(
        self, parameters: DeviceParameters, doutputs: Any, *, added: list[Any] | None = None, limit: float | None = None
    ) -> Any:
        """(P,) gradient from the derivatives by the outputs, ``added`` to those by the planes."""
        limit = self.options.limit if limit is None else limit
        dfeatures = doutputs @ parameters.readout[0].T
        from_above = dfeatures if self.network.targets == "all" else None
        self.cotangents: list[Any] = [None] * len(self.layers)
        for layer in range(len(self._members) - 1, -1, -1):
            dbelow = None
            for place, k in enumerate(self._members[layer]):
                H = self.network.parts[k].cell.n_units
                mine, outputs, dh = slice(place * H, (place + 1) * H), None, 0.0
                if from_above is not None:
                    outputs = from_above[:, mine]
                    outputs = outputs[self.places.reversed] if self._is_reversed(k) else outputs
                elif layer == len(self._members) - 1:
                    dh = dfeatures[:, mine]
                more = None if added is None else added[k]
                self.cotangents[k] = self.layers[k].backward(outputs, (dh, 0.0), limit=limit, added=more)
                if layer > 0:
                    dx = self.layers[k].input_cotangent(self.cotangents[k].z)
                    dx = dx[self.places.reversed] if self._is_reversed(k) else dx
                    dbelow = dx if dbelow is None else dbelow + dx
            from_above = dbelow
        self.gradient_of_all = self._gradient(doutputs, slice(None), slice(None))
        return self.gradient_of_all

    def final(self, n_steps: int | None = None) -> Any:
        """(B, S) states after each sequence, or so many steps of it, as :mod:`cells.shares.carried` orders them."""
        rows, parts = self.data.rows, []
        last = rows.n_sequences + rows.last
        if n_steps is not None:
            sequences = np.arange(rows.n_sequences)
            earlier = rows.n_sequences + rows.first[np.minimum(rows.lengths, n_steps) - 1] + sequences
            last = sequences if n_steps == 0 else earlier
        last = self.xp.asarray(last)
        for layer in self.layers:
            parts += [layer.tape.h[last], *([layer.tape.c[last]] if layer.tape.c.shape[1] else [])]
        return self.xp.concatenate(parts, axis=1)

    # ---------------------------------------------------------------------------------------------- parts of them

    def _gradient(self, doutputs: Any, sequences: slice, rows: Any) -> Any:
        """(P,) what these sequences, whose steps are these rows, give of the gradient."""
        network = self.network
        gradient = self.xp.zeros(network.n_params, self.dtype)
        views, outputs = network.views(gradient), rows if network.targets == "all" else sequences
        for k, (part, layer, d) in enumerate(zip(network.parts, self.layers, self.cotangents, strict=True)):
            layer.add_gradient(d.z, gradient[part.parameters], rows)
            if network.learn_initial_state:
                begun = 1.0 if self.is_learnt is None else self.is_learnt[sequences]
                dh = (d.h[sequences] * begun).sum(axis=0)
                for unit in self.given[0] if k == 0 else ():
                    dh[unit] = 0.0
                views[f"{part.name}.initial_h"][...] = dh
                if part.cell.has_second_state:
                    views[f"{part.name}.initial_c"][...] = (d.c[sequences] * begun).sum(axis=0)
        views["readout.weights"][...] = self.features[outputs].T @ doutputs[outputs]
        views["readout.bias"][...] = doutputs[outputs].sum(axis=0)
        return gradient

    @property
    def _members(self) -> list[list[int]]:
        """Numbers of the parts of every layer."""
        n = self.network.n_directions
        return [list(range(n * layer, n * layer + n)) for layer in range(len(self.network.layers))]

    def _is_reversed(self, k: int) -> bool:
        return self.network.parts[k].is_reversed

    def _initial(self, parameters: DeviceParameters) -> States:
        """States before the first step: those learnt, or 0, and of the first cell's units those given."""
        states, (units, values) = list(parameters.initial), self.given
        if units:
            h = self.xp.zeros((self.data.rows.n_sequences, self.network.layers[0].n_units), self.dtype)
            h += states[0][0]
            for k, unit in enumerate(units):
                h[:, unit] = values[:, k]
            states[0] = h, states[0][1]
        return states

    def _initial_tangents(self, direction: DeviceParameters) -> States:
        states, (units, _) = list(direction.initial), self.given
        if units and self.network.learn_initial_state:
            Rh = states[0][0].copy()
            for unit in units:
                Rh[unit] = 0.0
            states[0] = Rh, states[0][1]
        return states

    def _joined(self, states: list[Any]) -> Any:
        """(R, F) states of both directions side by side, in the order of time."""
        B = self.data.rows.n_sequences
        if len(states) == 1:
            return states[0][B:]
        return self.xp.concatenate([states[0][B:], states[1][B:][self.places.reversed]], axis=1)

    def _features(self, tapes: list[Tape], joined: Any) -> Any:
        """What the readout reads: the uppermost states at all steps, or after the last."""
        if self.network.targets == "all":
            return joined
        last = self.data.rows.n_sequences + self.places.last
        return self.xp.concatenate([tapes[k].h[last] for k in self._members[-1]], axis=1)
