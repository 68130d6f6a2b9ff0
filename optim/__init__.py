"""What finds parameters, and where arrays and threads live. Knows no model and imports no sibling package.

- :mod:`optim.device`: ``namespace`` tells which array module some arrays belong to, ``to_host`` brings an
  array to NumPy.
- :mod:`optim.threads`: ``n_threads`` reads ``n_jobs``, ``run_all`` spreads work that releases the GIL over
  threads in a fixed order, ``single_blas_thread`` keeps BLAS to one thread where bits must not depend on
  how many there are.
"""

from optim.device import namespace, to_host
from optim.threads import n_threads, run_all, single_blas_thread

__all__ = ["n_threads", "namespace", "run_all", "single_blas_thread", "to_host"]
