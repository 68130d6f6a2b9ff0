"""A loaded estimator is one that ``fit`` could have made, or the file is refused: no change to it reaches a kernel."""

import copy
import io
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import cells
import reservoir
from contracts import ESTIMATORS, RECURRENT
from estimator_data import rows

TEXT = "to be, or not to be: that is the question. " * 6


def fitted(contract, **parameters):
    return contract.make(**parameters).fit(*contract.arguments(rows()))


def in_two_parts(contract, **parameters):
    X = rows()
    model = contract.make(**parameters)
    for part in (slice(0, 90), slice(90, None)):
        model.partial_fit(X[part], contract.targets(X)[part])
    return model


def language(**parameters):
    return cells.CharRNN(6, n_steps=5, max_epochs=1, random_state=0, **parameters).fit(TEXT)


def of_sequences(kind, method, **parameters):
    """A model of six sequences with one answer each."""
    X, y = np.split(rows(60), 6), np.arange(6) % 2
    return getattr(kind(random_state=0, **SMALL, **parameters), method)(X, y)


SMALL = {"n_units": 12, "in_degree": 3}
FEW = {"n_units": 4, "max_epochs": 2}
MODELS = {
    "regressor": lambda: fitted(ESTIMATORS["regressor"], **SMALL, feedback_scaling=0.1),
    "regressor-float32": lambda: fitted(ESTIMATORS["regressor"], **SMALL, dtype=np.float32),
    "regressor-shifts": lambda: fitted(ESTIMATORS["regressor"], **SMALL, topology="shifts"),
    "regressor-scaled": lambda: fitted(ESTIMATORS["regressor"], **SMALL, standardize=True),
    "regressor-number-sums": lambda: in_two_parts(ESTIMATORS["regressor"], **SMALL, alpha=1e-6),
    "regressor-sums": lambda: in_two_parts(ESTIMATORS["regressor"], **SMALL),
    "regressor-qr-sums": lambda: in_two_parts(ESTIMATORS["regressor-qr"], **SMALL),
    "classifier": lambda: fitted(ESTIMATORS["classifier"], **SMALL),
    "classifier-pooled": lambda: of_sequences(reservoir.ESNClassifier, "fit", bidirectional=True),
    "regressor-pooled-sums": lambda: of_sequences(reservoir.ESNRegressor, "partial_fit"),
    "forecaster": lambda: fitted(ESTIMATORS["forecaster"], **SMALL, n_members=2),
    "transformer": lambda: fitted(ESTIMATORS["transformer"], **SMALL),
    "rnn-regressor": lambda: fitted(RECURRENT["rnn-regressor"], **FEW),
    "rnn-classifier": lambda: fitted(RECURRENT["rnn-classifier"], **FEW, n_layers=2, bidirectional=True),
    "language": language,
    "language-going-on": lambda: language(n_streams=1, cell="gru").partial_fit(TEXT),
}


@cache
def made(name):
    return MODELS[name]()


def answer(name, model):
    if name.startswith("language"):
        return model.log_probabilities_of(TEXT[:30])
    contract = (ESTIMATORS | RECURRENT)[name if name in RECURRENT else name.partition("-")[0]]
    return contract.answer(model, rows(40))


def goes_on(name, model):
    """What reads the rest of a fitted model: learning on."""
    if "sums" in name:
        model.partial_fit(rows(30), np.ones(30))
    if name == "language-going-on":
        model.partial_fit(TEXT[:40])


def opener(name):
    return cells.load if name in RECURRENT or name.startswith("language") else reservoir.load


def contents(path):
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.load(io.BytesIO(arrays.pop("header").tobytes())), arrays


def write(path, header, arrays):
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)


def changed_arrays(array):
    """Other shapes, other dtypes, and one number of it that is none, huge or negative."""
    yield from (array[..., None], array[None], array[:0], array[:-1], np.concatenate([array, array[-1:]]))
    if array.dtype.kind not in "biuf":
        return
    for dtype in (np.float32, np.float64, np.int32, np.int64, np.complex128, np.uint8, np.bool_):
        if dtype != array.dtype:
            yield array.astype(dtype)
    is_float = array.dtype.kind == "f"
    for value in (np.nan, np.inf, -np.inf, 1e7) if is_float else (-1, 0, 10**7, 2**31 - 1, 2**62):
        for place in {0, array.size // 2, array.size - 1} if array.size else ():
            other = array.copy()
            other.flat[place] = value if is_float else min(value, np.iinfo(array.dtype).max)
            yield other


# What stands in the place of a leaf.
OF_EACH_SORT = (None, 2**63, float("nan"), "relu", [2**62] * 3)
INSTEAD = (*OF_EACH_SORT, True, -1, 0, 3, 2**31, 10**30, 1.5, -1.5, "", [])


def changed_trees(tree, known=frozenset(), place=()):
    """Trees with one leaf replaced by something else, or one entry left out; ``known`` leaves by one of each sort."""
    if isinstance(tree, dict):
        for key in tree:
            yield {other: value for other, value in tree.items() if other != key}
    for key, value in entries(tree):
        for other in changed_trees(value, known, (*place, key)):
            changed = copy.copy(tree)
            changed[key] = other
            yield changed
    if not isinstance(tree, dict | list):
        yield from OF_EACH_SORT if (place, tree) in known else INSTEAD


def leaves(tree, place=()):
    """Where each leaf stands, and the leaf."""
    if isinstance(tree, dict | list):
        return {leaf for key, value in entries(tree) for leaf in leaves(value, (*place, key))}
    return {(place, tree)}


def entries(tree):
    return tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()


def leaves_before(name, path):
    """Leaves that models of the same kind hold which stand before this one in ``MODELS``."""
    found = set()
    for other in list(MODELS)[: list(MODELS).index(name)]:
        if type(made(other)) is type(made(name)):
            made(other).save(path)
            found |= leaves(contents(path)[0]["tree"])
    return found


def outcome(name, path, model_answer):
    """What went wrong with a changed file, or None."""
    try:
        model = opener(name)(path)
    except ValueError as error:
        return None if str(path) in str(error) else f"does not name the file: {error}"
    try:
        found = answer(name, model)
        goes_on(name, model)
    except (ValueError, TypeError, NotImplementedError):
        return None  # a parameter that predict refuses, as it would one that was set by hand
    is_fit = np.shape(found) == np.shape(model_answer) and np.isfinite(found).all()
    return None if is_fit else f"answers {np.shape(found)}"


def faults(name, folder):
    """What changed files get away with; the name of the model and a folder for files."""
    np.seterr(all="ignore")
    model, path = made(name), Path(folder) / "changed.npz"
    model.save(path)
    expected = answer(name, opener(name)(path))
    header, arrays = contents(path)
    found, n_tried = [], 0
    for key, array in arrays.items():
        for other in changed_arrays(array):
            write(path, header, {**arrays, key: other})
            wrong = outcome(name, path, expected)
            n_tried += 1
            if wrong:
                found.append(
                    f"{key} {array.dtype}{array.shape} as {other.dtype}{other.shape} {other.ravel()[:3]}: {wrong}"
                )
    for tree in changed_trees(header["tree"], leaves_before(name, Path(folder) / "other.npz")):
        write(path, {**header, "tree": tree}, arrays)
        wrong = outcome(name, path, expected)
        n_tried += 1
        if wrong:
            found.append(f"{json.dumps(tree)[:1500]}: {wrong}")
    return found, n_tried


@pytest.fixture(scope="module")
def process_apart():
    """A process that a bad index would end."""
    with ProcessPoolExecutor(1, get_context("spawn"), sys.path.__iadd__, (sys.path,)) as pool:
        yield pool


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_file_with_one_thing_changed_is_refused_or_harmless(name, tmp_path, process_apart):
    found, n_tried = process_apart.submit(faults, name, str(tmp_path)).result()
    assert found == [] and n_tried > 200


def array_of(header, *path):
    """Name of the array at a place among the fitted attributes."""
    found = header["tree"]["dict"]["fitted"]["dict"]
    for key in path:
        found = found[key].get("fields", found[key])
    return found["array"]


@pytest.mark.parametrize(
    ("name", "path", "change"),
    [
        (
            "regressor-shifts",
            ("reservoir_", "W", "shifts"),
            lambda shifts: np.append(shifts[1:], 10**7),
        ),
        ("regressor-shifts", ("reservoir_", "leak"), lambda leak: leak[:-1]),
        ("regressor", ("reservoir_", "leak"), lambda leak: np.full_like(leak, np.nan)),
        ("regressor", ("reservoir_", "W", "indices"), lambda indices: indices + 1),
        ("regressor", ("reservoir_", "W", "indptr"), lambda indptr: indptr[::-1].copy()),
        ("regressor", ("coef_",), lambda coef: np.append(coef, 1.0)),
        ("rnn-regressor", ("theta_",), lambda theta: theta[:-1]),
        ("language-going-on", ("waiting_",), lambda waiting: waiting + 2**40),
    ],
)
def test_an_array_that_a_kernel_would_trust_is_refused(name, path, change, tmp_path):
    file = tmp_path / "changed.npz"
    made(name).save(file)
    header, arrays = contents(file)
    key = array_of(header, *path)
    write(file, header, {**arrays, key: change(arrays[key])})
    with pytest.raises(ValueError, match=r"changed\.npz.*must (be|have)"):
        opener(name)(file)


@pytest.mark.parametrize("attribute", ["predict", "_read", "__class__", "_other", "fit", "get_params"])
@pytest.mark.parametrize("name", ["regressor", "rnn-regressor"])
def test_an_attribute_in_the_place_of_a_method_is_refused(name, attribute, tmp_path):
    file = tmp_path / "changed.npz"
    made(name).save(file)
    header, arrays = contents(file)
    header["tree"]["dict"]["fitted"]["dict"][attribute] = 1
    write(file, header, arrays)
    with pytest.raises(ValueError, match=rf"changed\.npz.*one that fit sets, got '{attribute}'"):
        opener(name)(file)
