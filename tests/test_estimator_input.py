"""What estimators accept, whatever its layout and dtype, and what they refuse with an error that names it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from contracts import ESTIMATORS, REGRESSORS, SUPERVISED, WITH_ROWS, every
from estimator_data import SAME_NUMBERS, fitted, parts, rows, spoilt, with_ids

# float32 states are off by some 1e-6, and a penalty of 1 keeps the sum of |coefficients| below 100.
SINGLE = {"rtol": 1e-4, "atol": 1e-4}


# ------------------------------------------------------------------------------------------- what is accepted


@every(ESTIMATORS)
@pytest.mark.parametrize("kind", SAME_NUMBERS.values(), ids=list(SAME_NUMBERS))
def test_the_layout_of_an_array_does_not_matter(contract, kind):
    arguments = [array if array.dtype.kind == "U" else kind(array.copy()) for array in contract.arguments(rows())]
    model = contract.make().fit(*arguments)
    assert_array_equal(contract.answer(model, kind(rows())), contract.answer(fitted(contract), rows()))


@every(ESTIMATORS)
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint8, bool])
def test_integers_are_the_same_as_float64(contract, dtype):
    X = (np.abs(rows()) * 2).astype(int).astype(dtype)
    y = contract.arguments(X)[1:]
    integers = contract.make().fit(X, *y)
    floats = contract.make().fit(X.astype(np.float64), *y)
    assert_array_equal(contract.answer(integers, X), contract.answer(floats, X.astype(np.float64)))


@every(ESTIMATORS)
def test_single_precision_is_near_double(contract):
    penalty = {"alpha": 1.0} if "alpha" in contract.make().get_params() else {}
    single = contract.make(**penalty).fit(*contract.arguments(rows().astype(np.float32)))
    double = contract.make(**penalty).fit(*contract.arguments(rows()))
    answer = contract.answer(single, rows().astype(np.float32))
    assert_allclose(answer, contract.answer(double, rows()), **SINGLE)


@every(ESTIMATORS)
def test_the_arrays_of_the_caller_are_never_written_to(contract):
    arguments = contract.arguments(rows())
    weights = {"sample_weight": np.linspace(0, 1, len(rows()))} if contract.takes_weights else {}
    before = [array.copy() for array in (*arguments, *weights.values())]
    model = contract.make(washout=3) if contract.target else contract.make()
    contract.answer(model.fit(*arguments, **weights), arguments[0])
    for array, copy in zip((*arguments, *weights.values()), before, strict=True):
        assert_array_equal(array, copy)


# --------------------------------------------------------------- rows, sequences and targets that are refused

BAD_ROWS = {
    "nan": (lambda: spoilt(np.nan), "X"),
    "infinity": (lambda: spoilt(np.inf), "X"),
    "complex": (lambda: rows() + 1j, "[Cc]omplex"),
    "half-precision": (lambda: rows().astype(np.float16), "float16"),
    "words": (lambda: np.full((200, 3), "a word", dtype=object), "X|a word"),
    "text": (lambda: np.full((200, 3), "a word"), "X|a word"),
    "nothing": (lambda: np.empty((0, 3)), "sample|empty|X"),
    "no-features": (lambda: np.empty((200, 0)), "feature"),
    "one-dimension": (lambda: rows()[:, 0], "2D|2-D|1-D"),
    "four-dimensions": (lambda: rows().reshape(10, 5, 4, 3), "X|dim"),
    "no-sequences": (lambda: [], "X|2D"),
    "an-empty-sequence": (lambda: [rows(30), rows(0), rows(30)], "X|empty"),
    "unequal-features": (lambda: [rows(30), rows(30, 2)], "feature|column"),
}


@every(ESTIMATORS)
@pytest.mark.parametrize(("make", "names"), BAD_ROWS.values(), ids=list(BAD_ROWS))
def test_rows_that_cannot_be_meant_are_refused(contract, make, names):
    X = make()
    targets = [np.zeros(len(part)) for part in X] if isinstance(X, list) else np.zeros(len(X))
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(X, *([targets] if contract.target else []))


@every(WITH_ROWS)
@pytest.mark.parametrize("name", ["nan", "infinity", "complex", "words", "one-dimension", "an-empty-sequence"])
def test_rows_that_cannot_be_meant_are_refused_after_fit_too(contract, name):
    make, names = BAD_ROWS[name]
    with pytest.raises((ValueError, TypeError), match=names):
        contract.answer(fitted(contract), make())


BAD_LENGTHS = {
    "lengths-do-not-sum": ({"lengths": [100, 99]}, "lengths"),
    "a-length-of-zero": ({"lengths": [100, 0, 100]}, "lengths"),
    "a-negative-length": ({"lengths": [300, -100]}, "lengths"),
    "a-fraction-as-length": ({"lengths": [100.5, 99.5]}, "lengths"),
}
BAD_GROUPS = {
    "ids-that-recur": ({"groups": np.repeat([0, 1, 0], [50, 50, 100])}, "groups"),
    "too-few-ids": ({"groups": np.zeros(199, int)}, "groups"),
    "both": ({"groups": np.zeros(200, int), "lengths": [200]}, "groups.*lengths|lengths.*groups"),
}


@every(ESTIMATORS)
@pytest.mark.parametrize(("lengths", "names"), BAD_LENGTHS.values(), ids=list(BAD_LENGTHS))
def test_lengths_that_cannot_be_meant_are_refused(contract, lengths, names):
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(*contract.arguments(rows()), **lengths)


@every(WITH_ROWS)
@pytest.mark.parametrize(("groups", "names"), BAD_GROUPS.values(), ids=list(BAD_GROUPS))
def test_groups_that_cannot_be_meant_are_refused(contract, groups, names):
    with pytest.raises((ValueError, TypeError), match=names):
        contract.make().fit(*contract.arguments(rows()), **groups)


@every(ESTIMATORS)
def test_ids_that_recur_in_the_sequence_column_are_refused(contract):
    X = np.column_stack([np.repeat([0, 1, 0], [50, 50, 100]), rows()])
    with pytest.raises(ValueError, match="sequence_column"):
        contract.make(sequence_column=0).fit(X, *contract.arguments(rows())[1:])


@every(ESTIMATORS)
@pytest.mark.parametrize("column", [4, -5, "id", 1.5])
def test_a_sequence_column_that_is_not_there_is_refused(contract, column):
    with pytest.raises((ValueError, TypeError), match="sequence_column"):
        contract.make(sequence_column=column).fit(with_ids(rows()), *contract.arguments(rows())[1:])


@every({name: contract for name, contract in ESTIMATORS.items() if name != "transformer"})
@pytest.mark.parametrize("washout", [45, 60, -1, 2.5])
def test_a_washout_that_leaves_nothing_is_refused(contract, washout):
    lengths = (60, 45, 95)
    with pytest.raises((ValueError, TypeError), match="washout"):
        contract.make(washout=washout).fit(*contract.arguments(rows()), lengths=lengths)


BAD_WEIGHTS = {
    "zeros": np.zeros(200),
    "nan": np.full(200, np.nan),
    "infinity": np.full(200, np.inf),
    "negative": -np.ones(200),
    "too-few": np.ones(199),
    "complex": np.ones(200) * 1j,
}


@every({name: contract for name, contract in ESTIMATORS.items() if contract.takes_weights})
@pytest.mark.parametrize("weights", BAD_WEIGHTS.values(), ids=list(BAD_WEIGHTS))
def test_weights_that_cannot_be_meant_are_refused(contract, weights):
    with pytest.raises((ValueError, TypeError), match=r"(?i)weight|complex"):
        contract.make().fit(*contract.arguments(rows()), sample_weight=weights)


@every(REGRESSORS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_targets_that_are_not_finite_are_refused(contract, value):
    y = contract.targets(rows())
    y[5] = value
    with pytest.raises(ValueError, match="y"):
        contract.make().fit(rows(), y)


@every(SUPERVISED)
def test_targets_of_another_length_are_refused(contract):
    y = contract.targets(rows())
    with pytest.raises(ValueError, match=r"199.*200|200.*199"):
        contract.make().fit(rows(), y[:-1])
    with pytest.raises(ValueError, match="y"):
        contract.make().fit(parts(rows()), parts(y)[:-1])


@every(ESTIMATORS)
def test_another_number_of_features_is_refused(contract):
    with pytest.raises(ValueError, match=r"2 features.*3|3.*2"):
        contract.answer(fitted(contract), rows(n_features=2))


# -------------------------------------------------------------------------------- parameters that are refused

BAD_PARAMETERS = [
    *[("n_units", value) for value in (0, -1, 2.5, "many")],
    *[("spectral_radius", value) for value in (-0.9, np.nan, "large")],
    *[("leak_rate", value) for value in (0.0, 1.5, np.nan)],
    *[("input_scaling", value) for value in (np.inf, "large")],
    *[("in_degree", value) for value in (0, -3, 1.5)],
    *[("state_noise", value) for value in (-0.1, np.nan)],
    *[("topology", value) for value in ("spars", np.eye(7))],
    *[("activation", value) for value in ("tan", None)],
    *[("dtype", value) for value in ("float16", int)],
]
BAD_READOUT = [("alpha", -1.0), ("alpha", np.nan), ("alpha", []), ("solver", "cg")]


def parameter_id(parameter):
    name, value = parameter
    return f"{name}={'a matrix' if isinstance(value, np.ndarray) else repr(value)}"


@every(ESTIMATORS)
@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS, ids=map(parameter_id, BAD_PARAMETERS))
def test_parameters_that_cannot_be_meant_are_refused(contract, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        contract.make(**{name: value}).fit(*contract.arguments(rows()))


@every(SUPERVISED)
@pytest.mark.parametrize(("name", "value"), BAD_READOUT, ids=map(parameter_id, BAD_READOUT))
def test_readout_parameters_that_cannot_be_meant_are_refused(contract, name, value):
    with pytest.raises((ValueError, TypeError), match=name):
        contract.make(**{name: value}).fit(*contract.arguments(rows()))


# --------------------------------------------------------------------------------------------- after an error


@every(ESTIMATORS)
def test_a_fit_that_fails_leaves_the_model_as_it_was(contract):
    model = contract.make()
    with pytest.raises(ValueError):
        model.fit(spoilt(np.nan), *contract.arguments(rows())[1:])
    with pytest.raises(NotFittedError):
        contract.answer(model, rows())
    with pytest.raises(ValueError):  # found out later, when the sequences are known
        model.fit(rows(), *contract.arguments(rows())[1:], lengths=[200, 0])
    with pytest.raises(NotFittedError):
        contract.answer(model, rows())
    model.fit(*contract.arguments(rows()))
    before = contract.answer(model, rows())
    with pytest.raises(ValueError):
        model.fit(rows(n_features=2), *contract.arguments(rows())[1:], lengths=[200, 0])
    assert_array_equal(contract.answer(model, rows()), before)


@every(ESTIMATORS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_fit_that_is_interrupted_leaves_every_attribute_as_it_was(contract, monkeypatch, method, error):
    model = contract.make()
    if not hasattr(model, method):
        pytest.skip(f"{type(model).__name__} has no {method}")
    getattr(model, method)(*contract.arguments(rows()))
    before = dict(vars(model))

    def interrupted(*args, **kwargs):
        raise error

    for place in (
        "estimator.build_reservoir",
        "echo_state.train",
        "echo_state.take_sums",
        "echo_state.solve",
        "echo_state.range_of",
        "forecaster.train",
        "forecaster.range_of",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"reservoir.{place}", interrupted)
            try:
                getattr(model, method)(*contract.arguments(rows(seed=1)))
            except error:
                assert vars(model).keys() == before.keys()
                assert all(vars(model)[name] is value for name, value in before.items())
            else:
                before = dict(vars(model))  # this method does not come there
