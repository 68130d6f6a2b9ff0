"""A cell over a ragged batch for tests: ours and the plain twin as functions of one vector, with their derivatives."""

from dataclasses import fields

import numpy as np
from numpy.testing import assert_allclose

from cells.passes.layer import Input, Layer, PassOptions
from cells.passes.memory import Memory
from cells.passes.parameters import ROWS_FOR_PANELS, Forms, Matrices
from cells.passes.rows import Rows
from cells.passes.time_loops import Clamp
from naive import cells as naive

# Two ways to one number: sums of at most some hundred terms near 1, activations off by 4 units in the last place, a few
# steps; of the largest number.
EXACT_RTOL = 1e-12

LENGTHS = (4, 2, 2, 1, 1)
I, H = 3, 5
# (n_in, n_units, lengths): one unit and step; a batch in panels; one row, more inputs than are fed; more units than one
# and two packs; many inputs in panels.
SIZES = [(1, 1, (1,)), (I, H, LENGTHS), (6, 9, (3,)), (4, 17, (2, 2, 1)), (1, 33, (2, 1, 1, 1)), (6, 9, LENGTHS)]


class Problem:
    """A cell over a ragged batch as one function F of one vector: its *point*, (theta, x, initial h, initial c).

    F's value is (outputs, final c). ``moved(v)`` is J v and ``pulled(u)`` is Jᵀ u at the point of the last call of F.
    """

    def __init__(self, cell, lengths=LENGTHS, dtype=np.float64, n_clamped=0, in_place=None):
        self.cell, self.lengths, self.dtype = cell, lengths, dtype
        self.rows = Rows(np.array(lengths))
        self.B, self.R, self.H = len(lengths), sum(lengths), cell.n_units
        C = self.H if cell.has_second_state else 0
        self.shapes = {"theta": (cell.n_params,), "x": (self.R, cell.n_in), "h": (self.B, self.H), "c": (self.B, C)}
        self.out_shapes = {"outputs": (self.R, self.H), "c": (self.B, C)}
        self.layer = Layer(cell, self.rows, dtype, Memory(), "layer")
        self.in_place = self.B < ROWS_FOR_PANELS if in_place is None else in_place
        self.clamp = Clamp(np.arange(n_clamped) * 3 % self.H, self.random((self.R, n_clamped), seed=99))

    def random(self, shape, seed=0):
        return np.random.default_rng(seed).standard_normal(shape).astype(self.dtype)

    @property
    def n(self):
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    @property
    def n_out(self):
        return sum(int(np.prod(shape)) for shape in self.out_shapes.values())

    def point(self, seed=0):
        """A random point; weights of a size that keeps the units off their bounds."""
        point = self.random(self.n, seed)
        point[: self.cell.n_params] *= 0.6
        return point

    @staticmethod
    def split(vector, shapes):
        """Views of the parts of a vector, by name."""
        parts, start = {}, 0
        for name, shape in shapes.items():
            stop = start + int(np.prod(shape))
            parts[name] = vector[start:stop].reshape(shape)
            start = stop
        return parts

    @staticmethod
    def join(*parts):
        return np.concatenate([np.ravel(part) for part in parts])

    def __call__(self, point, index=None):
        at = self.split(point, self.shapes)
        self.x = Input(at["x"]) if index is None else Input(at["x"][:0], 0, index)
        self.matrices = Matrices(self.cell, at["theta"], Forms(self.in_place))
        h = self.layer.forward(self.matrices, self.x, (at["h"], at["c"]), self.clamp)
        return self.join(h[self.B :], self.layer.tape.c[self.B + self.rows.last])

    def tangents(self, v, *, keeps_planes=True):
        """R of the tape."""
        V = self.split(v, self.shapes)
        direction = Matrices(self.cell, V["theta"], Forms(self.in_place))
        rx = None if self.x.index is not None else Input(V["x"])
        options = PassOptions(keeps_planes=keeps_planes)
        return self.layer.rforward(self.matrices, direction, rx, (V["h"], V["c"]), options)

    def moved(self, v, **options):
        r = self.tangents(v, **options)
        return self.join(r.h[self.B :], r.c[self.B + self.rows.last])

    def pulled(self, u, *, added=None, keeps_tape=True, limit=np.inf):
        U, options = self.split(u, self.out_shapes), PassOptions(limit=limit, keeps_tape=keeps_tape, keeps_planes=True)
        d = self.layer.backward(self.matrices, U["outputs"], (0.0, U["c"]), options, added=added)
        gradient = np.zeros(self.cell.n_params, self.dtype)
        self.layer.add_gradient(d.z, gradient)
        dx = self.layer.input_cotangent(self.matrices, d.z)
        return self.join(gradient, dx, d.h, d.c)

    # The same by the naive twin, which knows nothing of rows.

    def places(self):
        """Rows of each sequence, by the rule: all first steps, then all second steps, of those who have one."""
        order = [(t, i) for t in range(max(self.lengths)) for i, length in enumerate(self.lengths) if t < length]
        return [[row for row, (_, owner) in enumerate(order) if owner == i] for i in range(self.B)]

    def twin(self, point):
        at = self.split(point, self.shapes)
        choices = {f.name: getattr(self.cell, f.name) for f in fields(self.cell) if f.name not in ("n_in", "n_units")}
        p = dict(self.cell.views(at["theta"]))
        outputs, finals = np.zeros(self.out_shapes["outputs"], point.dtype), np.zeros_like(at["c"])
        for i, rows in enumerate(self.places()):
            c = at["c"][i] if self.cell.has_second_state else None
            name, units, values = type(self.cell).__name__, self.clamp.units, self.clamp.values[rows]
            outputs[rows], c = naive.run(name, choices, p, at["x"][rows], at["h"][i], c, units, values)
            if c is not None:
                finals[i] = c
        return self.join(outputs, finals)


def assert_near(found, expected, rtol):
    assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())
