"""Write ``spectral_radii.json``: spectral radii of large graphs from dense eigenvalues, seconds each.

Run ``python tests/make_spectral_radii.py``. A radius stands under the digest of its dense matrix: one that topologies
draw otherwise is not found there, and the test computes it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("spectral_radii.json")
SEEDS = range(20)  # of graphs of 1,000 units


def digest(W: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(W)).hexdigest()[:24]


def graphs() -> Iterator[np.ndarray]:
    from reservoir import topology

    for make in (topology.sparse, topology.shifts, topology.small_world):
        for N, seeds in ((1000, SEEDS), (2000, (1,))):
            for seed in seeds:
                W = make(N, in_degree=10, rng=np.random.default_rng(seed))
                yield (W.to_csr() if hasattr(W, "to_csr") else W).toarray()


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parents[1]))
    from naive.spectrum import spectral_radius

    radii = {digest(W): float(spectral_radius(W)) for W in graphs()}
    FILE.write_text(json.dumps(radii, indent=0) + "\n", encoding="utf-8")
