"""Forecasters: a series, what is chosen from it, and what follows it."""
