"""Networks on a GPU: the cells' own steps, as CUDA kernels or as array code, and all else in array code."""
