"""The optimisers in an environment with NumPy and SciPy only.

Here everything else is hidden from the script. `.ci/run` runs it where nothing else is installed.
"""

import os
import subprocess
import sys
from pathlib import Path

import optim

SCRIPT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

# What an installation of NumPy and SciPy has: the standard library and themselves.
allowed = set(sys.stdlib_module_names) | {"numpy", "scipy", "optim", "_distutils_hack", "numpy_distutils"}
sys.meta_path.insert(0, Refuse())

import numpy as np
import scipy.optimize
import optim
from optim import SGD, Adagrad, Adam, HessianFree, Momentum, Nesterov, RMSProp, checks, from_callables, minimize
from optim.distributed import ShardedObjective, run_threads
from optim.for_scipy import hessian_free

A = np.diag([1.0, 10.0])
bowl = from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2)
start = np.ones(2)
checks.check(bowl, start)
descents = SGD(0.1), Momentum(0.05, momentum=0.5), Nesterov(0.01, momentum=0.9), Adam(0.1)
for method in (HessianFree(), *descents):
    assert minimize(bowl, start, method, max_iterations=500, tolerance=1e-6).success, method
for method in (Adagrad(0.5), RMSProp(0.01)):
    assert minimize(bowl, start, method, max_iterations=300).value < 1e-3, method
found = scipy.optimize.minimize(
    lambda x: 0.5 * x @ A @ x, start, jac=lambda x: A @ x, hessp=lambda x, v: A @ v, method=hessian_free
)
assert found.success and np.abs(found.x).max() < 1e-4, found
halves = run_threads(lambda communicator: minimize(ShardedObjective(bowl, communicator), start, HessianFree()), 2)
assert all(half.success for half in halves)
for name in optim.__all__:
    getattr(optim, name)
for name in ("torch", "jax"):
    __import__(f"optim.for_{name}")
foreign = {name.partition(".")[0] for name in sys.modules} - allowed - set(sys.builtin_module_names) - {"__main__"}
foreign = sorted(name for name in foreign if not name.startswith(("_", "cython", "sitecustomize", "usercustomize")))
assert foreign in ([], ["test_optim_alone"]), foreign
print("optim needs NumPy and SciPy only:", optim.__file__)
"""


def test_methods_run_with_numpy_and_scipy_only():
    environment = {**os.environ, "PYTHONPATH": str(Path(optim.__file__).parents[1])}
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "needs NumPy and SciPy only" in answer.stdout
