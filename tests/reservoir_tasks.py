"""Small reservoirs and tasks for the tests of runs: what each is asked for, and which way it is driven."""

import numpy as np

from reservoir.drive import plan
from reservoir.drive import routes as runs
from reservoir.drive.routes import Reader, drive
from reservoir.drive.task import Task
from reservoir.drive.weights import build_reservoir
from reservoir.readout.columns import TakesTiles

# What is left at a seam shrinks from there on; rounding adds some 1e-15 a step, which is forgotten too.
SEAM = {np.float64: {"rtol": 0, "atol": 1e-12}, np.float32: {"rtol": 0, "atol": 2e-6}}
# Sums of 8000 products of numbers near 1, in another order, of states known to 1e-12.
GRAM = {"rtol": 1e-10, "atol": 1e-9}
LONG = 8_000  # just enough to be cut, also where the forgetting is measured and two folds are asked for
N_UNITS = 12


def forgetful(**changed):
    """A reservoir of 12 units that forgets within some 50 steps."""
    settings = {"n_units": N_UNITS, "n_inputs": 2, "spectral_radius": 0.5, "in_degree": 4, "bias_scaling": 0.3}
    return build_reservoir(**{**settings, **changed}, rng=np.random.default_rng(0))


def task_for(reservoir, lengths=(LONG,), *, n_targets=0, seed=0, **fields):
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    rows = rng.standard_normal((n, reservoir.n_inputs + reservoir.n_feedback)).astype(reservoir.dtype)
    targets = rng.standard_normal((n, n_targets)).astype(reservoir.dtype) if n_targets else None
    shift = rng.standard_normal(reservoir.n_inputs + n_targets)
    fields = {"n_read": reservoir.n_inputs, "targets": targets, "shift": shift, **fields}
    return Task(rows, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), **fields)


def readout_for(reservoir, n_read, n_outputs=2):
    rng = np.random.default_rng(5)
    coef = rng.uniform(-1, 1, (n_outputs, reservoir.n_units + n_read)) / reservoir.n_units
    return {"coef": coef, "intercept": rng.uniform(-1, 1, n_outputs)}


def changed(task, **fields):
    return Task(**{**vars(task), **fields})


class Ways:
    """Counts by which way each drive goes; lanes, which small reservoirs are not worth, take no time to set up."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(plan, "SETTING_UP", 0.0)
        self.taken = []
        for name in ("InLanes", "OneByOne"):
            monkeypatch.setattr(runs, name, self._watched(name, getattr(runs, name)))

    def _watched(self, name, function):
        def watched(*args):
            self.taken.append("in lanes" if name == "InLanes" else "one by one")
            return function(*args)

        return watched


def one_by_one(monkeypatch, *args, **kwargs):
    """``drive`` by the kernel of one sequence alone."""
    with monkeypatch.context() as patch:
        patch.setattr(runs, "choose_lanes", lambda *_: None)
        return drive(*args, **kwargs)


def all_results(run):
    return [run.outputs, run.states, run.final]


def everything(reservoir, task, **readout):
    return {"wants_states": True, "wants_final": True, **(readout or readout_for(reservoir, task.n_read))}


class Tiles(TakesTiles):
    """The sum of the products of all tiles, how many there were, and their columns that count."""

    def __init__(self, constant):
        self.constant, self.n_tiles, self.n_rows = constant, 0, 0
        self.matrix = 0

    def add(self, tile, n_threads):
        self.n_tiles += 1
        self.n_rows += np.count_nonzero(tile[self.constant])
        self.matrix = self.matrix + tile @ tile.T


def sums(reservoir, task, n_folds=1, final=None):
    """Tiles of each fold."""
    return Reader(reservoir, task, n_folds).read(lambda: Tiles(reservoir.n_units + task.n_read), final)
