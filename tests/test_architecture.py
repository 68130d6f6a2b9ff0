"""The rules of the house that can be read off the sources: who imports whom, and what no file contains."""

import ast
import enum
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PACKAGES, package_folders
from contracts import KERNELS, every

MAX_LINES = 450
MAY_IMPORT = {
    "optim": set(),
    "reservoir": {"optim"},
    "cells": {"optim", "reservoir"},
    "studies": {"optim", "reservoir", "cells"},
}
FILES = {
    str(path.relative_to(folder.parent)): path
    for folder in package_folders()
    for path in sorted(folder.rglob("*"))
    if path.suffix in {".py", ".cu", ".cuh"}
}
MODULES = {name: path for name, path in FILES.items() if path.suffix == ".py"}
OPTIONAL = {"torch", "jax", "cupy", "matplotlib", "pandas", "tqdm", "pooch", "dask", "mpi4py", "statsmodels"}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(node):
    """(line, dotted module, imported names) of the imports below ``node``; relative ones start with a dot."""
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            for alias in part.names:
                yield part.lineno, alias.name, []
        elif isinstance(part, ast.ImportFrom):
            yield part.lineno, "." * part.level + (part.module or ""), [alias.name for alias in part.names]


def top(module):
    return module.partition(".")[0]


def import_violations(package, node):
    """Imports below ``node`` that a module of ``package`` must not make."""
    for line, module, _ in imports(node):
        if top(module) in PACKAGES and top(module) not in MAY_IMPORT[package] | {package}:
            yield f"line {line}: {package} imports {module}, but studies -> cells -> reservoir -> optim"


def private_names_used(package, node):
    """Private names of another of our packages that the code below ``node`` imports or reads."""
    modules = {}
    for line, module, names in imports(node):
        if top(module) not in PACKAGES or top(module) == package:
            continue
        modules.update(dict.fromkeys([module, *names], module))
        for name in [*module.split("."), *names]:
            if name.startswith("_") and not name.startswith("__"):
                yield f"line {line}: {name} of {module} is private"
    for part in ast.walk(node):
        is_private = isinstance(part, ast.Attribute) and re.match(r"_(?!_)", part.attr)
        if is_private and ast.unparse(part.value) in modules:
            yield f"line {part.lineno}: {ast.unparse(part)} is private"


def run_at_import(node):
    """Nodes that run at import: everything outside function bodies."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from run_at_import(child)


def is_mutable(value):
    """Whether the expression makes a list, a dict or a set."""
    makes = isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in {
        *("list", "dict", "set", "defaultdict", "OrderedDict", "Counter", "deque", "WeakKeyDictionary"),
    }
    displays = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    return makes or isinstance(value, displays)


# --------------------------------------------------------------------------------------------- the rules hold


@every(MODULES)
def test_imports_point_one_way(path):
    assert not list(import_violations(path.parent.name, tree(path)))


@every(MODULES)
def test_private_names_stay_at_home(path):
    assert not list(private_names_used(path.parent.name, tree(path)))


@every(MODULES)
def test_cupy_is_imported_in_optim_device_only(path):
    importers = [line for line, module, _ in imports(tree(path)) if top(module) == "cupy"]
    if (path.parent.name, path.name) != ("optim", "device.py"):
        assert not importers, "ask optim.device.namespace instead"
    else:
        assert importers


@every({name: path for name, path in MODULES.items() if path.parent.name != "studies"})
def test_optional_dependencies_are_imported_lazily(path):
    at_import = [node for node in run_at_import(tree(path)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {top(module) for node in at_import for _, module, _ in imports(node)}
    assert not modules & OPTIONAL, "import it inside the function that needs it"


@every({name: path for name, path in MODULES.items() if path.parent.name != "studies"})
def test_only_studies_print(path):
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [node.lineno for node in calls if ast.unparse(node.func) in {"print", "sys.stdout.write"}]


@every(MODULES)
def test_fast_math_is_a_named_set_of_flags(path):
    keywords = [node for node in ast.walk(tree(path)) if isinstance(node, ast.keyword) and node.arg == "fastmath"]
    assert not [node.lineno for node in keywords if ast.unparse(node.value) == "True"], "True deletes isnan"


@every(FILES)
def test_a_file_is_one_idea_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES, "split it by idea"


@every(FILES)
def test_nothing_is_left_to_do_and_no_machine_is_named(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"\b(TODO|FIXME|XXX)\b", text)
    assert not re.findall(r"""["'\s=(](/(?:home|tmp|root|work|Users)/\S*|[A-Z]:\\\\\S*)""", text)


@every(MODULES)
def test_modules_keep_no_mutable_state(path):
    for node in tree(path).body:
        assignments = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [name.id for name in assignments if isinstance(name, ast.Name)]
        if is_mutable(getattr(node, "value", None)):
            assert all(name.isupper() or name == "__all__" for name in names), f"line {node.lineno}: {names}"
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Global)]


@every(MODULES)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(tree(path))


def test_packages_are_typed():
    assert not [folder.name for folder in package_folders() if not (folder / "py.typed").is_file()]


# ---------------------------------------------------------------------------------------------------- kernels


@every(KERNELS)
def test_kernels_are_found_again_in_the_disk_cache(kernel):
    assert kernel.is_at_module_level, "a closure is never found again in the disk cache"
    assert kernel.is_inner or kernel.options.get("cache") == "True", "a new process should not compile again"
    assert "parallel" not in kernel.options, "threads are run by optim.threads.run_all over nogil kernels"


@every(KERNELS)
def test_kernels_are_explained(kernel):
    assert ast.get_docstring(kernel.node), "say shapes, what is written, what may alias"


@every(KERNELS)
def test_kernels_raise_nothing(kernel):
    found = [node.lineno for node in ast.walk(kernel.node) if isinstance(node, ast.Raise | ast.Assert)]
    assert not found, "the function above the kernel checks"


@every({kernel.file: kernel.file for kernel in KERNELS.values() if kernel.file.split("/")[0] != "studies"})
def test_every_file_with_kernels_has_its_tests(file):
    assert (Path(__file__).parent / f"test_{Path(file).name}").is_file()


# ----------------------------------------------------------------------------------------------- public names


def public_names():
    import cells
    import optim
    import reservoir

    packages = (optim, reservoir, cells)
    return {f"{package.__name__}.{name}": getattr(package, name) for package in packages for name in package.__all__}


def is_ready_made(public):
    """Warnings, errors and enumerations: their constructors are Python's."""
    return inspect.isclass(public) and issubclass(public, (Exception, enum.Enum))


@every(public_names())
def test_public_names_are_documented(public):
    if is_ready_made(public) or not (inspect.isclass(public) or inspect.isfunction(public)):
        assert inspect.getdoc(public)
        return
    text = inspect.getdoc(public) or ""
    parameters = [
        name
        for name, parameter in inspect.signature(public).parameters.items()
        if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]
    ancestors = inspect.getmro(public)[1:-1] if inspect.isclass(public) else ()
    texts = [text, *(inspect.getdoc(ancestor) or "" for ancestor in ancestors)]
    section = re.compile(r"^Parameters\n-+\n(.*?)(^\S[^\n]*\n-{3,}\n|\Z)", re.MULTILINE | re.DOTALL)
    documented = [found.group(1) for found in map(section.search, texts) if found]
    assert documented or not parameters
    listed = re.findall(r"^((?:\w+, )*\w+) *(?::|$)", "\n".join(documented), re.MULTILINE)
    assert set(parameters) <= {name for line in listed for name in line.split(", ")}


@every(public_names())
def test_public_names_have_an_example(public):
    if (inspect.isclass(public) or inspect.isfunction(public)) and not is_ready_made(public):
        assert ">>>" in inspect.getdoc(public)


# -------------------------------------------------------------------------------------------- a fresh process


@pytest.fixture(scope="module")
def after_import():
    """What a fresh process has loaded once the packages are imported, and has loaded and compiled with all names."""
    script = (
        "import json, sys, numba, optim, reservoir, cells\n"
        "at_first = sorted(sys.modules)\n"
        "[getattr(package, name) for package in (optim, reservoir, cells) for name in package.__all__]\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "kernels = [value for name, module in list(sys.modules.items())\n"
        "           if name.partition('.')[0] in ('optim', 'reservoir', 'cells')\n"
        "           for value in vars(module).values() if isinstance(value, Dispatcher)]\n"
        "compiled = sorted({kernel.__name__ for kernel in kernels if kernel.signatures})\n"
        "print(json.dumps({'at_first': at_first, 'modules': sorted(sys.modules), 'compiled': compiled}))\n"
    )
    path = os.pathsep.join(str(folder.parent) for folder in package_folders()[:1])
    environment = {**os.environ, "PYTHONPATH": path}
    answer = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(answer.stdout)


def test_import_loads_no_optional_dependency(after_import):
    # Where pandas is installed scikit-learn itself loads it; the static rule above holds for our files.
    assert not {top(name) for name in after_import["modules"]} & (OPTIONAL - {"pandas"})


def test_scikit_learn_is_loaded_with_the_estimators_only(after_import):
    assert "sklearn" not in after_import["at_first"]
    assert "sklearn" in after_import["modules"]


@pytest.mark.parametrize("package", ["reservoir", "cells"])
def test_a_package_that_loads_names_late_lists_them_all_and_refuses_others(package):
    module = importlib.import_module(package)
    assert set(dir(module)) == set(module.__all__)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_nothing_is_compiled_at_import(after_import):
    assert after_import["compiled"] == []


# ------------------------------------------------------------------------------------------- the checkers see


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("optim", "import reservoir"),
        ("optim", "def f():\n    from reservoir.drive import drive"),
        ("reservoir", "from studies import rows"),
        ("cells", "import studies.rows as rows"),
    ],
)
def test_an_arrow_against_the_house_is_seen(package, source):
    assert list(import_violations(package, ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "from optim.device import _cupy",
        "from optim import device\ndevice._cupy()",
        "import optim.device\noptim.device._cupy()",
    ],
)
def test_a_borrowed_private_name_is_seen(source):
    assert list(private_names_used("reservoir", ast.parse(source)))


@pytest.mark.parametrize("source", ["[]", "{}", "set()", "collections.defaultdict(list)", "[i for i in x]"])
def test_mutable_values_are_seen(source):
    assert is_mutable(ast.parse(source, mode="eval").body)
