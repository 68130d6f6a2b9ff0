"""What a user hands over, asked for in one wording: the argument, what was expected, what came, what to do.

A wrong kind is a TypeError, a wrong value a ValueError. Nothing is summed, multiplied or cast before it is bounded.
"""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

LARGEST = 2**63 - 1  # what a kernel's integers hold
_DEEPEST = 32  # lists in lists; NumPy walks a list that holds itself twice for ever
_RANDOM = (np.random.Generator, np.random.BitGenerator, np.random.SeedSequence)
_NO_NUMBERS = (bool, np.timedelta64)  # though Python and NumPy count them among the integers


class _Brief(reprlib.Repr):
    """Python's own short representation, which does not write out huge integers."""

    maxother = 60

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() <= 256 else f"an integer of {value.bit_length()} bits"


def brief(value: Any) -> str:
    """``value`` on one short line, whatever it is: for messages.

    Examples
    --------
    >>> from optim.arguments import brief
    >>> brief(10**99), brief(range(3))
    ('an integer of 329 bits', 'range(0, 3)')
    """
    if isinstance(value, np.generic):
        return f"numpy.{type(value).__name__}({brief(value.item())})"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    text = " ".join(_Brief().repr(value).split())
    return text if len(text) <= 120 else f"{text[:100]} ... (a {type(value).__name__})"


def integer(name: str, value: Any, *, least: int = 1, most: int = LARGEST, remedy: str = "give a whole number") -> int:
    """``value`` as an int, if it is an integer in [``least``, ``most``]; bool is none.

    Raises
    ------
    TypeError, ValueError
        Naming ``name``, what came, and ``remedy``.

    Examples
    --------
    >>> from optim.arguments import integer
    >>> integer("n_units", 1.5)
    Traceback (most recent call last):
    TypeError: n_units must be an integer >= 1, got 1.5; give a whole number.
    """
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, _NO_NUMBERS)
    if is_integer and least <= int(value) <= most:
        return int(value)
    is_huge = isinstance(value, int) and value > LARGEST
    wanted = f">= {least}" if most == LARGEST and not is_huge else f"in [{least}, {most}]"
    message = f"{name} must be an integer {wanted}, got {brief(value)}; {remedy}."
    raise ValueError(message) if is_integer else TypeError(message)


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    remedy: str = "give a plain number",
) -> float:
    """``value`` as a float, if it is a finite real number in the interval: ``least`` and ``most`` belong to it.

    Raises
    ------
    TypeError, ValueError
        Naming ``name``, what came, and ``remedy``.

    Examples
    --------
    >>> from optim.arguments import number
    >>> number("leak_rate", 1.5, above=0, most=1)
    Traceback (most recent call last):
    ValueError: leak_rate must be a finite number in (0, 1], got 1.5; give a plain number.
    """
    message = f"{name} must be a finite number{_interval(least, above, most, below)}, got {brief(value)}; {remedy}."
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, numbers.Real):
        raise TypeError(message)
    try:
        found = float(value)
    except OverflowError:  # an integer beyond the largest float
        found = math.inf
    is_inside = (
        math.isfinite(found)
        and (least is None or found >= least)
        and (above is None or found > above)
        and (most is None or found <= most)
        and (below is None or found < below)
    )
    if not is_inside:
        raise ValueError(message)
    return found


def fraction(name: str, value: Any, *, with_zero: bool = False, remedy: str = "give a share of the whole") -> float:
    """``value`` as a float, if it is a number in (0, 1), or [0, 1) ``with_zero``.

    Raises
    ------
    TypeError, ValueError
        Naming ``name``, what came, and ``remedy``.

    Examples
    --------
    >>> from optim.arguments import fraction
    >>> fraction("validation_fraction", 0.1)
    0.1
    """
    low = {"least": 0} if with_zero else {"above": 0}
    return number(name, value, **low, below=1, remedy=remedy)


def choice(name: str, value: Any, choices: Iterable[str], *, or_else: str = "", remedy: str = "choose one") -> str:
    """``value`` if it is one of ``choices``; ``or_else`` says what else the caller takes.

    Raises
    ------
    TypeError, ValueError
        For what is no text, and for text that is not among them.

    Examples
    --------
    >>> from optim.arguments import choice
    >>> choice("solver", "adma", ("adam", "sgd"))
    Traceback (most recent call last):
    ValueError: solver must be one of 'adam', 'sgd', got 'adma'; choose one.
    """
    choices = tuple(choices)
    listed = ", ".join(map(repr, choices)) + (f", or {or_else}" if or_else else "")
    message = f"{name} must be one of {listed}, got {brief(value)}; {remedy}."
    if not isinstance(value, str):
        raise TypeError(message)
    if value not in choices:
        raise ValueError(message)
    return str(value)


def options(name: str, given: Any, allowed: Iterable[str]) -> dict[str, Any]:
    """``given`` as keyword arguments, if every one of its names is among ``allowed``; None is no argument at all.

    Raises
    ------
    TypeError, ValueError
        For what is no dict with names as keys, and for names that are not among them.

    Examples
    --------
    >>> from optim.arguments import options
    >>> options("hf_options", {"dampening": 1.0}, ("damping", "cg"))
    Traceback (most recent call last):
    ValueError: hf_options must be among damping, cg, got 'dampening'; correct the name.
    """
    allowed = tuple(allowed)
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise TypeError(f"{name} must be a dict of {', '.join(allowed)}, got {brief(given)}; give names and values.")
    unknown = [key for key in given if key not in allowed]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise ValueError(f"{name} must be among {', '.join(allowed)}, got {listed}; correct the name.")
    return dict(given)


def precision(name: str, value: Any) -> type[np.floating] | None:
    """float64 or float32 as NumPy's type, from whatever names it; None stays None.

    Raises
    ------
    TypeError, ValueError
        For what names no dtype, and for other dtypes.

    Examples
    --------
    >>> from optim.arguments import precision
    >>> precision("dtype", "f4")
    <class 'numpy.float32'>
    """
    if value is None:
        return None
    if isinstance(value, np.dtype) and value.type in (np.float64, np.float32):  # a message would take longer
        return value.type
    message = f"{name} must be None, numpy.float64 or numpy.float32, got {brief(value)}; choose a precision."
    try:
        found = np.dtype(value)
    except (TypeError, ValueError) as error:
        raise TypeError(message) from error
    if found not in (np.float64, np.float32):
        raise ValueError(message)
    return found.type


def generator(random_state: Any) -> np.random.Generator:
    """Generator from what scikit-learn's users pass; an int gives the same numbers every time.

    Raises
    ------
    TypeError, ValueError
        For what is neither None, a Generator, a RandomState nor an integer >= 0.

    Examples
    --------
    >>> from optim.arguments import generator
    >>> int(generator(0).integers(100))
    85
    """
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    if random_state is None or isinstance(random_state, _RANDOM):
        return np.random.default_rng(random_state)
    if isinstance(random_state, numbers.Integral) and random_state > LARGEST:  # a seed of many bits, as NumPy takes it
        return np.random.default_rng(int(random_state))
    seed = integer("random_state", random_state, least=0, remedy="a Generator, a RandomState and None serve as well")
    return np.random.default_rng(seed)


def flag(name: str, value: Any, *, remedy: str = "give True or False") -> bool:
    """``value`` as a bool, if it is one: a text such as "no" would count as true.

    Raises
    ------
    TypeError
        Naming ``name``, what came, and ``remedy``.

    Examples
    --------
    >>> from optim.arguments import flag
    >>> flag("fit_intercept", "no")
    Traceback (most recent call last):
    TypeError: fit_intercept must be True or False, got 'no'; give True or False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {brief(value)}; {remedy}.")
    return bool(value)


def as_array(name: str, value: Any, *, remedy: str = "make all rows equally long") -> np.ndarray:
    """``value`` as NumPy's array of whatever it holds: a view where there is one.

    Raises
    ------
    TypeError
        For what is no array and no list: a set, a dict, a generator, None.
    ValueError
        For lists that are ragged or hold themselves, and where anything is masked.

    Examples
    --------
    >>> from optim.arguments import as_array
    >>> as_array("y", [[1, 2], [3]])
    Traceback (most recent call last):
    ValueError: y must be a rectangular array, got nested lists of unequal shape in [[1, 2], [3]]; make ...
    """
    members = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(member, np.ma.MaskedArray) and np.ma.is_masked(member) for member in members):
        raise ValueError(
            f"{name} must have no masked entry, got some in {brief(value)}; fill them in, or leave those rows out."
        )
    if _is_nested(value, _DEEPEST):
        raise ValueError(
            f"{name} must be a rectangular array, got lists in lists more than {_DEEPEST} deep in {brief(value)}; "
            f"{remedy}."
        )
    try:
        found = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(value, (list, tuple)):
            raise ValueError(
                f"{name} must be a rectangular array, got nested lists of unequal shape in {brief(value)}; {remedy}."
            ) from error
        raise TypeError(f"{name} must be an array that NumPy can read, got {brief(value)} ({error}).") from error
    if found.dtype == object and found.ndim == 0 and not isinstance(value, numbers.Number):
        raise TypeError(f"{name} must be an array or a list, got {brief(value)}; give one of these.")
    return found


def reals(name: str, value: Any, *, remedy: str = "give plain numbers") -> np.ndarray:
    """``value`` as an array of finite real numbers, of whatever shape and type of real numbers.

    Raises
    ------
    TypeError
        For what holds anything else than real numbers.
    ValueError
        For NaN, infinity and what `as_array` refuses.

    Examples
    --------
    >>> from optim.arguments import reals
    >>> reals("alpha", [1, float("nan")])
    Traceback (most recent call last):
    ValueError: alpha must hold finite real numbers, got [1, nan]; give plain numbers.
    """
    message = f"{name} must hold finite real numbers, got {brief(value)}; {remedy}."
    found = as_array(name, value)
    if found.dtype == object:  # integers beyond 64 bits, or something else
        found = np.array([number(name, member, remedy=remedy) for member in found.flat]).reshape(found.shape)
    if found.dtype.kind not in "iuf":
        raise TypeError(message)
    if not np.isfinite(found).all():
        raise ValueError(message)
    return found


def _is_nested(value: Any, depth: int) -> bool:
    """Whether ``value`` holds lists or tuples in one another ``depth`` deep, judged by their first members."""
    while depth > 0 and isinstance(value, (list, tuple)) and len(value) > 0:
        value, depth = value[0], depth - 1
    return depth == 0


def array(
    name: str,
    value: Any,
    *,
    shape: tuple[int | None, ...],
    dtype: Any,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    remedy: str = "give such an array",
) -> np.ndarray:
    """``value`` if it is a NumPy array of this shape (None: any length) and dtype, finite, all of it in the interval.

    Raises
    ------
    TypeError, ValueError
        Naming ``name``, what came, and ``remedy``.

    Examples
    --------
    >>> import numpy as np
    >>> from optim.arguments import array
    >>> array("leak", np.ones(3), shape=(4,), dtype=float)
    Traceback (most recent call last):
    ValueError: leak must be finite float64 of shape (4,), got float64 of shape (3,); give such an array.
    """
    lengths = ", ".join("n" if length is None else str(length) for length in shape)
    wanted = f"({lengths},)" if len(shape) == 1 else f"({lengths})"
    message = f"{name} must be finite {np.dtype(dtype)} of shape {wanted}{_interval(least, above, most, None)}, got "
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{message}{brief(value)}; {remedy}.")
    if value.dtype != dtype:
        raise TypeError(f"{message}{value.dtype} of shape {value.shape}; {remedy}.")
    is_fit = len(value.shape) == len(shape) and all(
        length in (None, n) for length, n in zip(shape, value.shape, strict=True)
    )
    if not is_fit:
        raise ValueError(f"{message}{value.dtype} of shape {value.shape}; {remedy}.")
    if value.size:
        low, high = value.min(), value.max()  # NaN where there is one
        is_inside = (
            np.isfinite(low + 0.0)
            and np.isfinite(high + 0.0)
            and (least is None or low >= least)
            and (above is None or low > above)
            and (most is None or high <= most)
        )
        if not is_inside:
            raise ValueError(f"{message}numbers from {low} to {high}; {remedy}.")
    return value


def _interval(least: float | None, above: float | None, most: float | None, below: float | None) -> str:
    low, high = (least if above is None else above), (most if below is None else below)
    if low is None and high is None:
        return ""
    if high is None:
        return f" {'>=' if above is None else '>'} {low:g}"
    if low is None:
        return f" {'<=' if below is None else '<'} {high:g}"
    return f" in {'[' if above is None else '('}{low:g}, {high:g}{']' if below is None else ')'}"
