"""What is known in advance: columns by their names, where both sides have names."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from reservoir import ESNForecaster, IgnoredTargetWarning

SMALL = {"n_units": 30, "in_degree": 5, "washout": 10, "alpha": 1e-3, "random_state": 0}
NAMES = ["price", "holiday"]
pytestmark = pytest.mark.filterwarnings("ignore:context must have the:reservoir.ColdStartWarning")


def data(n=130, seed=0):
    exog = np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    return np.sin(0.2 * np.arange(n))[:, None] + exog @ [[0.5], [-1.0]], exog


def frame(exog, names=NAMES):
    return pd.DataFrame(exog, columns=NAMES)[names]


def test_columns_are_matched_by_name_in_every_place():
    X, exog = data()
    model = ESNForecaster(**SMALL).fit(X[:100], exog=frame(exog[:100]))
    assert model.exog_names_.tolist() == NAMES
    right = model.forecast(20, exog=exog[100:120])
    assert_array_equal(model.forecast(20, exog=frame(exog[100:120])), right)
    assert_array_equal(model.forecast(20, exog=frame(exog[100:120], NAMES[::-1])), right)
    swapped = {"exog": frame(exog[110:120], NAMES[::-1]), "context_exog": frame(exog[100:110], NAMES[::-1])}
    by_position = {"exog": exog[110:120], "context_exog": exog[100:110]}
    assert_array_equal(model.forecast(10, X[100:110], **swapped), model.forecast(10, X[100:110], **by_position))


def test_columns_of_several_series_are_matched_by_name():
    series = [data(60, seed) for seed in range(3)]
    X, E = [x for x, _ in series], [e for _, e in series]
    mixed = [frame(e, NAMES[:: 1 if k == 0 else -1]) for k, e in enumerate(E)]
    model, plain = ESNForecaster(**SMALL).fit(X, exog=mixed), ESNForecaster(**SMALL).fit(X, exog=E)
    assert_array_equal(model.coef_, plain.coef_)
    future = [frame(e[:5], NAMES[::-1]) for e in E]
    found, right = model.forecast(5, exog=future), plain.forecast(5, exog=np.stack([e[:5] for e in E]))
    assert_array_equal(np.stack(found), np.stack(right))


@pytest.mark.parametrize("names", [["price", "sunday"], ["price"], ["price", "holiday", "sunday"]])
def test_other_names_are_refused(names):
    X, exog = data()
    model = ESNForecaster(**SMALL).fit(X[:100], exog=frame(exog[:100]))
    other = pd.DataFrame(np.zeros((5, len(names))), columns=names)
    with pytest.raises(ValueError, match=r"exog must have the columns \['price', 'holiday'\].*sunday|\['price'\]"):
        model.forecast(5, exog=other)
    with pytest.raises(ValueError, match="context_exog must have the columns"):
        model.forecast(5, X[:5], exog[:5], context_exog=other)


def test_names_that_come_twice_are_refused():
    X, exog = data()
    twice = pd.DataFrame(exog, columns=["price", "price"])
    with pytest.raises(ValueError, match=r"exog must have a name of its own.*rename"):
        ESNForecaster(**SMALL).fit(X, exog=twice)


def test_without_names_on_both_sides_position_counts():
    X, exog = data()
    model = ESNForecaster(**SMALL).fit(X[:100], exog=exog[:100])
    assert model.exog_names_ is None
    assert_array_equal(model.forecast(5, exog=frame(exog[100:105])), model.forecast(5, exog=exog[100:105]))
    numbered = ESNForecaster(**SMALL).fit(X[:100], exog=pd.DataFrame(exog[:100]))
    assert_array_equal(numbered.forecast(5, exog=exog[100:105]), model.forecast(5, exog=exog[100:105]))


def test_names_are_saved(tmp_path):
    from reservoir import load

    X, exog = data()
    model = ESNForecaster(**SMALL).fit(X[:100], exog=frame(exog[:100]))
    model.save(tmp_path / "model.npz")
    loaded, swapped = load(tmp_path / "model.npz"), frame(exog[100:105], NAMES[::-1])
    assert_array_equal(loaded.forecast(5, exog=swapped), model.forecast(5, exog=swapped))


def test_a_target_is_not_ignored_without_a_word():
    X, _ = data()
    with pytest.warns(IgnoredTargetWarning, match=r"y must be left out.*exog="):
        ESNForecaster(**SMALL).fit(X, X[:, 0])


@pytest.mark.parametrize("n_steps", [0, -1, 2.0, True, "many", 10**30])
def test_steps_that_cannot_be_meant_are_refused(n_steps):
    model = ESNForecaster(**SMALL).fit(data()[0])
    with pytest.raises((TypeError, ValueError), match="n_steps must be an integer"):
        model.forecast(n_steps)


def test_a_forecast_that_has_no_room_is_refused():
    with pytest.raises(MemoryError, match="steps"):
        ESNForecaster(**SMALL).fit(data()[0]).forecast(2**50)
