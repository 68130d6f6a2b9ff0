"""What is drawn is what was given: read back from the axes."""

from types import SimpleNamespace

import numpy as np
import pytest

from reservoir import plotting, topology

pytest.importorskip("matplotlib")
pd = pytest.importorskip("pandas")
from matplotlib.dates import num2date  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from reservoir.forecasting.forecast_paths import ForecastInterval  # noqa: E402

DAYS = pd.date_range("2024-01-01", periods=60, freq="D")


@pytest.fixture
def ax():
    return Figure().subplots()


def named(lines):
    return {line.get_label(): line for line in lines if not line.get_label().startswith("_")}


def test_a_forecast_goes_on_from_the_history_and_keeps_its_index(ax):
    x = pd.Series(np.sin(0.4 * np.arange(60)), DAYS, name="level")
    ahead = ForecastInterval(x[50:], x[50:] - 0.1, x[50:] + 0.2, 0.8)
    assert plotting.plot_forecast(ahead, x[:50], truth=x[50:], ax=ax) is ax
    lines = named(ax.lines)
    assert list(lines) == ["history", "forecast", "truth"]
    np.testing.assert_array_equal(lines["history"].get_ydata(), x[10:50])  # four times ten rows
    np.testing.assert_array_equal(lines["forecast"].get_ydata(), x[49:])
    assert [num2date(at).date() for at in lines["truth"].get_xdata(orig=False)] == list(DAYS[50:].date)
    (band,) = ax.collections
    assert band.get_label() == "80% bounds" and ax.get_ylabel() == "level"
    outline = band.get_paths()[0].vertices[:, 1]
    assert outline.max() == pytest.approx(x[50:].max() + 0.2) and outline.min() == pytest.approx(x[50:].min() - 0.1)


def test_rows_without_an_index_are_counted(ax):
    x = np.arange(12.0).reshape(6, 2)
    plotting.plot_forecast(x[4:], x[:4], n_history=3, ax=ax)
    history, _, _, first, second = ax.lines
    np.testing.assert_array_equal(history.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(first.get_xdata(), [3, 4, 5])
    np.testing.assert_array_equal(second.get_ydata(), x[3:, 1])
    assert [first.get_label(), second.get_label()] == ["0", "1"] and ax.get_title() == "Forecast"


def test_periods_are_drawn_and_tables_name_their_lines(ax):
    table = pd.DataFrame({"a": range(4), "b": range(4)}, pd.period_range("2020-01", periods=4, freq="M"), dtype=float)
    assert list(named(plotting.plot_forecast(table, ax=ax).lines)) == ["a", "b"]
    assert num2date(ax.lines[0].get_xdata(orig=False)[0]).month == 1


def test_states_are_shown_by_ten_units_or_those_asked_for(ax):
    states = np.random.default_rng(0).uniform(-1, 1, (20, 45))
    assert [text.get_text() for text in plotting.plot_states(states, units=[3, 0], ax=ax).get_yticklabels()] == [
        "3",
        "0",
    ]
    step = np.diff(ax.lines[0].get_ydata())
    np.testing.assert_allclose(step, np.diff(states[:, 3]))
    assert ax.lines[0].get_ydata().min() > ax.lines[1].get_ydata().max()
    assert len(plotting.plot_states(states, ax=Figure().subplots()).lines) == 10


@pytest.mark.parametrize("kind", ["dense", "shifts", "reservoir"])
def test_the_spectrum_lies_in_the_circle_of_its_radius(kind, ax):
    W = topology.shifts(20, in_degree=3, rng=np.random.default_rng(0))
    dense = W.to_csr().toarray()
    values = np.linalg.eigvals(dense)
    given = {"dense": dense, "shifts": W, "reservoir": SimpleNamespace(reservoir_=SimpleNamespace(W=W))}[kind]
    plotting.plot_spectrum(given, ax=ax)
    drawn = ax.lines[0].get_xdata() + 1j * ax.lines[0].get_ydata()
    np.testing.assert_allclose(np.sort_complex(drawn), np.sort_complex(values), atol=1e-10)
    unit, circle = ax.patches
    assert unit.radius == 1.0 and circle.radius == pytest.approx(np.abs(values).max())
    assert ax.get_title() == f"Spectral radius {np.abs(values).max():.3g}"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plotting.plot_forecast(np.zeros((2, 3, 1))), ValueError, "forecast must be one series .* shape"),
        (
            lambda: plotting.plot_forecast(np.zeros((3, 2)), np.zeros((3, 1))),
            ValueError,
            r"history must be .* \(n, 2\)",
        ),
        (lambda: plotting.plot_forecast([np.nan]), ValueError, "forecast must hold finite"),
        (lambda: plotting.plot_forecast([1.0], [1.0], n_history=0), ValueError, "n_history must be"),
        (
            lambda: plotting.plot_states(np.zeros((3, 2)), units=[2]),
            ValueError,
            r"units must be an integer in \[0, 1\]",
        ),
        (lambda: plotting.plot_spectrum(np.zeros((3, 2))), ValueError, "square"),
        (
            lambda: plotting.plot_states(np.zeros((3, 2)), ax=3),
            TypeError,
            "ax must be axes of Matplotlib or None, got 3",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
