"""Several processes are one: bit for bit those that add the same shards in the same order."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import optim
from objectives import small_net
from optim import Adam, HessianFree, RandomBatches, StopReason, checks, minimize
from optim.distributed import ShardedObjective, ShardError, run_threads
from shards import cut, method

# RELIABILITY 20: one step in float64, other orders of addition.
UNSHARDED_RTOL = 1e-10

POLICY = RandomBatches(24, gradient=24, curvature=15)


def problem():
    return small_net("softmax", n_sequences=24)


def run(objective, theta, kind=None, n_steps=4, **options):
    kind = method(HessianFree) if kind is None else kind
    return minimize(objective, theta, kind, batches=POLICY, max_iterations=n_steps, **options)


def run_in_threads(size, kind=None, **options):
    objective, theta = problem()
    shards = cut(objective, size)
    return run_threads(lambda comm: run(ShardedObjective(shards[comm.rank], comm), theta, kind, **options), size)


@pytest.mark.parametrize("kind", [method(HessianFree), Adam(0.05)], ids=["hessian-free", "adam"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_threads_equal_one_that_adds_the_same_shards(size, kind):
    objective, theta = problem()
    one = run(ShardedObjective(cut(objective, size)), theta, kind)
    for result in run_in_threads(size, kind):
        np.testing.assert_array_equal(result.theta, one.theta)
        np.testing.assert_array_equal(result.trace["loss"], one.trace["loss"])


def test_groups_of_shards_equal_nested_sums():
    objective, theta = problem()
    shards = cut(objective, 4)
    nested = run(ShardedObjective([ShardedObjective(shards[:2]), ShardedObjective(shards[2:])]), theta)
    groups = run_threads(lambda comm: run(ShardedObjective(shards[2 * comm.rank : 2 * comm.rank + 2], comm), theta), 2)
    for result in groups:
        np.testing.assert_array_equal(result.theta, nested.theta)


def test_one_step_is_that_of_the_unsharded_problem():
    objective, theta = problem()
    whole = run(objective, theta, n_steps=1)
    (first, _) = run_in_threads(2, n_steps=1)
    np.testing.assert_allclose(first.theta, whole.theta, rtol=UNSHARDED_RTOL)


def test_sharded_objective_is_an_objective():
    objective, theta = problem()
    sharded = ShardedObjective(cut(objective, 3))
    checks.check(sharded, theta, np.array([0, 9, 10, 23]), structural=0.1)
    assert sharded.n_sequences == 24
    batch = np.array([20, 3, 21])  # nothing for the middle shard
    one, other = sharded.value_and_grad(theta, batch), objective.value_and_grad(theta, batch)
    assert one.weight == other.weight == 3.0
    np.testing.assert_allclose(one.grad, other.grad, rtol=UNSHARDED_RTOL)
    squares = sharded.linearize(theta, batch).squared_gradients()
    np.testing.assert_allclose(squares, objective.linearize(theta, batch).squared_gradients(), rtol=UNSHARDED_RTOL)


def test_float32_is_added_in_float64_and_given_back_as_float32():
    objective, theta = small_net(n_sequences=24, dtype=np.float32)
    sharded = ShardedObjective(cut(objective, 2))
    assert sharded.value_and_grad(theta).grad.dtype == np.float32
    assert sharded.linearize(theta).gauss_newton(theta).dtype == np.float32


def test_a_product_is_one_message_of_one_number_more_than_parameters():
    objective, theta = problem()
    sizes = []

    def counted(communicator):
        plain = communicator.sum

        def record(numbers):
            if communicator.rank == 0:
                sizes.append(numbers.size)
            return plain(numbers)

        communicator.sum = record
        sharded = ShardedObjective(cut(objective, 2)[communicator.rank], communicator)
        linear = sharded.linearize(theta)
        if communicator.rank == 0:
            sizes.clear()
        for _ in range(5):
            linear.gauss_newton(theta)

    run_threads(counted, 2)
    assert sizes == [theta.size + 1] * 5


def test_rank_zero_decides_when_time_is_up_and_when_a_callback_stops():
    def stop_at(rank):
        return lambda progress: rank == 0 and progress.iteration == 2

    objective, theta = problem()
    shards = cut(objective, 2)
    results = run_threads(
        lambda comm: run(ShardedObjective(shards[comm.rank], comm), theta, callback=stop_at(comm.rank)), 2
    )
    assert [(result.reason, result.n_iterations) for result in results] == [(StopReason.CALLBACK, 2)] * 2
    results = run_in_threads(2, n_steps=10**6, max_seconds=0.3)
    assert results[0].n_iterations == results[1].n_iterations
    assert results[0].reason == results[1].reason == StopReason.MAX_SECONDS


def test_only_rank_zero_writes_the_checkpoint_and_all_resume_from_it(tmp_path):
    path = tmp_path / "run.npz"
    whole = run_in_threads(2, n_steps=5)
    run_in_threads(2, n_steps=2, checkpoint=path)
    resumed = run_in_threads(2, n_steps=5, checkpoint=path, resume=True)
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one.theta, other.theta)


class Failing:
    def __init__(self, shard):
        self.shard, self.n_params, self.n_sequences = shard, shard.n_params, shard.n_sequences

    def __getattr__(self, name):
        return getattr(self.shard, name)

    def value_and_grad(self, theta, batch=None):
        raise OSError("the disk is gone")


def test_an_error_on_one_shard_ends_all_of_them():
    objective, theta = problem()
    shards = cut(objective, 2)
    shards[1] = Failing(shards[1])
    seen = {}

    def work(communicator):
        try:
            return run(ShardedObjective(shards[communicator.rank], communicator), theta)
        except Exception as error:
            seen[communicator.rank] = error
            raise

    with pytest.raises(OSError, match="the disk is gone"):
        run_threads(work, 2)
    assert isinstance(seen[0], ShardError) and "got one on another process" in str(seen[0])


def test_nobody_waits_for_a_thread_that_has_returned():
    with pytest.raises(ShardError, match="got one that has ended"):
        run_threads(lambda communicator: communicator.rank and communicator.sum(np.ones(1)), 2)


def test_a_sum_that_all_have_come_to_is_everybodys_though_one_fails_right_after_it():
    def work(communicator):
        totals[communicator.rank] = communicator.sum(np.ones(1))
        raise ZeroDivisionError

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads overtake one another wherever they can
    try:
        for _ in range(300):
            totals = {}
            with pytest.raises(ZeroDivisionError):
                run_threads(work, 2)
            assert totals == {0: 2.0, 1: 2.0}
    finally:
        sys.setswitchinterval(interval)


def test_a_thread_that_fails_elsewhere_releases_the_others():
    def work(communicator):
        if communicator.rank == 1:
            raise ZeroDivisionError
        return communicator.sum(np.ones(1))

    with pytest.raises(ZeroDivisionError):
        run_threads(work, 2)


def test_shards_that_do_not_fit_are_named():
    objective, _ = problem()
    other, _ = small_net(n_hidden=7)
    with pytest.raises(ValueError, match="all shards must have"):
        ShardedObjective([objective, other])
    with pytest.raises(ValueError, match="at least one objective"):
        ShardedObjective([])


MPI_SCRIPT = """
import sys
import numpy as np
from optim.distributed import MPI, ShardedObjective
from shards import cut
from test_distributed import problem, run

communicator = MPI()
objective, theta = problem()
sharded = ShardedObjective(cut(objective, communicator.size)[communicator.rank], communicator)
result = run(sharded, theta, max_seconds=1e6)
total = communicator.sum(result.theta)
if communicator.rank == 0:
    np.savez(sys.argv[1], theta=result.theta, total=total, loss=result.trace["loss"], size=communicator.size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_mpi_processes_equal_one_that_adds_the_same_shards(tmp_path, size):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("no mpiexec is on the path")
    here = Path(__file__).parent
    folders = (Path(optim.__file__).parents[1], here, here.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        # Open MPI asks for these to run as root and on fewer cores than processes; others do not know them.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    path = tmp_path / "found.npz"
    subprocess.run(
        [mpiexec, "-n", str(size), sys.executable, "-c", MPI_SCRIPT, str(path)],
        env=environment, check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    objective, theta = problem()
    one = run(ShardedObjective(cut(objective, size)), theta)
    with np.load(path) as found:
        assert found["size"] == size
        np.testing.assert_array_equal(found["theta"], one.theta)
        np.testing.assert_array_equal(found["loss"], one.trace["loss"])
        np.testing.assert_allclose(found["total"], size * one.theta, rtol=UNSHARDED_RTOL)
