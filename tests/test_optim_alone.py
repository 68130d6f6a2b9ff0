"""The optimisers in an environment with NumPy and SciPy only."""

import os
import subprocess
import sys
from pathlib import Path

import optim

SCRIPT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

# What an installation of NumPy and SciPy has: the standard library and themselves.
allowed = set(sys.stdlib_module_names) | {"numpy", "scipy", "optim", "_distutils_hack", "numpy_distutils"}
sys.meta_path.insert(0, Refuse())

import numpy as np
import optim
from optim import Adam, HessianFree, Nesterov, checks, from_callables, minimize

A = np.diag([1.0, 10.0])
bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2)
checks.check(bowl, np.ones(2))
for method in (HessianFree(), Adam(0.1), Nesterov(0.01, momentum=0.9)):
    assert minimize(bowl, np.ones(2), method, max_iterations=500, tolerance=1e-6).success, method
for name in optim.__all__:
    getattr(optim, name)
foreign = {name.partition(".")[0] for name in sys.modules} - allowed - set(sys.builtin_module_names) - {"__main__"}
print(sorted(name for name in foreign if not name.startswith(("_", "cython", "sitecustomize", "usercustomize"))))
"""


def test_methods_run_with_numpy_and_scipy_only():
    environment = {**os.environ, "PYTHONPATH": str(Path(optim.__file__).parents[1])}
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"
