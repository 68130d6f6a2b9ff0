"""Which unit hears which, and how strongly: topologies, matrices, spectral radius."""
