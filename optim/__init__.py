"""What finds parameters, and where arrays and threads live. Knows no model and imports no sibling package.

The optimisers need NumPy and SciPy only, and can be used on problems of any kind:

- :func:`minimize` drives any method on any :class:`Objective`, which :func:`from_callables` makes of plain functions.
- Methods: :class:`SGD`, :class:`Momentum`, :class:`Nesterov`, :class:`Adagrad`, :class:`RMSProp`, :class:`Adam`,
  :class:`HessianFree`.
- Schedules of learning rate and momentum in :mod:`optim.schedule`, clipping in :mod:`optim.clipping`, batches of
  sequences in :mod:`optim.batches`, checkpoints in :mod:`optim.checkpoint`.
- :mod:`optim.checks` tells whether a gradient and curvature products are right.
- :mod:`optim.for_scipy` is the Hessian-free method inside ``scipy.optimize.minimize``; :mod:`optim.distributed`
  runs any method over shards of the data, in threads or MPI processes. :mod:`optim.for_torch` and
  :mod:`optim.for_jax` take models and losses of these frameworks.

Arrays and threads:

- :mod:`optim.device`: ``namespace`` tells which array module some arrays belong to, ``to_host`` brings an
  array to NumPy.
- :mod:`optim.threads`: ``n_threads`` reads ``n_jobs``, ``run_all`` spreads work that releases the GIL over
  threads in a fixed order, ``single_blas_thread`` keeps BLAS to one thread where bits must not depend on
  how many there are.
"""

from typing import Any

from optim.acceptance import LineSearch
from optim.adaptive import Adagrad, Adam, RMSProp
from optim.batches import Epochs, RandomBatches
from optim.cg import CGResult, CGSettings, CGStop, conjugate_gradient
from optim.checkpoint import CheckpointWarning, load_checkpoint, save_checkpoint
from optim.clipping import clip_by_norm, clip_by_value
from optim.damping import LevenbergMarquardt
from optim.device import namespace, to_host
from optim.first_order import SGD, FirstOrderState, Momentum, Nesterov
from optim.flat_curvature import FlatCurvatureWarning
from optim.hessian_free import HessianFree, HessianFreeState
from optim.loop import Progress, minimize
from optim.problem import Batches, Evaluation, Linearization, Objective, from_callables
from optim.release import version
from optim.result import Result, StopReason, Trace
from optim.schedule import Cosine, Piecewise, RisingMomentum, StepDecay, Warmup
from optim.threads import n_threads, run_all, single_blas_thread
from optim.trace_figure import plot_trace
from optim.weight_decay import WeightDecay

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "Batches",
    "CGResult",
    "CGSettings",
    "CGStop",
    "CheckpointWarning",
    "Cosine",
    "Epochs",
    "Evaluation",
    "FirstOrderState",
    "FlatCurvatureWarning",
    "HessianFree",
    "HessianFreeState",
    "LevenbergMarquardt",
    "LineSearch",
    "Linearization",
    "Momentum",
    "Nesterov",
    "Objective",
    "Piecewise",
    "Progress",
    "RMSProp",
    "RandomBatches",
    "Result",
    "RisingMomentum",
    "StepDecay",
    "StopReason",
    "Trace",
    "Warmup",
    "WeightDecay",
    "clip_by_norm",
    "clip_by_value",
    "conjugate_gradient",
    "from_callables",
    "load_checkpoint",
    "minimize",
    "n_threads",
    "namespace",
    "plot_trace",
    "run_all",
    "save_checkpoint",
    "single_blas_thread",
    "to_host",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
