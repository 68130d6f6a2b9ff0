"""Compiled functions as plain Python, while others run compiled."""

import types

from numba.core.dispatcher import Dispatcher


def plain(function):
    """``function`` as it is with the JIT switched off, and so everything that it calls."""
    if isinstance(function, Dispatcher):
        function = function.py_func
    known = dict(function.__globals__)
    result = types.FunctionType(function.__code__, known, function.__name__, function.__defaults__)
    for name in function.__code__.co_names:
        if isinstance(known.get(name), Dispatcher):
            known[name] = plain(known[name])
    return result
