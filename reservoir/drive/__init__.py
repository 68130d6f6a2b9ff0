"""A reservoir over its data: weights, the two kernels, lanes, cuts in time."""
