"""Everything public that computes does so on a GPU too, on the stand-in: no estimator and no function is forgotten."""

import inspect
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone

import cells
import optim
import reservoir
from cells.passes.cell import Cell
from contracts import ESTIMATORS, METHODS, RECURRENT, every
from cuda_host import standin

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host"),
]
PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name) for package in (reservoir, cells) for name in package.__all__
}
# What the data's or the parameters' place decides alone; files and dictionaries, which are the processor's.
WITHOUT_DEVICE = {
    *("cells.Network", "cells.Stepper", "cells.TrainingResult", "cells.train", "cells.initial_theta", "cells.load"),
    "reservoir.ESNSearchCV",  # computes where its estimator does
    *("cells.from_state_dict", "cells.to_state_dict", "reservoir.load", "cells.AmbiguousTargetsWarning"),
}


def test_whatever_computes_takes_a_device():
    computing = {
        name: thing
        for name, thing in PUBLIC.items()
        if callable(thing)
        and name not in WITHOUT_DEVICE
        and not (inspect.isclass(thing) and issubclass(thing, Warning | Exception | Cell))
    }
    assert {name for name, thing in computing.items() if "device" not in inspect.signature(thing).parameters} == set()


@every(ESTIMATORS | RECURRENT)
def test_every_estimator_answers_there_what_it_answers_here(contract):
    X = np.random.default_rng(0).standard_normal((40, 2))
    model = contract.make()
    if "max_epochs" in model.get_params():
        model.set_params(max_epochs=2)
    expected = contract.answer(model.fit(*contract.arguments(X)), X)
    answers = []
    for order in standin.ORDERS[:2]:
        with standin.installed(order):
            there = clone(model).set_params(device="gpu").fit(*contract.arguments(X))
            answers.append(contract.answer(there, X))
    assert_allclose(answers[0], expected, rtol=1e-5, atol=1e-6)
    assert_array_equal(*answers)


def test_every_estimator_is_listed():
    listed = {type(contract.make()) for contract in (ESTIMATORS | RECURRENT).values()}
    public = {thing for thing in PUBLIC.values() if inspect.isclass(thing) and issubclass(thing, BaseEstimator)}
    # Held to the processor in cells/test_device_objective.py and in reservoir/test_device_runs.py.
    assert public - listed == {cells.CharRNN, reservoir.ESNSearchCV}


def test_every_method_is_listed():
    methods = {getattr(optim, name) for name in optim.__all__}
    assert {kind for kind in methods if hasattr(kind, "state_type")} == {type(method) for method in METHODS.values()}
