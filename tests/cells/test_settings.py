"""Settings of recurrent estimators: each is refused by its name before any work, and none that was given is ignored."""

import numpy as np
import pytest

from cells import LSTM, CharRNN, RNNRegressor
from cells.initial import Sparse
from contracts import RECURRENT, every
from estimator_data import rows
from optim import SGD, Adam, Cosine, RisingMomentum

pytestmark = pytest.mark.compiled  # trainings

LOOP = []
LOOP.append(LOOP)

WRONG_KIND = {
    "n_units": (2.5, "8", None, True, LOOP),
    "n_layers": (1.5, [2]),
    "cell": ([], None, LOOP, {}, LSTM(3, 8), lambda n_in, n_units: LSTM(n_in, n_units + 1), lambda n_in, n_units: 3),
    "bidirectional": ("no", 1, None),
    "solver": (None, [], LOOP, Adam),
    "learning_rate": ("fast", [], True),
    "decay": ([], 3),
    "batch_size": (1.5, "all"),
    "max_epochs": (2.5, None, "ten"),
    "clip_norm": ("1", []),
    "clip_signal": (True,),
    "init": ([], {}, None, Sparse),
    "standardize": ("yes", None),
    "targets": ([], 1),
    "early_stopping": ("no", 0),
    "patience": (2.5,),
    "tol": ("small", None),
    "checkpoint": (3, ["run.npz"]),
    "warm_start": (1,),
    "dtype": (LOOP, "no dtype"),
    "random_state": ("seed", 1.5),
    "verbose": ("much", 1.5, None),
}
WRONG_VALUE = {
    "n_units": (0, -1, 10**30, 2**21),
    "n_layers": (0, 10**9, 10**30),
    "cell": ("lstmm", ""),
    "solver": ("adma", "cg"),
    "learning_rate": (0.0, -1.0, np.nan, np.inf),
    "decay": ("linear",),
    "batch_size": (0, -3),
    "max_epochs": (0, -3, 10**30),
    "clip_norm": (0.0, np.inf),
    "clip_signal": (-1.0, np.nan),
    "init": ("glorott",),
    "validation_fraction": (0, 1.5),
    "patience": (0,),
    "targets": ("end",),
    "tol": (-1.0,),
    "dtype": ("float16", int),
    "n_jobs": (0,),
    "random_state": (-1,),
}


def cases(values):
    return [pytest.param(name, value, id=f"{name}-{i}") for name in values for i, value in enumerate(values[name])]


def refused(contract, kind, message, **settings):
    model = contract.make(**settings)
    with pytest.raises(kind, match=message) as caught:
        model.fit(*contract.arguments(rows()))
    assert [name for name in vars(model) if name.endswith("_")] == []
    assert len(str(caught.value)) < 700
    return str(caught.value)


@every(RECURRENT)
@pytest.mark.parametrize(("name", "value"), cases(WRONG_KIND))
def test_what_is_of_no_kind_that_a_setting_has_is_a_type_error(contract, name, value):
    refused(contract, TypeError, f"^{name} must be", **{name: value})


@every(RECURRENT)
@pytest.mark.parametrize(("name", "value"), cases(WRONG_VALUE))
def test_a_value_that_a_setting_cannot_have_is_a_value_error(contract, name, value):
    refused(contract, ValueError, f"^{name} must be", **{name: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"verbose": True}, {"verbose": -1}, {"clip_norm": None}, {"tol": np.float32(0)}, {"n_units": np.int8(4)},
        {"patience": None, "early_stopping": True}, {"learning_rate": Cosine(0.1, 5)}, {"init": Sparse(in_degree=2)},
        {"cell": LSTM}, {"dtype": "f4"}, {"n_jobs": -1}, {"solver": Adam(0.01), "clip_norm": 1.0, "momentum": 0.9},
        {"solver": "hf", "clip_norm": None, "hf_options": {}}, {"solver": "nesterov", "momentum": RisingMomentum(0.9)},
        {"bidirectional": np.bool_(True)},
    ],
    ids=repr,
)  # fmt: skip
def test_every_way_of_saying_the_same_is_taken(settings):
    RNNRegressor(**{"n_units": 4, "max_epochs": 1, **settings}).fit(rows(30), np.ones(30))


# ------------------------------------------------------------------------------------------------- Hessian-free


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"dampng": 1.0}, ValueError, r"hf_options must be one of 'damping', 'structural', .*got 'dampng'"),
        ({1: 2}, TypeError, r"hf_options must be one of 'damping', .*got 1"),
        ({"structural": -1}, ValueError, r"hf_options must be what optim\.HessianFree takes, .*structural must be"),
        ({"patience": "x"}, TypeError, r"hf_options must be what optim\.HessianFree takes, .*patience must be"),
        ([("damping", 1.0)], TypeError, r"hf_options must be a dict of settings, got \[\('damping', 1\.0\)\]"),
        (3, TypeError, r"hf_options must be a dict of settings, got 3"),
    ],
)
def test_settings_of_the_hessian_free_optimiser_are_named(options, kind, message):
    refused(RECURRENT["rnn-regressor"], kind, message, solver="hf", hf_options=options)


# ------------------------------------------------------------------------------------------------------ ignored

IGNORED = [
    ("hf_options", {"damping": 1.0}, {}),
    ("hf_options", {"damping": 1.0}, {"solver": SGD(0.1)}),
    ("learning_rate", 0.1, {"solver": "hf"}),
    ("learning_rate", 0.1, {"solver": Adam(0.01)}),
    ("momentum", 0.5, {}),
    ("momentum", 0.5, {"solver": "hf"}),
    ("momentum", 0.5, {"solver": SGD(0.1)}),
    ("clip_norm", 2.0, {"solver": "hf"}),
    ("clip_norm", 2.0, {"solver": SGD(0.1)}),
    ("patience", 3, {}),
    ("tol", 1e-3, {}),
    ("validation_fraction", 0.3, {}),
]


@pytest.mark.parametrize(("name", "value", "settings"), IGNORED)
def test_what_would_be_ignored_is_refused(name, value, settings):
    message = refused(RECURRENT["rnn-classifier"], ValueError, f"^{name} acts only where", **{name: value}, **settings)
    assert message.endswith("; leave it out.") and " beside " in message


@pytest.mark.parametrize(
    ("name", "value", "settings"),
    [("momentum", 0.5, {}), ("learning_rate", 0.1, {"solver": Adam(0.01)}), ("clip_value", 5.0, {"solver": SGD(0.1)})],
)
def test_a_language_model_refuses_it_too(name, value, settings):
    with pytest.raises(ValueError, match=f"^{name} acts only where solver"):
        CharRNN(4, **{name: value}, **settings).fit("to be or not to be")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"n_units": 10**30}, ValueError), ({"n_steps": 2.5}, TypeError), ({"n_streams": 0}, ValueError),
        ({"n_back": "all"}, TypeError), ({"restart_every": 1.5}, TypeError), ({"reduction": []}, TypeError),
        ({"max_epochs": -1}, ValueError), ({"max_seconds": 0}, ValueError), ({"validation_fraction": 1}, ValueError),
        ({"patience": 0}, ValueError), ({"clip_value": -1}, ValueError), ({"cell": {}}, TypeError),
        ({"solver": []}, TypeError), ({"init": []}, TypeError), ({"dtype": int}, ValueError),
        ({"checkpoint": 3}, TypeError), ({"verbose": "x"}, TypeError),
    ],
    ids=repr,
)  # fmt: skip
def test_settings_of_a_language_model_are_checked_by_name(settings, kind):
    with pytest.raises(kind, match=f"^{next(iter(settings))} must be"):
        CharRNN(**{"n_units": 4, **settings}).fit("to be or not to be")
