"""Who learns: ours, baselines, other people's."""
