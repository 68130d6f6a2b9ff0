"""Linear readouts: sums of a fit, their decomposition, the penalty, the solution."""
