"""Forecasts in pandas' containers: names, and an index that goes on."""

import numpy as np
import pytest

from reservoir import ColdStartWarning, ESNForecaster, IndexNotContinuedWarning, load
from reservoir.data.containers import as_table, container_of

pd = pytest.importorskip("pandas")
SMALL = {"n_units": 20, "alpha": 1e-2, "random_state": 0}
VALUES = np.sin(0.3 * np.arange(60.0))
INDEXES = {
    "months": (pd.date_range("2020-01-31", periods=60, freq="ME"), "2025-01-31 "),
    "inferred": (pd.DatetimeIndex(list(pd.date_range("2020-01-01", periods=60, freq="h"))), "2020-01-03 12:00"),
    "zone": (pd.date_range("2020-01-01", periods=60, freq="D", tz="Europe/Paris", name="day"), "2020-03-01"),
    "periods": (pd.period_range("2020Q1", periods=60, freq="Q", name="quarter"), "2035Q1"),
    "durations": (pd.to_timedelta(10.0 * np.arange(60), unit="s"), "0 days 00:10:00"),
    "numbers": (pd.RangeIndex(5, 125, 2), "125"),
    "integers": (pd.Index(np.arange(1900, 1960), name="year"), "1960"),
}


@pytest.mark.parametrize("name", INDEXES)
def test_a_series_is_continued(name, tmp_path):
    index, after = INDEXES[name]
    series = pd.Series(VALUES, index, name="level")
    model = ESNForecaster(**SMALL).fit(series)
    found = model.forecast(3)
    assert isinstance(found, pd.Series) and found.name == "level" and found.index.name == index.name
    assert str(found.index[0]).startswith(after)
    np.testing.assert_array_equal(found.to_numpy(), ESNForecaster(**SMALL).fit(VALUES[:, None]).forecast(3)[:, 0])
    model.save(tmp_path / "model.npz")
    pd.testing.assert_series_equal(load(tmp_path / "model.npz").forecast(3), found)
    later = series.iloc[10:40]
    with pytest.warns(ColdStartWarning):
        assert model.forecast(2, context=later).index.equals(index[40:42])


def test_a_table_keeps_its_names_and_a_list_its_members():
    table = pd.DataFrame({"a": VALUES, "b": VALUES**2}, INDEXES["months"][0])
    found = ESNForecaster(**SMALL).fit(table).forecast(4)
    assert list(found.columns) == ["a", "b"] and found.index[0] == pd.Timestamp("2025-01-31")
    several = ESNForecaster(**SMALL).fit([table, table.iloc[:40]]).forecast(4)
    assert several[1].index[0] == table.index[40]


def test_an_array_after_a_table_is_answered_by_an_array():
    model = ESNForecaster(**SMALL).fit(pd.Series(VALUES))
    assert model.forecast(2, context=VALUES[:, None]).shape == (2, 1)
    assert model.forecast(2, context=VALUES).shape == (2,)


DAYS = pd.date_range("2020-01-01", periods=60, freq="D")
FAULTS = {
    "irregular": (DAYS[[0, 1, 4, 6]], "without one; set it by X.asfreq"),
    "gap": (DAYS.delete([20, 21, 40]), "with 2 gaps, the first after 2020-01-20 00:00:00; fill them in"),
    "period gap": (DAYS.to_period().delete([20, 21, 40]), "with 2 gaps, the first after 2020-01-20; fill them in"),
    "falling": (DAYS[::-1], "that are not in the order of time; sort them"),
    "again": (DAYS.repeat(2), "of which 60 come again; give one row a time"),
    "text": (pd.Index([f"day {k}" for k in range(60)]), "without one; set it by X.asfreq"),
    "integers": (pd.Index([0, 1, 3, 4]), "in steps that differ; give a RangeIndex"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_index_that_cannot_be_continued_is_warned_of(name):
    index, message = FAULTS[name]
    with pytest.warns(IndexNotContinuedWarning, match=f"of {len(index)} entries {message}"):
        container = container_of(pd.Series(np.zeros(len(index)), index))
    assert container.filled(np.zeros((2, 1))).index.tolist() == [len(index), len(index) + 1]


@pytest.mark.parametrize("as_given", [np.asarray, list, tuple])
def test_numbers_in_a_row_are_a_series_and_answered_as_one(as_given, tmp_path):
    series, column = as_given(VALUES.tolist()), VALUES[:, None]
    model, right = (ESNForecaster(20, random_state=0).fit(X) for X in (series, column))
    np.testing.assert_array_equal(model.forecast(3), right.forecast(3)[:, 0])
    np.testing.assert_array_equal(model.predict(series), right.predict(column)[:, 0])
    np.testing.assert_array_equal(model.forecast_interval(3).upper, right.forecast_interval(3).upper[:, 0])
    np.testing.assert_array_equal(model.forecast_paths(3, 2), right.forecast_paths(3, 2)[:, :, 0])
    assert model.forecast(2, context=column).shape == (2, 1)
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").forecast(3), model.forecast(3))
    again = model.update(series[:5], refit=True).forecast(2)
    np.testing.assert_array_equal(again, right.update(column[:5], refit=True).forecast(2)[:, 0])


def test_times_and_values_are_not_read_as_a_series_and_a_target():
    with pytest.raises(ValueError, match="X must be the series itself, got 1-D numbers and a y"):
        ESNForecaster(**SMALL).fit(np.arange(60.0), VALUES)


def test_rows_that_do_not_follow_are_warned_of():
    series = pd.Series(VALUES, DAYS)
    model = ESNForecaster(**SMALL).fit(series[:40])
    assert model.update(series[40:45]).forecast(1).index[0] == DAYS[45]
    with pytest.warns(IndexNotContinuedWarning, match="X must begin at 2020-02-15.*got 2020-02-20"):
        assert model.update(series[50:55]).forecast(1).index[0] == DAYS[55]


def test_what_is_no_pandas_object_is_left_alone():
    table = VALUES[:, None]
    assert container_of(table) is None and as_table(table) is table
