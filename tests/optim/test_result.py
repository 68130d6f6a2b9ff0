"""Reasons, the trace as a table, and its figure."""

import numpy as np
import pytest

from optim import SGD, StopReason, Trace, from_callables, minimize, plot_trace
from optim.result import ADVICE


def test_every_reason_has_advice():
    assert set(ADVICE) == set(StopReason)
    assert all(len(reason.advice) > 20 for reason in StopReason if reason != StopReason.CALLBACK)


def test_a_row_may_lack_columns():
    trace = Trace()
    trace.append(iteration=0, loss=1.0)
    trace.append(iteration=1, loss=0.5, cg_stop="progress", cg_iterations=4)
    trace.append(iteration=2)
    np.testing.assert_array_equal(trace["loss"], [1.0, 0.5, np.nan])
    assert trace["cg_stop"].tolist() == ["", "progress", ""]
    assert list(trace) == ["iteration", "loss", "cg_stop", "cg_iterations"] and len(trace) == 4
    assert trace.n_rows == 3 and trace["iteration"].dtype.kind == "i"


def test_a_trace_becomes_a_data_frame():
    pandas = pytest.importorskip("pandas")
    trace = Trace({"iteration": [0, 1], "loss": [2.0, 1.0]})
    assert pandas.DataFrame(dict(trace)).shape == (2, 2)


def test_an_unknown_column_is_named():
    with pytest.raises(KeyError, match="column must be one of"):
        Trace({"loss": [1.0]})["lost"]


def test_figure_shows_the_columns_there_are():
    bowl = from_callables(lambda x: (0.5 * x @ x, x), n_params=2)
    result = minimize(bowl, np.ones(2), SGD(0.1), max_iterations=5)
    figure = plot_trace(result, against="seconds")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "gradient norm"]
    assert figure.axes[0].get_yscale() == "log"
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), result.trace["loss"])
    with pytest.raises(ValueError, match="against must be a column"):
        plot_trace(result, against="hours")
