"""Compiled functions of the packages, as their sources tell them; nothing is imported or compiled for it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kernel:
    """A function that stands under ``njit`` or ``jit``: ``options`` are the keywords of its decorator.

    ``is_inner`` says that another compiled function calls it, and so compiles it into itself.
    """

    file: Path
    node: ast.FunctionDef
    options: dict[str, str]
    is_at_module_level: bool
    is_inner: bool


def kernels_in(trees: Mapping[Path, ast.Module]) -> dict[str, Kernel]:
    """``file::name`` -> kernel, of all files together."""
    compiled = [
        (file, tree, node)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and is_compiled(node)
    ]
    called = {callee for _, _, caller in compiled for callee in names_called(caller) - {caller.name}}
    return {
        f"{file.as_posix()}::{node.name}": Kernel(file, node, options(node), node in tree.body, node.name in called)
        for file, tree, node in compiled
        if jit_decorator(node) is not None
    }


def is_compiled(node: ast.FunctionDef) -> bool:
    """Whether a function stands under ``njit`` or is a cell's step, which the passes compile."""
    is_step = any(ast.unparse(decorator).startswith("step(") for decorator in node.decorator_list)
    return is_step or jit_decorator(node) is not None


def jit_decorator(node: ast.FunctionDef) -> ast.expr | None:
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if ast.unparse(called) in {"njit", "jit", "numba.njit", "numba.jit"}:
            return decorator
    return None


def options(node: ast.FunctionDef) -> dict[str, str]:
    keywords = getattr(jit_decorator(node), "keywords", [])
    return {str(keyword.arg): ast.unparse(keyword.value) for keyword in keywords}


def names_called(node: ast.FunctionDef) -> set[str]:
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {ast.unparse(call.func).rpartition(".")[2] for call in calls}
