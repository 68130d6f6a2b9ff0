"""What holds across processes, threads and interrupts: same bits, quick Ctrl-C, clean failures, flat memory.

Each scenario is a short script run in a fresh interpreter; what it prints as JSON is what the test looks at.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from conftest import package_folders
from contracts import ESTIMATORS, WITH_ROWS, every
from optim.threads import EXIT_S

pytestmark = pytest.mark.compiled

ANSWER_TO_CTRL_C_S = 1.0
MIB = 2**20
# Above the data: tiles, compiled code of kernels first met in the long fit, and what the allocator keeps.
GROWTH_MIB = 64


def run_fresh(script, **variables):
    """What ``script`` prints, run in a new interpreter that finds the same packages."""
    path = str(package_folders()[0].parent)
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    command = [sys.executable, "-W", "error", "-c", script]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


SAME_BITS = """
import hashlib, json
import numpy as np
from reservoir import ESNClassifier, ESNForecaster, ESNRegressor, ReservoirTransformer

X = np.random.default_rng(0).standard_normal((6000, 3))
y = np.roll(X[:, 0], 1)
lengths = [2500, 1, 700, 2799]

def bits(n_jobs):
    options = dict(n_units=70, random_state=0, n_jobs=n_jobs)
    answers = dict(
        one=ESNRegressor(**options).fit(X, y).predict(X),
        many=ESNRegressor(**options, topology="shifts", state_noise=1e-3).fit(X, y, lengths=lengths).predict(X),
        qr=ESNRegressor(**options, solver="qr", dtype="float32").fit(X, y).predict(X),
        labels=ESNClassifier(**options).fit(X, y > 0, lengths=lengths).predict_proba(X, lengths=lengths),
        states=ReservoirTransformer(**options).fit_transform(X),
        ahead=ESNForecaster(**options).fit(np.sin(np.arange(3000.0) / 9)[:, None]).forecast(50),
    )
    return {name: hashlib.sha256(np.ascontiguousarray(a)).hexdigest() for name, a in answers.items()}

print(json.dumps([bits(n_jobs) for n_jobs in N_JOBS]))
"""

ONE = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TWO = {"NUMBA_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}


@pytest.mark.slow
def test_same_seed_same_bits_in_every_process_and_on_any_number_of_threads():
    [expected] = run_fresh(SAME_BITS.replace("N_JOBS", "[1]"), **ONE)
    assert run_fresh(SAME_BITS.replace("N_JOBS", "[None, 2]"), **ONE) == [expected] * 2
    assert run_fresh(SAME_BITS.replace("N_JOBS", "[None, 1, 2]"), **TWO) == [expected] * 3


@every(ESTIMATORS)
def test_another_seed_is_another_model(contract):
    X = np.random.default_rng(0).standard_normal((200, 3))
    one, other = (contract.make(random_state=seed).fit(*contract.arguments(X)) for seed in (0, 1))
    assert not np.allclose(contract.answer(one, X), contract.answer(other, X))


@every(ESTIMATORS)
def test_a_generator_is_a_seed_too(contract):
    X = np.random.default_rng(0).standard_normal((200, 3))
    models = [contract.make(random_state=np.random.RandomState(3)).fit(*contract.arguments(X)) for _ in range(2)]
    assert_array_equal(contract.answer(models[0], X), contract.answer(models[1], X))


@every(ESTIMATORS)
def test_eight_threads_on_one_model_agree(contract):
    X = np.random.default_rng(0).standard_normal((2000, 3))
    model = contract.make().fit(*contract.arguments(X))
    expected = contract.answer(model, X)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: contract.answer(model, X), range(24)))
    for answer in answers:
        assert_array_equal(answer, expected)


@every(WITH_ROWS)
def test_eight_threads_on_lists_agree(contract):
    X = np.random.default_rng(0).standard_normal((40, 50, 3))
    model = contract.make().fit(*contract.arguments(X[0]))
    expected = contract.answer(model, X)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: contract.answer(model, X), range(24)))
    for answer in answers:
        assert_array_equal(answer, expected)


CTRL_C = """
import json, os, signal, threading, time
import numpy as np
from sklearn.exceptions import NotFittedError
from reservoir import ESNForecaster, ESNRegressor

make = MAKE
rng = np.random.default_rng(0)
small, large = rng.standard_normal((400, 1)), rng.standard_normal((LARGE, 1))
arguments = (lambda X: (X,)) if isinstance(make(), ESNForecaster) else (lambda X: (X, X[:, 0]))
answer = (lambda m: m.forecast(5)) if isinstance(make(), ESNForecaster) else (lambda m: m.predict(small))
# All kernels of the long fit are in memory before it: Ctrl-C inside a callback of the compiler's is lost.
make().fit(*arguments(large[:200_000]))
expected = answer(make().fit(*arguments(small)))

def interrupted(is_fitted):
    model, sent = make(), []
    if is_fitted:
        model.fit(*arguments(small))

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.7, interrupt).start()
    try:
        model.fit(*arguments(large))
        waited = None
    except KeyboardInterrupt:
        waited = time.perf_counter() - sent[0]
    try:
        state = "as before" if np.array_equal(answer(model), expected) and is_fitted else "half"
    except NotFittedError:
        state = "unfitted"
    clean = state != "half" and (state == "as before" or not [name for name in vars(model) if name.endswith("_")])
    again = np.array_equal(answer(model.fit(*arguments(small))), expected)
    return {"waited": waited, "state": state, "clean": clean, "fits again": again}

print(json.dumps([interrupted(is_fitted) for is_fitted in (False, True)]))
"""
LONG_FITS = {
    "regressor": "lambda: ESNRegressor(400, random_state=0)",
    "regressor-qr": "lambda: ESNRegressor(400, solver='qr', random_state=0)",
    "forecaster": "lambda: ESNForecaster(400, alpha=100.0, random_state=0)",  # of noise: it stays near the mean
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="os.kill sends no Ctrl-C on Windows")
@every(LONG_FITS)
def test_ctrl_c_is_answered_and_leaves_no_half_fitted_model(make):
    """Neither of a model that was not fitted, nor of one that was."""
    of_unfitted, of_fitted = run_fresh(CTRL_C.replace("MAKE", make).replace("LARGE", "4_000_000"))
    for found in (of_unfitted, of_fitted):
        assert found["waited"] is not None, "the fit ended before the signal came: make it longer"
        assert found["waited"] < ANSWER_TO_CTRL_C_S
        assert found["clean"]
        assert found["fits again"]
    assert of_unfitted["state"] == "unfitted"
    assert of_fitted["state"] in {"as before", "unfitted"}


AT_EXIT = """
import json, os, sys, threading, time
import numpy as np
from reservoir import ESNRegressor

X = np.random.default_rng(0).standard_normal((N_STEPS, 2))
started = threading.Event()

def fit():
    started.set()
    ESNRegressor(200, random_state=0, n_jobs=2).fit(X, X[:, 0])
    print("fitted", flush=True)

def leave_a_fit_behind(is_warm, delay):
    if is_warm:
        ESNRegressor(200, random_state=0).fit(X[:2000], X[:2000, 0])
    threading.Thread(target=fit, daemon=IS_DAEMON).start()
    started.wait()
    time.sleep(delay)
    print("end", flush=True)

# Each end is that of a process of its own: imports are shared, kernels and threads are not there yet.
ends = []
for is_warm in (True, False):
    for delay in (0.0, 0.1, 0.4):
        pipes = [os.pipe(), os.pipe()]
        process = os.fork()
        if process == 0:
            for number, (_, end) in enumerate(pipes, start=1):
                os.dup2(end, number)
            leave_a_fit_behind(is_warm, delay)
            sys.exit()
        for _, end in pipes:
            os.close(end)
        with os.fdopen(pipes[0][0]) as out, os.fdopen(pipes[1][0]) as errors:
            first, start = out.readline(), time.perf_counter()
            found = {"first": first, "rest": out.read(), "errors": errors.read()}
        found["code"] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        ends.append({"at": [is_warm, delay], "waited": time.perf_counter() - start, **found})
print(json.dumps(ends))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
@pytest.mark.parametrize("is_daemon", [True, False])
def test_threads_that_still_fit_at_exit_end_quietly(is_daemon):
    """A daemon in the middle of its work, any other thread when it is done."""
    script = AT_EXIT.replace("IS_DAEMON", str(is_daemon)).replace("N_STEPS", "4_000_000" if is_daemon else "200_000")
    for end in run_fresh(script):
        assert end["first"] in ("end\n", "fitted\n"), end
        assert (end["code"], end["errors"]) == (0, ""), end
        if is_daemon:
            assert end["rest"] == "" and end["waited"] < EXIT_S + ANSWER_TO_CTRL_C_S, end
        else:
            assert end["rest"] in ("end\n", "fitted\n"), end


OUT_OF_MEMORY = """
import json, resource
import numpy as np
from reservoir import ESNRegressor

X = np.random.default_rng(0).standard_normal((300, 2))
y = X[:, 0]
large = np.random.default_rng(1).standard_normal((40_000, 2))
small = dict(n_units=30, topology="ring", random_state=0)
model = ESNRegressor(**small).fit(X, y)
before = model.predict(X)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limits[1]))
outcome, fresh = "fitted", ESNRegressor(n_units=30_000, topology="ring", solver="gram", random_state=0)
try:
    fresh.fit(large, large[:, 0])
except MemoryError:
    outcome = "MemoryError"
model.set_params(n_units=30_000, solver="gram")
try:
    model.fit(large, large[:, 0])
except MemoryError:
    pass
resource.setrlimit(resource.RLIMIT_AS, limits)
print(json.dumps({
    "outcome": outcome,
    "fresh is unfitted": not [name for name in vars(fresh) if name.endswith("_")],
    "as before": bool(np.array_equal(model.predict(X), before)) if hasattr(model, "coef_") else "unfitted",
    "fits again": bool(np.array_equal(model.set_params(**small, solver="auto").fit(X, y).predict(X), before)),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its address space as Linux does")
def test_a_fit_that_does_not_fit_into_memory_leaves_the_model_clean():
    found = run_fresh(OUT_OF_MEMORY)
    assert found == {"outcome": "MemoryError", "fresh is unfitted": True, "fits again": True} | {
        "as before": found["as before"]
    }
    assert found["as before"] in (True, "unfitted")


PEAK = """
import json, resource, sys
import numpy as np
from reservoir import ESNRegressor

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

X = np.random.default_rng(0).standard_normal((1_000_000, 1))
y = np.roll(X[:, 0], 1)
model = ESNRegressor(200, SOLVER, random_state=0)
model.fit(X[:10_000], y[:10_000])
short = peak()
model.fit(X, y)
print(json.dumps(peak() - short))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="reads the peak from the resource module of Unix")
@pytest.mark.parametrize("solver", ["gram", "qr"])
def test_peak_memory_of_a_fit_does_not_grow_with_the_steps(solver):
    # The states of the long fit, held, would be 1,500 MiB.
    assert run_fresh(PEAK.replace("SOLVER", f"solver={solver!r}")) < GROWTH_MIB * MIB
