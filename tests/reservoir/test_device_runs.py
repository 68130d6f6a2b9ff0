"""``device="gpu"``, from the estimator to the kernel and back, on the stand-in: the answers of the CPU."""

import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cuda_host import standin
from reservoir import ESNClassifier, ESNForecaster, ESNRegressor, ESNSearchCV, ReservoirTransformer
from reservoir.drive import device_drive, device_runs

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++, which builds the kernels for the host"),
]
SMALL = {"n_units": 24, "in_degree": 5, "bias_scaling": 0.3, "random_state": 0}
# Both sum some tens of terms of order 1 in orders of their own; the penalised Gram multiplies that by its condition.
SAME = {"rtol": 1e-7, "atol": 1e-7}
LENGTHS = (9, 1, 14, 6)


def data(seed=0, n=30):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    return X, np.column_stack([np.roll(X[:, 0], 1), X[:, 1] ** 2])


def sequences(X):
    return np.split(X, np.cumsum(LENGTHS)[:-1])


def on_both(make, answer):
    """The answer of a model fitted and asked on the CPU, and those on the stand-in in two orders of threads."""
    expected = answer(make(device=None))
    found = []
    for order in (0, 1):
        with standin.installed(order):
            found.append(answer(make(device="gpu")))
    return expected, found


def check(make, answer, tolerance=SAME):
    expected, found = on_both(make, answer)
    for other in found:
        assert type(other) is type(expected)
        for one, two in zip(np.atleast_1d(expected), np.atleast_1d(other), strict=True):
            assert_allclose(two, one, **tolerance)
    for one, two in zip(np.atleast_1d(found[0]), np.atleast_1d(found[1]), strict=True):
        assert_array_equal(one, two)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"solver": "qr", "alpha": 1e-3},
        {"solver": "gram", "alpha": 1e-3, "topology": "shifts", "leak_rate": 0.4},
        {"washout": 3, "include_input": False, "fit_intercept": False, "alpha": 0.1},
        {"state_noise": 0.1, "alpha": 0.1, "activation": "relu", "spectral_radius": 0.5},
        {"alpha": [1e-3, 1.0], "alpha_selection": "loo"},
        {"alpha": [1e-3, 1.0], "alpha_selection": "blocked", "solver": "gram"},
        {"feedback_scaling": 0.3, "alpha": 1.0},
    ],
    ids=lambda choices: ", ".join(map(str, choices.values())) or "defaults",
)
def test_a_regressor_answers_as_on_the_cpu(choices):
    X, y = data(n=60)
    make = lambda device: ESNRegressor(**SMALL | choices, device=device).fit(X, y)  # noqa: E731
    check(make, lambda model: model.predict(X[:20]))


def test_sequences_of_any_lengths_are_driven_side_by_side(monkeypatch):
    X, y = data()
    for n_bytes in (2**20, 1):  # one group, and a group a sequence
        monkeypatch.setattr(device_runs, "CHUNK_BYTES", n_bytes)
        make = lambda device: ESNRegressor(**SMALL, alpha=0.1, device=device).fit(sequences(X), sequences(y))  # noqa: E731
        check(make, lambda model: np.concatenate(model.predict(sequences(X))))


def test_weights_partial_fits_and_states_are_those_of_the_cpu():
    X, y = data()
    weights = np.linspace(0, 2, 30)

    def make(device):
        model = ESNRegressor(**SMALL, alpha=0.1, device=device)
        return model.partial_fit(X[:20], y[:20], sample_weight=weights[:20]).partial_fit([X[20:]], [y[20:]])

    check(make, lambda model: model.coef_)
    check(make, lambda model: model.run(X))
    check(make, lambda model: model.predict(X, return_state=True)[1])
    check(make, lambda model: model.predict(X[5:], initial_state=model.run(X[:5])[-1]))


def test_float32_stays_float32():
    X, y = (array.astype(np.float32) for array in data())
    make = lambda device: ESNRegressor(**SMALL, alpha=0.1, device=device).fit(X, y)  # noqa: E731
    check(make, lambda model: model.predict(X), {"rtol": 1e-4, "atol": 1e-4})


def test_classifiers_and_transformers_answer_as_on_the_cpu():
    X, y = data()
    labels = np.where(y[:, 0] > 0, "up", "down")
    check(lambda device: ESNClassifier(**SMALL, device=device).fit(X, labels), lambda model: model.predict_proba(X))
    check(lambda device: ReservoirTransformer(**SMALL, device=device).fit(X), lambda model: model.transform(X))


def test_a_forecast_runs_freely_as_on_the_cpu():
    t = np.arange(150) * 0.3
    X = np.column_stack([np.sin(t), np.cos(0.7 * t)])
    exog = np.sin(2 * t)[:, None]
    make = lambda device: ESNForecaster(**SMALL, washout=20, alpha=1e-3, device=device).fit(X)  # noqa: E731
    check(make, lambda model: model.forecast(7), {"rtol": 1e-5, "atol": 1e-5})
    check(make, lambda model: model.forecast(7, context=X[:80]), {"rtol": 1e-5, "atol": 1e-5})
    make = lambda device: ESNForecaster(**SMALL, washout=20, alpha=1e-3, device=device).fit(X, exog=exog)  # noqa: E731
    check(make, lambda model: model.forecast(7, exog=exog[:7]), {"rtol": 1e-5, "atol": 1e-5})


def test_arrays_of_cupy_come_back_as_such():
    X, y = data()
    labels = np.where(y[:, 0] > 0, "up", "down")
    asked = {
        "regressor": (ESNRegressor(**SMALL, alpha=0.1), y, lambda model, X: model.predict(X, return_state=True)),
        "classifier": (ESNClassifier(**SMALL), labels, lambda model, X: (model.predict_proba(X), model.predict(X))),
        "transformer": (ReservoirTransformer(**SMALL), None, lambda model, X: (model.transform(X),)),
        "forecaster": (ESNForecaster(**SMALL), None, lambda model, X: (model.forecast(3, context=X), model.predict(X))),
    }
    expected = {name: answer(model.fit(X, target), X) for name, (model, target, answer) in asked.items()}
    with standin.installed() as cupy:
        there = cupy.asarray(X)
        for name, (model, target, answer) in asked.items():
            target = cupy.asarray(target) if target is y else target
            for one, other in zip(expected[name], answer(model.fit(there, target), there), strict=True):
                if one.dtype.kind == "U":
                    assert_array_equal(other, one)
                else:
                    assert_allclose(other.get(), one, **SAME)
        with pytest.raises(TypeError, match="must live in one place, got cupy and numpy"):
            ESNRegressor(**SMALL).fit(there, y)
        with pytest.raises(ValueError, match="device must be None or 'gpu' for CuPy's arrays, got 'cpu'"):
            ESNRegressor(**SMALL, device="cpu").fit(there, cupy.asarray(y))


def test_a_search_finds_there_what_it_finds_here():
    t = np.arange(160) * 0.3
    x = np.sin(t) * np.sin(0.13 * t)

    def made(device):
        model = ESNForecaster(**SMALL, washout=20, device=device)
        return ESNSearchCV(model, n_candidates=2, cv=2, n_steps=10, random_state=0).fit(x)

    check(made, lambda search: search.cv_results_["mean_test_score"], {"rtol": 1e-4, "atol": 1e-6})


def test_what_has_no_room_on_the_device_is_refused_before_any_work(monkeypatch):
    X, y = data()
    monkeypatch.setattr(standin, "FREE_BYTES", 2**10)
    monkeypatch.setattr(device_drive, "drive_open", None)
    with standin.installed(), pytest.raises(MemoryError, match=r"24 units over 30 steps, .* on the GPU, got 0.00 GiB"):
        ESNRegressor(**SMALL, device="gpu").fit(X, y)


def test_a_model_moves_between_devices():
    X, y = data()
    model = ESNRegressor(**SMALL, alpha=0.1).fit(X, y)
    expected = model.predict(X)
    with standin.installed():
        assert_allclose(model.set_params(device="gpu").predict(X), expected, **SAME)
    assert_array_equal(model.set_params(device="cpu").predict(X), expected)
