"""Vectors in registers inside Numba kernels: words, activations, matrix products."""
