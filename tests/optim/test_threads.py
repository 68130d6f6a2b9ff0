"""Threads: how many, work in order, exceptions, and BLAS on one thread while anybody asks for it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import optim
from optim import threads
from optim.threads import n_threads, run_all, single_blas_thread

SOURCES = Path(next(iter(optim.__path__))).parent


def cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture
def no_limits(monkeypatch):
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_a_positive_number_is_taken_as_it_is():
    assert [n_threads(n) for n in (1, 2, 100)] == [1, 2, 100]


def test_negative_numbers_count_from_all_cores(no_limits):
    assert n_threads(None) == n_threads(-1) == cores()
    assert n_threads(-2) == max(1, cores() - 1)
    assert n_threads(-10_000) == 1


@pytest.mark.parametrize("name", ["NUMBA_NUM_THREADS", "OMP_NUM_THREADS"])
def test_none_keeps_to_the_limits_of_the_environment(no_limits, name):
    no_limits.setenv(name, "1")
    assert n_threads(None) == 1
    no_limits.setenv(name, "1000000")
    assert n_threads(None) == cores()
    no_limits.setenv(name, "many")
    assert n_threads(None) == cores()
    no_limits.setenv(name, "0")
    assert n_threads(None) == 1


@pytest.mark.parametrize(
    ("n_jobs", "error"),
    [(0, ValueError), (10**30, ValueError), *((kind, TypeError) for kind in (True, False, 1.5, "2", np.float64(2)))],
)
def test_what_is_no_number_of_threads_is_refused(n_jobs, error):
    with pytest.raises(error, match=r"n_jobs must be .*integer .*, got .*; None takes all cores"):
        n_threads(n_jobs)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_results_come_in_the_order_of_the_arguments(n, threads):
    arguments = [(i, 10 * i) for i in range(n)]
    assert run_all(lambda i, j: (i, j), arguments, threads) == arguments


def test_work_is_spread_over_the_threads():
    meeting = threading.Barrier(3, timeout=30)  # broken unless three calls run at once
    numbers = run_all(lambda _: (meeting.wait(), threading.get_ident())[1], [(0,), (1,), (2,)], 3)
    assert len(set(numbers)) == 3


def test_one_thread_is_the_calling_one():
    assert set(run_all(threading.get_ident, [()] * 5, 1)) == {threading.get_ident()}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_comes_through_and_stops_the_rest(threads, error):
    done = []
    lock = threading.Lock()

    def work(i):
        if i == 3:
            raise error(f"number {i}")
        with lock:
            done.append(i)

    with pytest.raises(error, match="number 3"):
        run_all(work, [(i,) for i in range(100_000)], threads)
    assert len(done) < 100_000 - 1
    assert run_all(abs, [(-1,), (-2,)], threads) == [1, 2]


def test_running_calls_have_returned_when_the_exception_is_raised():
    started, release = threading.Event(), threading.Event()
    finished = []

    def work(i):
        if i == 0:
            started.wait(30)
            release.set()
            raise ValueError("first")
        started.set()
        release.wait(30)
        finished.append(i)

    with pytest.raises(ValueError, match="first"):
        run_all(work, [(0,), (1,)], 2)
    assert finished == [1]


NESTED = """
from optim.threads import run_all
outer = lambda i: sum(run_all(pow, [(i, 2), (i, 1), (i, 0)], 2))
assert run_all(outer, [(i,) for i in range(20)], 2) == [i * i + i + 1 for i in range(20)]
"""


def test_work_may_ask_for_threads_itself():
    # In a process of its own: threads that wait for each other could not be ended here.
    subprocess.run([sys.executable, "-c", NESTED], check=True, timeout=30, cwd=SOURCES)


def test_where_no_more_threads_can_be_had_fewer_will_do(monkeypatch):
    def no_more(thread):
        raise RuntimeError("can't start new thread")

    threads._helpers_of.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", no_more)
    try:
        assert run_all(pow, [(2, k) for k in range(20)], 5) == [2**k for k in range(20)]
    finally:
        threads._helpers_of.cache_clear()


AT_EXIT = """
import threading, time
from optim.threads import held_at_exit, run_all
began = threading.Event()
def work(i):
    began.set()
    time.sleep(0.05)
def compute():
    run_all(work, [(i,) for i in range(N_CALLS)], 2)
    print("computed", flush=True)
threading.Thread(target=compute, daemon=IS_DAEMON).start()
began.wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_daemon", [True, False])
def test_at_exit_daemons_stop_between_two_calls_and_other_threads_go_on(is_daemon):
    script = AT_EXIT.replace("IS_DAEMON", str(is_daemon)).replace("N_CALLS", "10_000" if is_daemon else "10")
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, cwd=SOURCES, check=True
    )
    assert (answer.stdout, answer.stderr) == ("" if is_daemon else "computed\n", "")


def test_a_closed_door_ends_daemons_and_waits_for_those_inside():
    door, inside = threads._Door(), []
    door.enter()
    closing = threading.Thread(target=lambda: (door.close(os.getpid()), inside.append(door.n_inside)))
    closing.start()
    while not door.is_closed:
        pass
    with pytest.raises(SystemExit):
        door.enter()
    door.leave()
    closing.join()
    assert inside == [0]


def test_many_callers_share_the_threads():
    results = {}

    def call(number):
        results[number] = run_all(pow, [(number, k) for k in range(50)], 3)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == {number: [number**k for k in range(50)] for number in range(8)}


# -------------------------------------------------------------------------------------------------- BLAS


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def three_blas_threads():
    import scipy.linalg  # noqa: F401  brings its own BLAS

    with threadpool_limits(3, user_api="blas"):
        assert set(blas_threads()) == {3}
        yield


@pytest.mark.usefixtures("three_blas_threads")
def test_blas_has_one_thread_inside_and_what_it_had_outside():
    before = blas_threads()
    with single_blas_thread():
        assert set(blas_threads()) == {1}
        with single_blas_thread():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.usefixtures("three_blas_threads")
def test_blas_gets_its_threads_back_after_an_exception():
    before = blas_threads()
    with pytest.raises(ValueError, match="inside"), single_blas_thread():
        raise ValueError("inside")
    assert blas_threads() == before


@pytest.mark.usefixtures("three_blas_threads")
def test_the_last_thread_to_leave_gives_blas_its_threads_back():
    before = blas_threads()
    is_inside, may_leave = threading.Event(), threading.Event()

    def other():
        with single_blas_thread():
            is_inside.set()
            may_leave.wait(30)

    thread = threading.Thread(target=other)
    with single_blas_thread():
        thread.start()
        assert is_inside.wait(30)
    assert set(blas_threads()) == {1}
    may_leave.set()
    thread.join()
    assert blas_threads() == before


@pytest.mark.usefixtures("three_blas_threads")
def test_any_thread_may_ask_for_one_blas_thread():
    before = blas_threads()
    with single_blas_thread():
        pass  # whoever was first must not keep BLAS to itself
    seen = []

    def other():
        with single_blas_thread():
            seen.extend(blas_threads())
        seen.append(blas_threads() == before)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [1] * len(before) + [True]
