"""The rules of the house that can be read off the sources: who imports whom, and what no file contains.

One test a rule; each lists every place that breaks it.
"""

import ast
import enum
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import PACKAGES, package_folders
from contracts import every
from kernel_sources import kernels_in

MAX_LINES = 450
MAX_MODULES = 16  # of a wing
MAY_IMPORT = {
    "optim": set(),
    "reservoir": {"optim"},
    "cells": {"optim", "reservoir"},
    "studies": {"optim", "reservoir", "cells"},
}
# Wings of a package from the lowest to the highest: a module imports from its own wing and from those below.
# Modules that stand in no wing may be imported by any and may import any, as long as no circle comes of it.
WINGS = {
    "optim": ("checks", "for_torch"),
    "reservoir": ("simd", "data", "graph", "readout", "drive", "estimators", "forecasting", "search"),
    "cells": ("passes", "kinds", "shares", "device", "estimators", "language"),
    "studies": ("tasks", "learners", "bench"),
}
FLAT = {"optim", "studies"}  # one idea a file, one question a file: as many as there are
FILES = {
    path.relative_to(folder.parent): path
    for folder in package_folders()
    for path in sorted(folder.rglob("*"))
    if path.suffix in {".py", ".cu", ".cuh"}
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items() if name.suffix == ".py"}
KERNELS = kernels_in(TREES)
OF_LIBRARIES = {name: tree for name, tree in TREES.items() if name.parts[0] != "studies"}
OPTIONAL = {"torch", "jax", "cupy", "matplotlib", "pandas", "tqdm", "pooch", "dask", "mpi4py", "statsmodels"}


def dotted(name):
    """Name of the module in a file: reservoir.drive.lanes."""
    return ".".join(name.with_suffix("").parts).removesuffix(".__init__")


def wing(module):
    """The wing in which a module stands, or "" if it stands in none."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in WINGS.get(parts[0], ()) else ""


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


def wing_violations(module, node):
    """Imports below ``node`` that point from a wing to one above it."""
    order = WINGS[top(module)]
    for line, imported, names in imports(node):
        for found in {imported, *(f"{imported}.{name}" for name in names)}:
            if top(found) == top(module) and wing(module) and wing(found):
                if order.index(wing(found)) > order.index(wing(module)):
                    yield f"line {line}: {module} imports {found}, but {' <- '.join(order)}"


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


def mutable_state(node):
    """What a module keeps and could change: names that are no constants, and ``global``."""
    for part in node.body:
        assignments = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
        names = [name.id for name in assignments if isinstance(name, ast.Name)]
        if is_mutable(getattr(part, "value", None)):
            yield from (f"line {part.lineno}: {name}" for name in names if not (name.isupper() or name == "__all__"))
    yield from (f"line {part.lineno}: global" for part in ast.walk(node) if isinstance(part, ast.Global))


def circles(graph):
    """A circle of imports, as the modules on the way, for every module from which one is met."""

    def search(module, way):
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return None
        found = next((circle for part in sorted(graph[module]) if (circle := search(part, [*way, module]))), None)
        done.add(module)
        return found

    done = set()
    return [circle for module in sorted(graph) if (circle := search(module, []))]


def internal_imports(trees=TREES):
    """Module -> modules of its package that it imports when it is imported; the package itself is not asked."""
    known = {dotted(name) for name in trees}
    graph = {}
    for name, tree in trees.items():
        imported = {
            found
            for node in run_at_import(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for _, module, names in imports(node)
            for found in (module, *(f"{module}.{part}" for part in names))
        }
        own = {found for found in imported & known if top(found) == name.parts[0] and found not in PACKAGES}
        graph[dotted(name)] = own - {dotted(name)}
    return graph


def everywhere(check, trees=TREES):
    """What ``check(tree)`` finds in every file, with the file's name."""
    return [f"{name}: {found}" for name, tree in trees.items() for found in check(tree)]


# --------------------------------------------------------------------------------------------- the rules hold


def test_imports_point_one_way():
    assert not [found for name, tree in TREES.items() for found in import_violations(name.parts[0], tree)]


def test_imports_name_the_whole_way():
    relative = [str(name) for name, tree in TREES.items() for _, module, _ in imports(tree) if module.startswith(".")]
    assert not relative, "the rules below read names that begin with a package"


def test_wings_know_only_what_is_below_them():
    assert not [found for name, tree in TREES.items() for found in wing_violations(dotted(name), tree)]


def test_no_import_runs_in_a_circle():
    assert not circles(internal_imports())


def test_no_folder_is_crowded():
    sizes = Counter(str(name.parent) for name in TREES if name.name != "__init__.py")
    assert not {folder: size for folder, size in sizes.items() if size > MAX_MODULES and folder not in FLAT}


def test_every_folder_is_a_wing():
    assert {name.parts[:-1] for name in FILES} == {
        way for package, wings in WINGS.items() for way in [(package,), *((package, wing) for wing in wings)]
    }


def test_no_name_of_a_file_stands_twice_in_a_package():
    names = Counter((name.parts[0], name.name) for name in FILES if name.name != "__init__.py")
    assert not [name for name, times in names.items() if times > 1]


def test_private_names_stay_at_home():
    assert not [found for name, tree in TREES.items() for found in private_names_used(name.parts[0], tree)]


def test_cupy_is_imported_in_optim_device_only():
    importers = {str(name) for name, tree in TREES.items() for _, module, _ in imports(tree) if top(module) == "cupy"}
    assert importers == {"optim/device.py"}, "ask optim.device.namespace instead"


def test_optional_dependencies_are_imported_lazily():
    def at_import(tree):
        for node in run_at_import(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from {top(module) for _, module, _ in imports(node)} & OPTIONAL

    assert not everywhere(at_import, OF_LIBRARIES), "import it inside the function that needs it"


def test_only_studies_print():
    def prints(tree):
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return [node.lineno for node in calls if ast.unparse(node.func) in {"print", "sys.stdout.write"}]

    assert not everywhere(prints, OF_LIBRARIES)


def test_fast_math_is_a_named_set_of_flags():
    def all_flags(tree):
        keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "fastmath"]
        return [node.lineno for node in keywords if ast.unparse(node.value) == "True"]

    assert not everywhere(all_flags), "True deletes isnan"


def test_a_file_is_one_idea_long():
    lengths = {str(name): len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}, "split it by idea"


def test_nothing_is_left_to_do_and_no_machine_is_named():
    left = re.compile(r"""\b(TODO|FIXME|XXX)\b|["'\s=(](/(?:home|tmp|root|work|Users)/\S*|[A-Z]:\\\\\S*)""")
    assert not {str(name): found for name, path in FILES.items() if (found := left.findall(path.read_text("utf-8")))}


def test_modules_keep_no_mutable_state():
    assert not everywhere(mutable_state)


def test_every_module_says_what_it_is():
    assert not [str(name) for name, tree in TREES.items() if not ast.get_docstring(tree)]


def test_packages_are_typed():
    assert not [folder.name for folder in package_folders() if not (folder / "py.typed").is_file()]


# ---------------------------------------------------------------------------------------------------- kernels


def test_kernels_are_found_again_in_the_disk_cache():
    assert not [name for name, kernel in KERNELS.items() if not kernel.is_at_module_level], "a closure is never found"
    uncached = [n for n, kernel in KERNELS.items() if not (kernel.is_inner or kernel.options.get("cache") == "True")]
    assert not uncached, "a new process should not compile again"
    parallel = [name for name, kernel in KERNELS.items() if "parallel" in kernel.options]
    assert not parallel, "threads are run by optim.threads.run_all over nogil kernels"


def test_kernels_are_explained():
    silent = [name for name, kernel in KERNELS.items() if not ast.get_docstring(kernel.node)]
    assert not silent, "say shapes, what is written, what may alias"


def test_kernels_raise_nothing():
    raising = [
        name for name, kernel in KERNELS.items()
        if any(isinstance(node, ast.Raise | ast.Assert) for node in ast.walk(kernel.node))
    ]  # fmt: skip
    assert not raising, "the function above the kernel checks"


def test_every_file_with_kernels_has_its_tests():
    files = {kernel.file for kernel in KERNELS.values()}
    tests = {file: Path(__file__).parent / file.parts[0] / f"test_{file.name}" for file in files}
    assert not [str(file) for file, test in tests.items() if file.parts[0] != "studies" and not test.is_file()]


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
        ("optim", "def f():\n    from reservoir.drive.kernels import drive"),
        ("reservoir", "from studies import rows"),
        ("cells", "import studies.bench.rows as rows"),
    ],
)
def test_an_arrow_against_the_house_is_seen(package, source):
    assert list(import_violations(package, ast.parse(source)))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("reservoir.simd.tiles", "from reservoir.drive.kernels import drive"),
        ("reservoir.data.tables", "def f():\n    import reservoir.estimators.regressor as regressor"),
        ("reservoir.drive.lanes", "from reservoir import estimators"),
        ("cells.passes.cell", "import numpy, cells.kinds.gru"),
        ("optim.checks.gradients", "from optim.for_torch import layers"),
    ],
)
def test_an_import_of_a_wing_above_is_seen(module, source):
    assert list(wing_violations(module, ast.parse(source)))


@pytest.mark.parametrize("module", ["reservoir.estimators.regressor", "reservoir.datasets", "reservoir.simd.tiles"])
def test_imports_from_below_from_beside_and_from_no_wing_are_free(module):
    source = "import reservoir.jit\nfrom reservoir.simd.vectors import aligned\nfrom optim.checks import gradients"
    assert not list(wing_violations(module, ast.parse(source)))


@pytest.mark.parametrize(
    ("sources", "circle"),
    [
        ({"a": "import cells.b", "b": "from cells import a"}, ["cells.a", "cells.b", "cells.a"]),
        (
            {"a": "import cells.b", "b": "from cells.c import x", "c": "class C:\n    from cells.b import y"},
            ["cells.b", "cells.c", "cells.b"],
        ),
        ({"a": "import cells.b", "b": "def later():\n    import cells.a"}, None),
        ({"a": "from cells import b, c", "b": "from cells import c", "c": "import cells, reservoir.a"}, None),
    ],
    ids=["two", "two on the way", "a late import", "a diamond"],
)
def test_a_circle_of_imports_is_seen(sources, circle):
    trees = {Path(f"cells/{name}.py"): ast.parse(source) for name, source in sources.items()}
    assert circles(internal_imports(trees)) == ([circle] if circle else [])


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
