"""Sequences taken apart with plain Python lists; imports nothing of the package."""


def flat(list_of_lists):
    """All members of all members, in order."""
    return [entry for member in list_of_lists for entry in member]


def offsets(sequences):
    """Where each sequence starts in the flat list, and where the last one ends."""
    starts = [0]
    for sequence in sequences:
        starts.append(starts[-1] + len(sequence))
    return starts


def ids(sequences, names):
    """The name of its sequence for each row."""
    return [name for sequence, name in zip(sequences, names, strict=True) for _ in sequence]
