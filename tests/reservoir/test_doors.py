"""What the drive kernels follow as an index or a size, and the check at the door that bounds it.

Kernels check nothing. For each of their arguments this names what a user's number becomes it, and feeds the check with
numbers that would lead outside.
"""

import numpy as np
import pytest
import scipy.sparse as sp

from estimator_data import endless
from reservoir import ESNForecaster, ESNRegressor
from reservoir.drive.arguments import Data, Graph, Plan, Readout, Sinks, Units, Work
from reservoir.graph.matrix import Shifts

X = np.random.default_rng(0).standard_normal((40, 2))
Y = X[:, 0].copy()
HUGE = (2**31, 2**63, 10**30, -1)


def regressor(**changed):
    return ESNRegressor(**{"n_units": 20, "in_degree": 5, "random_state": 0, **changed})


def fit(**changed):
    return regressor(**changed).fit(X, Y)


def with_bad(name, values):
    """Three units, one of the arrays of whose CSR is put out of bounds."""
    W = sp.csr_array(np.eye(3))
    setattr(W, name, np.array(values))
    return W


def predict(**keywords):
    return fit().predict(X, **keywords)


def forecast(n_steps):
    return ESNForecaster(n_units=20, washout=5, random_state=0).fit(X).forecast(n_steps)


BAD_LENGTHS = ([2**62] * 4 + [40], [2**63 - 1, 2**63 - 1, 42], [10**30, 40], [50, -10], [0, 40], [41], [39], endless(2))
BAD_STATES = (np.zeros(21), np.zeros((2, 20)), np.zeros((0, 20)), np.full(20, np.nan), endless(1))

DOORS = {
    "Graph.pointers": [
        ("topology", lambda bad=bad: fit(n_units=3, topology=with_bad("indptr", bad)))
        for bad in ([0, 1, 2, 10**6], [0, 3, 1, 3], [0, -5, 1, 3], [1, 1, 2, 3])
    ],
    "Graph.indices": [
        ("topology", lambda bad=bad: fit(n_units=3, topology=with_bad("indices", bad)))
        for bad in ([0, 1, 3], [0, 1, -1], [0, 1, 2**40])
    ],
    "Graph.weights": [("in_degree", lambda bad=bad: fit(in_degree=bad)) for bad in (0, -1, 2**63, 10**30)],
    "Graph.shifts": [
        ("topology", lambda bad=bad: fit(n_units=3, topology=Shifts(np.array(bad), np.ones((2, 3)))))
        for bad in ([0, 3], [-1, 1], [1, 1], [1, 2**62])
    ],
    "Units.input_weights": [("X has", lambda bad=bad: fit().predict(np.zeros((5, bad)))) for bad in (1, 3)],
    "Units.bias": [("n_units", lambda bad=bad: fit(n_units=bad)) for bad in (0, *HUGE)],
    "Units.leak": [("leak_rate", lambda bad=bad: fit(leak_rate=np.ones(bad))) for bad in (0, 19, 21)],
    "Data.rows": [("n_steps", lambda bad=bad: forecast(bad)) for bad in (0, -1, 2**63, 10**30)],
    "Data.targets": [("y", lambda bad=bad: regressor().fit(X, np.zeros(bad))) for bad in ((39,), (41, 1), (40, 1, 1))],
    "Data.roots": [
        ("sample_weight", lambda bad=bad: regressor().fit(X, Y, sample_weight=np.ones(bad)))
        for bad in (39, 41, (40, 2))
    ],
    "Data.initial": [("initial_state", lambda bad=bad: predict(initial_state=bad)) for bad in BAD_STATES],
    "Plan.row": [("lengths", lambda bad=bad: predict(lengths=bad)) for bad in BAD_LENGTHS],
    "Plan.start": [
        ("groups", lambda bad=bad: predict(groups=bad)) for bad in ([0] * 39, [0] * 41, [0, 1] * 20, [np.nan] * 40)
    ],
    "Plan.kept": [("washout", lambda bad=bad: fit(washout=bad)) for bad in (40, 2**63, 10**30, -1)],
}
# Sized by the function above the kernel from what has passed the doors.
INNER = {
    *("Graph.unrolled", "Units.is_leaky", "Readout.coef", "Readout.input_coef", "Readout.offset", "Readout.fed"),
    *("Plan.record", "Plan.column"),
    *(f"Sinks.{name}" for name in Sinks._fields),
    *(f"Work.{name}" for name in Work._fields),
}


def test_every_argument_of_the_drive_kernels_has_a_door():
    kinds = (Graph, Units, Readout, Data, Plan, Sinks, Work)
    arguments = {f"{kind.__name__}.{name}" for kind in kinds for name in kind._fields}
    assert arguments == DOORS.keys() | INNER


@pytest.mark.parametrize(
    ("name", "call"),
    [pytest.param(*case, id=f"{argument}-{i}") for argument, cases in DOORS.items() for i, case in enumerate(cases)],
)
def test_a_number_that_would_lead_outside_stops_at_its_door(name, call):
    with pytest.raises((ValueError, TypeError), match=f"^{name}"):
        call()
