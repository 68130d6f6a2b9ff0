"""Forecasts in pandas' containers: names, and an index that goes on."""

import numpy as np
import pytest

from reservoir import ESNForecaster, IndexNotContinuedWarning, load
from reservoir.data.containers import as_table, container_of

pd = pytest.importorskip("pandas")
SMALL = {"n_units": 20, "alpha": 1e-2, "random_state": 0}
VALUES = np.sin(0.3 * np.arange(60.0))
INDEXES = {
    "months": (pd.date_range("2020-01-31", periods=60, freq="ME"), "2025-01-31 "),
    "inferred": (pd.DatetimeIndex(list(pd.date_range("2020-01-01", periods=60, freq="h"))), "2020-01-03 12:00"),
    "zone": (pd.date_range("2020-01-01", periods=60, freq="D", tz="Europe/Paris", name="day"), "2020-03-01"),
    "periods": (pd.period_range("2020Q1", periods=60, freq="Q", name="quarter"), "2035Q1"),
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
    assert model.forecast(2, context=later).index.equals(index[40:42])


def test_a_table_keeps_its_names_and_a_list_its_members():
    table = pd.DataFrame({"a": VALUES, "b": VALUES**2}, INDEXES["months"][0])
    found = ESNForecaster(**SMALL).fit(table).forecast(4)
    assert list(found.columns) == ["a", "b"] and found.index[0] == pd.Timestamp("2025-01-31")
    several = ESNForecaster(**SMALL).fit([table, table.iloc[:40]]).forecast(4)
    assert several[1].index[0] == table.index[40]


def test_an_array_after_a_table_is_answered_by_an_array():
    model = ESNForecaster(**SMALL).fit(pd.Series(VALUES))
    assert isinstance(model.forecast(2, context=VALUES[:30, None]), np.ndarray)


def test_an_index_without_a_frequency_is_warned_of():
    days = pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-05", "2020-01-07"])
    with pytest.warns(IndexNotContinuedWarning, match="DatetimeIndex of 4 entries without one.*asfreq"):
        container = container_of(pd.Series(np.zeros(4), days))
    assert container.filled(np.zeros((2, 1))).index.tolist() == [4, 5]


def test_what_is_no_pandas_object_is_left_alone():
    assert container_of(VALUES) is None
    assert as_table(VALUES) is VALUES
