"""Every array of integers that a kernel takes may be followed as an index: which check bounds it, fed with bad values.

The list cannot be incomplete: it is held against the types with which the kernels have been compiled. What the drive
kernels take is traced in ``test_doors.py``.
"""

import importlib
import pkgutil
from dataclasses import dataclass

import numpy as np
import pytest
from numba import types
from numba.core.dispatcher import Dispatcher

import cells
import reservoir
from cells import GRU, LSTM, ForgetGate, Network, SequenceObjective, Stepper, TruncatedObjective, initial_theta, predict
from cells.passes.cell import Map
from reservoir import ESNRegressor
from reservoir.drive.arguments import Graph, Plan

pytestmark = pytest.mark.compiled

TOKENS, LABELS = [np.array([0, 1, 3]), np.array([2])], [np.array([0, 1, 1]), np.array([0])]


def network(loss="softmax", n_in=4, **more):
    return Network(LSTM(n_in, 3, has_peepholes=True), n_out=2, loss=loss, **more)


def theta_of(net):
    return initial_theta(net, rng=np.random.default_rng(0))


def objective(X=TOKENS, y=LABELS, **more):
    return SequenceObjective(network(), X, y, **more)


@dataclass(frozen=True)
class TooWide(ForgetGate):
    """A cell whose recurrent map goes beyond the columns that it has."""

    column: int = 1
    source_column: int = 0

    @property
    def maps(self):
        H = self.n_units
        wide = Map("recurrent", "h", self.column, 2 * H, source_width=H, source_column=self.source_column)
        return tuple(wide if map_.name == "recurrent" else map_ for map_ in super().maps)


CLAMPS = [np.zeros((3, 1)), np.zeros((1, 1))]
BATCHES = ([2], [-3], [10**9], [2**63], [0.5], [], [[0]])


# Argument of a kernel -> what the message names, and calls with numbers that would lead outside.
DOORS = {
    "index": [
        *(("X", lambda bad=bad: objective(X=[np.array([0, 1, bad]), np.array([2])])) for bad in (4, -1, 10**9)),
        *(("X", lambda bad=bad: predict(network(), theta_of(network()), [np.array([bad])])) for bad in (4, -1, 10**9)),
        *(("x", lambda bad=bad: Stepper(network(), theta_of(network())).step(bad)) for bad in (4, -1, 10**9, 2**63)),
        ("x", lambda: Stepper(network(), theta_of(network()), n_sequences=2).step(np.array([1, 2, 3]))),
        *(
            ("X", lambda bad=bad: TruncatedObjective(network(), [np.array([0, bad])], [np.array([0, 1])], k1=1, k2=1))
            for bad in (4, -1)
        ),
    ],
    "labels": [("y", lambda bad=bad: objective(y=[np.array([0, 1, bad]), np.array([0])])) for bad in (2, -1, 10**9)],
    "clamp.units": [
        *(("clamped", lambda bad=bad: objective(clamped=([bad], CLAMPS))) for bad in (3, -1, 10**9)),
        *(("initial_state", lambda bad=bad: objective(initial_state=([bad], np.zeros((2, 1))))) for bad in (3, -1)),
    ],
    "first": [
        *(("lengths", lambda bad=bad: objective(lengths=bad)) for bad in ([2**62, 1], [3, -1], [0, 1], [4, 1])),
        *(("batch", lambda bad=bad: objective().value(theta_of(network()), bad)) for bad in BATCHES),
    ],
    "maps": [
        *(("maps", lambda bad=bad: Network(TooWide(2, 3, column=bad), n_out=1)) for bad in (1, -1, 10**9)),
        *(("maps", lambda bad=bad: Network(TooWide(2, 3, column=0, source_column=bad), n_out=1)) for bad in (1, -1)),
    ],
}
# Made by the functions above the kernels, of what has passed the doors.
INNER = {
    "spans": "rows of a batch, from the checked lengths: cells.passes.rows",
    "column": "where the next tile begins: one number that the kernel itself counts up",
    "sources": "CSR of a topology, checked as Graph.indices is",
    "starts": "CSR of a topology, checked as Graph.pointers is",
    "offsets": "of the sequences, from the checked lengths",
    "numbers": "a step of Plan.start",
    "breaks": "between folds, from the number of rows",
}


def used():
    """Calls that start every kernel of the packages which takes integers."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 1))
    for topology in ("sparse", "shifts"):
        model = ESNRegressor(12, topology=topology, washout=2, random_state=0).fit(X, X)
        for rows in (X, X[:9], list(X.reshape(30, 10, 1))):
            model.predict(rows)
    ESNRegressor(12, random_state=0).fit(list(X.reshape(30, 10, 1)), list(X.reshape(30, 10, 1)))
    ESNRegressor(1000, random_state=0).fit(X, X)
    for made in (
        objective(clamped=([0], CLAMPS), initial_state=([1], np.zeros((2, 1)))),
        SequenceObjective(Network(GRU(2, 3), n_out=1), np.zeros((2, 3, 2)), np.zeros((2, 3, 1))),
    ):
        theta = theta_of(made.network)
        made.value_and_grad(theta)
        made.linearize(theta).gauss_newton(theta, structural=0.1)


def integer_arrays(kind, name):
    """Names of the integer arrays in an argument of this type, as ``graph.indices``."""
    if isinstance(kind, types.Array) and isinstance(kind.dtype, types.Integer):
        yield name
    elif isinstance(kind, types.BaseNamedTuple):
        for field, inner in zip(kind.fields, kind, strict=True):
            yield from integer_arrays(inner, f"{name}.{field}")
    elif isinstance(kind, types.BaseTuple):
        for inner in kind:
            yield from integer_arrays(inner, name)


def kernels():
    for package in (reservoir, cells):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for kernel in vars(module).values():
                if isinstance(kernel, Dispatcher) and kernel.__module__ == module.__name__:
                    yield kernel


def test_every_integer_array_that_a_kernel_takes_is_in_the_list():
    used()
    taken = set()
    for kernel in kernels():
        if kernel.__module__.endswith(".plan"):
            continue  # lanes are dealt there, all of it from the offsets of the sequences
        names = kernel.py_func.__code__.co_varnames
        for signature in kernel.signatures:
            taken |= {path for name, kind in zip(names, signature, strict=False) for path in integer_arrays(kind, name)}
    of_the_drive = {f"{kind.__name__.lower()}.{name}" for kind in (Graph, Plan) for name in kind._fields}
    unknown = {name for name in taken if name not in of_the_drive and name.partition(".")[0] not in INNER} - {*DOORS}
    assert not unknown and taken >= DOORS.keys()


@pytest.mark.parametrize(
    ("name", "call"),
    [pytest.param(*case, id=f"{argument}-{i}") for argument, cases in DOORS.items() for i, case in enumerate(cases)],
)
def test_a_number_that_would_lead_outside_stops_at_its_door(name, call):
    with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
        call()
