"""Networks on a GPU in array code: the cells' own steps, a call for all rows of a step, for any array namespace."""
