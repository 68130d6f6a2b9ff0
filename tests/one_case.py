"""Many points of one check in one test case."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def in_one_case(names: str, values: Iterable[Any]) -> Callable[[Callable], Callable]:
    """Decorator: ``pytest.mark.parametrize`` without a case for each value; a failure is noted with its values.

    For axes whose products ask the same question again, such as the sizes at which a sum is exact. Several of them on
    one check, each beside or below every ``parametrize``, run it at every combination.
    """
    axes, points = [name.strip() for name in names.split(",")], list(values)

    def fold(check: Callable) -> Callable:
        @functools.wraps(check)
        def check_all(**arguments: Any) -> None:
            for point in points:
                here = dict(zip(axes, point if len(axes) > 1 else [point], strict=True))
                try:
                    check(**arguments, **here)
                except Exception as error:
                    error.add_note(f"at {here}")
                    raise

        signature = inspect.signature(check)
        others = [parameter for name, parameter in signature.parameters.items() if name not in axes]
        check_all.__signature__ = signature.replace(parameters=others)
        return check_all

    return fold
