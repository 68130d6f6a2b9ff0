"""What forecasts come back in: pandas tables and series, names kept and the index continued, or a 1-D array."""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.arguments import as_array, brief, choice, integer
from reservoir.alarms import IndexNotContinuedWarning

KINDS = ("times", "durations", "periods", "numbers", "none")


@dataclass(frozen=True)
class Container:
    """What continues a pandas object, or a 1-D array.

    Attributes
    ----------
    is_series : bool
        A Series or a 1-D array, or else a DataFrame.
    columns : tuple
        Names of the columns; of a Series its own.
    kind : {"times", "durations", "periods", "numbers", "none"}
        Of the index; an array has none.
    last : str or int
        Its last entry; times without their zone.
    step : str or int
        Its frequency, in pandas' letters, or the difference of two numbers.
    zone : str or None
    index_name : str or None

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from reservoir.data.containers import container_of
    >>> sales = pd.Series([1.0, 2.0, 3.0], pd.date_range("2020-01-01", periods=3, freq="MS"), name="sales")
    >>> container_of(sales).filled(np.array([[4.0], [5.0]]))
    2020-04-01    4.0
    2020-05-01    5.0
    Freq: MS, Name: sales, dtype: float64
    """

    is_series: bool
    columns: tuple
    kind: str
    last: Any
    step: Any
    zone: str | None = None
    index_name: str | None = None

    def __post_init__(self):
        choice("kind", self.kind, KINDS)
        if self.kind == "numbers":
            integer("last", self.last, least=-(2**62), most=2**62)
            integer("step", self.step, least=-(2**31), most=2**31)

    def filled(self, values: np.ndarray) -> Any:
        """``values`` (n_steps, n_columns) as what follows."""
        if self.kind == "none":
            return values[:, 0]
        import pandas as pd

        index = self._index(pd, len(values))
        if self.is_series:
            return pd.Series(values[:, 0], index, name=self.columns[0])
        return pd.DataFrame(values, index, columns=list(self.columns))

    def after(self, new: Any, n: int) -> Container:
        """What continues ``new``, which has followed: itself a pandas object, or ``n`` rows without an index.

        Warns
        -----
        IndexNotContinuedWarning
            If its index does not begin where this one ends.
        """
        follows = self.filled(np.zeros((n, len(self.columns))))
        if not is_pandas(new) or self.kind == "none":
            return container_of(follows)
        if new.index[0] != follows.index[0]:
            warnings.warn(
                f"X must begin at {follows.index[0]}, where the rows seen end, got {new.index[0]}; give those between, "
                "too. Its rows are taken to follow all the same.",
                IndexNotContinuedWarning,
                stacklevel=4,
            )
        return container_of(new)

    def _index(self, pd: Any, n: int) -> Any:
        name = self.index_name
        if self.kind == "times":
            return pd.date_range(self.last, periods=n + 1, freq=self.step, tz=self.zone, name=name)[1:]
        if self.kind == "durations":
            return pd.timedelta_range(self.last, periods=n + 1, freq=self.step, name=name)[1:]
        if self.kind == "periods":
            return pd.period_range(pd.Period(self.last, self.step), periods=n + 1, name=name)[1:]
        return pd.RangeIndex(self.last + self.step, self.last + self.step * (n + 1), self.step, name=name)


def is_pandas(values: Any) -> bool:
    """Whether ``values`` is a DataFrame or a Series of pandas."""
    return all(hasattr(values, name) for name in ("iloc", "index", "to_numpy"))


def is_flat(values: Any) -> bool:
    """Whether ``values`` is one series of plain numbers: a 1-D array or a list of them, and no pandas object.

    Examples
    --------
    >>> import numpy as np
    >>> from reservoir.data.containers import is_flat
    >>> is_flat([1, 2.5]), is_flat(np.zeros(3)), is_flat(np.zeros((3, 1))), is_flat([np.zeros(3)])
    (True, True, False, False)
    """
    if isinstance(values, (list, tuple)):
        return len(values) > 0 and isinstance(values[0], numbers.Real)
    if is_pandas(values) or len(getattr(values, "shape", ())) != 1:
        return False
    return getattr(values.dtype, "kind", "") != "O" or (len(values) > 0 and isinstance(values[0], numbers.Real))


def as_table(values: Any) -> Any:
    """A Series or plain numbers, or each Series in a list, as a table of one column; whatever else as it is."""
    if is_flat(values):
        return as_array("X", values)[:, None]
    if isinstance(values, (list, tuple)):
        return [as_table(member) for member in values] if any(map(is_pandas, values)) else values
    if is_pandas(values) and not hasattr(values, "columns"):
        return values.to_frame(values.name if isinstance(values.name, str) else 0)
    return values


def container_of(values: Any) -> Container | None:
    """What continues ``values``; None for what is neither a pandas object nor 1-D.

    Warns
    -----
    IndexNotContinuedWarning
        If its index has no frequency.
    """
    if not is_pandas(values):
        return Container(True, (None,), "none", 0, 0) if is_flat(values) else None
    is_series = not hasattr(values, "columns")
    columns = (values.name,) if is_series else tuple(values.columns.tolist())
    return Container(is_series, columns, *_end(values.index), values.index.name)


def labelled(X: Any, values: Any) -> Any:
    """``values``, beside the rows of X or of each of a list X, with the names and the index of pandas objects."""
    if isinstance(X, (list, tuple)) and any(map(is_pandas, X)):
        return [labelled(member, its) for member, its in zip(X, values, strict=True)]
    if is_flat(X):
        return values[:, 0]
    if not is_pandas(X) or values.shape != as_table(X).shape:
        return values
    if not hasattr(X, "columns"):
        return type(X)(values[:, 0], X.index, name=X.name)
    return type(X)(values, X.index, columns=X.columns)


def containers_of(X: Any, form: str) -> Container | tuple | None:
    """Of one series its container, of a list a tuple of them, of other forms None."""
    if form == "rows":
        return container_of(X)
    return tuple(container_of(member) for member in X) if form == "list" and any(map(is_pandas, X)) else None


def in_containers(series: np.ndarray, form: str, containers: Container | tuple | None) -> Any:
    """Forecasts (S, n_steps, O) in the form of the series that they continue."""
    if form == "list":
        pairs = zip(series, containers or [None] * len(series), strict=True)
        return [values if container is None else container.filled(values) for values, container in pairs]
    if len(series) == 1 and form != "stack":
        return series[0] if containers is None else containers.filled(series[0])
    return series


def check_containers(containers: Any, n_columns: int, n_series: int) -> None:
    """Raise unless they are containers of ``n_columns``, as `containers_of` makes them."""
    each = containers if isinstance(containers, tuple) else (containers,)
    if isinstance(containers, tuple) and len(each) != n_series:
        raise ValueError(f"container_ must have {n_series} members, got {len(each)}; save it again.")
    for member in each:
        if not isinstance(member, Container | None):
            raise TypeError(f"container_ must hold containers, got {brief(member)}; save it again.")
        if member is not None and len(member.columns) != n_columns:
            raise ValueError(f"container_ must have {n_columns} columns, got {brief(member.columns)}; save it again.")


def _end(index: Any) -> tuple[str, Any, Any, str | None]:
    """Kind, last entry, step and zone of an index."""
    import pandas as pd

    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex | pd.PeriodIndex):
        ticks = np.diff(index.asi8)
        if isinstance(index, pd.PeriodIndex) and (ticks > 0).all() and len(np.unique(ticks)) < 2:
            return "periods", str(index[-1]), index.freqstr, None
        step = None
        if (ticks > 0).all() and not isinstance(index, pd.PeriodIndex):
            step = index.freqstr or (type(index)(index, freq="infer").freqstr if len(index) > 2 else None)
        if step is not None and isinstance(index, pd.TimedeltaIndex):
            return "durations", str(index[-1]), step, None
        if step is not None:
            zone = None if index.tz is None else str(index.tz)
            return "times", index[-1].tz_localize(None).isoformat(), step, zone
        fault = _fault(index, ticks)
    elif index.dtype.kind in "iu":
        steps = np.unique(np.diff(index.to_numpy().astype(np.int64)))
        if len(steps) <= 1:
            return "numbers", int(index[-1]), int(steps[0]) if len(steps) else 1, None
        fault = "in steps that differ; give a RangeIndex, or times"
    else:
        fault = "without one; set it by X.asfreq(...), or give a PeriodIndex"
    warnings.warn(
        f"X must have an index with a frequency to be continued, got {type(index).__name__} of {len(index)} entries "
        f"{fault}. Rows are taken as they come, one step apart, and forecasts are numbered.",
        IndexNotContinuedWarning,
        stacklevel=6,
    )
    return "numbers", len(index) - 1, 1, None


def _fault(index: Any, ticks: np.ndarray) -> str:
    """Why times cannot be continued, and what to do; ``ticks`` lie between them."""
    if (ticks < 0).any():
        return "that are not in the order of time; sort them by X.sort_index()"
    n_again, is_gap = np.count_nonzero(ticks == 0), ticks > 1.5 * np.median(ticks)
    if n_again > 0:
        return f"of which {n_again} come again; give one row a time, as by X.groupby(level=0).mean()"
    n_gaps, first = np.count_nonzero(is_gap), index[int(np.argmax(is_gap))]
    if 0 < n_gaps < len(ticks) / 4:
        return f"with {n_gaps} gaps, the first after {first}; fill them in, as by X.asfreq(...).interpolate()"
    return "without one; set it by X.asfreq(...), or give a PeriodIndex"
