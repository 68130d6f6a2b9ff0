"""What a test run needs before the packages are imported: a kernel cache that is never stale, fixed examples.

Numba reuses a cached kernel when the file of a kernel it calls has changed, and also when the kernel was
compiled without the bounds check that is asked for now. So the cache folder is named by a hash of all sources that
kernels are made of and of Numba's settings. It lies in ``.numba_cache`` of a checkout, below ``NUMBA_CACHE_DIR`` if
that is set, and for installed packages in a temporary folder of this run.

The whole suite runs in several processes, which share that folder. Files that take long start first.
"""

import ast
import atexit
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

PACKAGES = ("optim", "reservoir", "cells", "studies")
CHECKOUT = Path(__file__).resolve().parents[1]
MOST_PROCESSES = 4  # each may compile what another compiles too
CACHES_KEPT = 8
SECONDS_IN_USE = 3600.0  # another run may be using a cache that was touched so recently

# What takes a minute or more, most of it the compiler's, in the order of its start. None is left to run alone at the
# end, and of neighbours, which two processes begin side by side, neither compiles what the other does.
LONG_FILES = (
    *("cells/test_cell_derivatives.py", "reservoir/test_kernels.py", "cells/test_objective.py", "test_processes.py"),
    *("cells/test_products.py", "reservoir/test_scikit_learn.py", "studies/test_studies.py", "reservoir/test_tiles.py"),
    *("cells/test_recurrent.py", "reservoir/test_estimator_input.py", "cells/test_estimator.py", "test_fitted.py"),
)

# Plain modules beside the tests, without examples of their own.
collect_ignore = ["contracts.py", "kernel_sources.py", "one_case.py", "toy_study.py", "naive"]


def package_folders() -> list[Path]:
    """Folders of the packages that an import would load; found without importing them."""
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    return [Path(next(iter(spec.submodule_search_locations))).resolve() for spec in specs]


def modules_imported(source: str) -> set[str]:
    """Dotted names that a source imports, those of functions and classes among them."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def kernel_sources() -> dict[str, str]:
    """What compiled code can come from: files that speak of Numba or hold a cell's step, and all that they import."""
    sources = {}
    for folder in package_folders():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join(path.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
            sources[name] = path.read_text(encoding="utf-8")
    holds_kernels = re.compile(r"\b(numba|llvmlite|njit)\b|^@step\(", re.MULTILINE)
    waiting = [name for name, text in sources.items() if holds_kernels.search(text)]
    reached = set()
    while waiting:
        name = waiting.pop()
        if name in sources and name not in reached:
            reached.add(name)
            waiting += modules_imported(sources[name])
    return {name: sources[name] for name in sorted(reached)}


def sources_and_settings_hash() -> str:
    digest = hashlib.sha256(repr(kernel_sources()).encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("NUMBA_") and name != "NUMBA_CACHE_DIR":
            digest.update(f"{name}={value}".encode())
    return digest.hexdigest()[:16]


def forget_old_caches(parent: Path) -> None:
    """Remove all but the caches used last."""
    caches = sorted(parent.glob("sources-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for cache in caches[CACHES_KEPT:]:
        if time.time() - cache.stat().st_mtime > SECONDS_IN_USE:
            shutil.rmtree(cache, ignore_errors=True)


def choose_kernel_cache() -> Path:
    if "PYTEST_XDIST_WORKER" in os.environ:  # one of the processes below: the folder is chosen
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if "NUMBA_CACHE_DIR" in os.environ:
        parent = Path(os.environ["NUMBA_CACHE_DIR"]).absolute()
    elif all(folder.parent == CHECKOUT for folder in package_folders()):
        parent = CHECKOUT / ".numba_cache"
    else:
        parent = Path(tempfile.mkdtemp(prefix="reservoir-hf-numba-"))
        atexit.register(shutil.rmtree, parent, ignore_errors=True)
    cache = parent / f"sources-{sources_and_settings_hash()}"
    cache.mkdir(parents=True, exist_ok=True)
    cache.touch()
    forget_old_caches(parent)
    return cache


# Numba reads the first when it is imported, and so do the processes that tests start.
os.environ["NUMBA_CACHE_DIR"] = str(choose_kernel_cache())
os.environ.setdefault("MPLBACKEND", "Agg")
# Before NumPy is imported. Several processes share the cores, and BLAS threads of one wait for those of another: the
# eigenvalues of 1000 units took two processes on two cores 1.3 s with one such thread each, and 5 s with two.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell lets its background jobs ignore Ctrl-C, and so would the processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run. The first one of a test may compile a kernel: no clock is held against it.
hypothesis.settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("fixed")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes that share the whole suite; where files of this folder are named, this one runs them."""
    from optim.threads import n_threads

    n_processes = min(n_threads(None), MOST_PROCESSES)
    return n_processes if n_processes > 1 and config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # the order below, in place of pytest-xdist's by numbers of cases


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        begin_with_long_files(items)
    if os.environ.get("NUMBA_DISABLE_JIT", "0") in {"", "0"}:
        return
    skip = pytest.mark.skip(reason="needs compiled kernels, and NUMBA_DISABLE_JIT is set")
    for item in items:
        if item.get_closest_marker("compiled"):
            item.add_marker(skip)


def begin_with_long_files(items: list[pytest.Item]) -> None:
    """Sort files by their place in ``LONG_FILES``, and the others by their number of cases."""
    n_cases = Counter(item.path for item in items)
    places = {CHECKOUT / "tests" / name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: (places.get(item.path, len(places)), -n_cases[item.path], str(item.path)))
