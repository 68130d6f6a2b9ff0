"""A part of an objective's sequences as an objective of its own."""

import numpy as np


class Shard:
    def __init__(self, objective, rows):
        self.objective, self.rows = objective, rows
        self.n_params, self.n_sequences = objective.n_params, len(rows)

    def pick(self, batch):
        return self.rows if batch is None else self.rows[batch]

    def value(self, theta, batch=None):
        return self.objective.value(theta, self.pick(batch))

    def value_and_grad(self, theta, batch=None):
        return self.objective.value_and_grad(theta, self.pick(batch))

    def linearize(self, theta, batch=None):
        return self.objective.linearize(theta, self.pick(batch))


def cut(objective, size):
    """``size`` shards, one after the other."""
    return [Shard(objective, rows) for rows in np.array_split(np.arange(objective.n_sequences), size)]


def method(kind):
    """The settings that every run of these tests shares."""
    return kind(structural=0.05, preconditioner="squared_gradients", cg=20)
