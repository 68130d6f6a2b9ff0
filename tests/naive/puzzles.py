"""Answers to the puzzles of `studies.tasks.puzzles`, read from the inputs alone as a patient person would."""

import re


def marked_numbers(sequence):
    """(number, place) of the two pairs marked 1, in their order. sequence : list of (number, mark)."""
    return [(number, place) for place, (number, mark) in enumerate(sequence) if mark == 1.0]


def two_numbers(sequence, target, first_marked_counts_as=None):
    """Answer to a puzzle of two marked numbers.

    If the marks of the LSTM paper hide a marked first pair, only one 1 is left; the hidden number is the one given.
    """
    values = [number for number, _ in marked_numbers(sequence)]
    if len(values) == 1:
        values.append(first_marked_counts_as)
    a, b = values
    return {
        "sum": a + b,
        "mean": (a + b) / 2,
        "scaled sum": 0.5 + (a + b) / 4,
        "product": a * b,
        "xor": float(bool(a) ^ bool(b)),
    }[target]


def order_of_marks(symbols):
    """Class of a temporal-order sequence: its 4s and 5s as binary digits."""
    answer = 0
    for symbol in symbols:
        if symbol in (4, 5):
            answer = 2 * answer + (symbol == 5)
    return answer


def sum_bits(bits):
    """Bits of a + b, lowest first, as many as there are steps. bits : list of pairs."""
    a = sum(int(pair[0]) << i for i, pair in enumerate(bits))
    b = sum(int(pair[1]) << i for i, pair in enumerate(bits))
    return [(a + b) >> i & 1 for i in range(len(bits))]


def adding_states(bits):
    """States 2 * carry + printed bit, step by step."""
    carry, states = 0, []
    for a, b in bits:
        s = int(a) + int(b) + carry
        carry = s // 2
        states.append(2 * carry + s % 2)
    return states


def reckon(text):
    """Answer to "a12b+3=" with the letters left out."""
    a, sign, b = re.fullmatch(r"(\d+)([+-])(\d+)=", re.sub("[a-z]", "", text)).groups()
    return str(int(a) + int(b) if sign == "+" else int(a) - int(b)) + "."
