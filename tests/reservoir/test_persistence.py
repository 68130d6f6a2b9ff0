"""Estimators come back from every round trip with the same bits, and a file without code is all that is loaded."""

import io
import pickle
import tempfile
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import cells
import reservoir
from contracts import ESTIMATORS, every
from estimator_data import fitted, rows
from optim import load_checkpoint, save_checkpoint


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_cloudpickle(model):
    return pickle.loads(cloudpickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(io.BytesIO(file.getvalue()))


def through_a_file_without_code(model):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        model.save(path)
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype.kind != "O" for name in arrays.files)
        return reservoir.load(path)


def through_clone_and_fit(model):
    X = rows()
    contract = next(contract for contract in ESTIMATORS.values() if fitted(contract) is model)
    return clone(model).fit(*contract.arguments(X))


TRIPS = {
    function.__name__: function
    for function in (
        *(through_pickle, through_cloudpickle, through_joblib),
        *(through_a_file_without_code, through_clone_and_fit),
    )
}


@every(ESTIMATORS)
@pytest.mark.parametrize("trip", TRIPS.values(), ids=list(TRIPS))
def test_a_round_trip_answers_the_same_bits(contract, trip):
    model = fitted(contract)
    returned = trip(model)
    assert type(returned) is type(model)
    assert_array_equal(contract.answer(returned, rows(seed=1)), contract.answer(model, rows(seed=1)))
    assert repr(returned.get_params()) == repr(model.get_params())


@every(ESTIMATORS)
def test_a_saved_model_can_be_fitted_again(contract):
    again = through_a_file_without_code(fitted(contract)).fit(*contract.arguments(rows()))
    assert_array_equal(contract.answer(again, rows()), contract.answer(fitted(contract), rows()))


@every(ESTIMATORS)
def test_an_unfitted_model_is_not_saved(contract, tmp_path):
    with pytest.raises(NotFittedError):
        contract.make().save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


def test_a_file_that_needs_code_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError):
        reservoir.load(path)


def test_a_file_of_another_package_is_refused_with_who_opens_it(tmp_path):
    path = tmp_path / "other.npz"
    fitted(ESTIMATORS["regressor"]).save(path)
    for opener, name in ((cells.load, "cells.load"), (load_checkpoint, "optim.load_checkpoint")):
        with pytest.raises(ValueError, match=rf"for {name}, got .*other.npz.*'reservoir.load'; open it with that"):
            opener(path)
    save_checkpoint(path, {"theta": np.zeros(3)})
    with pytest.raises(ValueError, match=r"for reservoir.load, got .*'optim.load_checkpoint'"):
        reservoir.load(path)
