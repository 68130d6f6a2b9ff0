"""Recurrent cells trained through time. This version holds none.

The name is kept for them: cells (Elman, LSTM, GRU and relatives) as a forward pass, a backward pass and a
directional derivative over time, networks made of cells, and their training. Echo state networks, which leave
the recurrence untrained, are in :mod:`reservoir`.
"""

__all__: list[str] = []
