"""Puzzles that ask for a long memory, as their inventors and followers posed them.

A puzzle has a name ("addition") and versions named by their source ("hochreiter97", "martens2011-thesis"), because
papers and released programs that share the name differ in windows, lengths, targets and in what counts as wrong.
`DEFINITIONS[name][version]` is a version as plain data, `draw(name, version, ...)` draws sequences from it. The
published i[a, b] is read as the a-th to b-th step counted from 1, so [T/10, T/2] after [1, T/10] begins one later.

Sources and what they leave open.

- hochreiter97: Hochreiter and Schmidhuber 1997, "Long short-term memory", sections 5.4 to 5.6.
- martens2011-thesis: Martens and Sutskever 2011, "Learning recurrent neural networks with Hessian-free
  optimization", as set out in Sutskever's thesis of 2013. Lengths T to 1.1 T, numbers in [0, 1], marks 0 and 1. The
  permutations of 98 symbols are strung together where T is longer. The layout of the memory puzzles, blanks and cue
  being symbols of their own and the cue standing at the first answer, is that of pascanu2013, who follow it.
- martens2011-release: the program released with it. The sum is not halved; -1 marks the first step and one near
  the end; XOR has half the nominal length; classes are balanced; the symbols between the first and the last are no
  permutation but independent; blank and cue are also symbols of the pattern, and T counts all steps. Its
  three-mark program does not run, being misspelt; the version here is what it says.
  martens2011-release-last-bits: the same, asking for the pattern only.
- pascanu2013: the program released with Pascanu, Mikolov and Bengio 2013. One length a batch in addition; fixed T
  in temporal order; only the last answer in the permutation puzzle.
- le2015-irnn: Le, Jaitly and Hinton 2015. Fixed T, the sum of two numbers in [0, 1]. Where the marks are is not
  said; here one lies in each half, as in arjovsky2016. The figure 0.1767 that is often printed as the error of
  always saying 1 is near the expected one, 1/6.
- arjovsky2016: the program released with Arjovsky, Shah and Bengio 2016, addition and copying.
- bai2018: the program released with Bai, Kolter and Koltun 2018. Marks anywhere; the cue of copying repeats.
- lecture: two binary numbers, right to left, as taught with the automaton of four states.
- jozefowicz2015-style: sums with distracting letters after Jozefowicz, Zaremba and Sutskever 2015, who do not say how
  often a letter stands; here before every second symbol.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from studies.tasks.marks import TemporalOrder, TwoNumbers, Window
from studies.tasks.memorisation import RandomPermutation, Recall
from studies.tasks.reckoning import Arithmetic, BinaryAddition
from studies.tasks.sequence_task import Draw

SHORTEST = 10


def _of_length(*shares: tuple[float, float]) -> tuple[Window, ...]:
    """Half-open windows as shares of each sequence's length."""
    return tuple(Window(low, high) for low, high in shares)


def _of_nominal(*shares: tuple[float, float]) -> tuple[Window, ...]:
    """Closed windows as shares of T."""
    return tuple(Window(low, high, of="nominal", is_closed=True) for low, high in shares)


HALVES = _of_length((0.0, 0.5), (0.5, 1.0))
FIRST_TEN_AND_HALF = (Window(0, 10, of="steps"), Window(0.0, 0.5, of="nominal"))
LSTM_PAPER = {"windows": FIRST_TEN_AND_HALF, "ends": "hochreiter97"}
RELEASE = {
    "windows": (Window(0.01, 0.1, of="nominal"), Window(0.1, 0.5, of="nominal")),
    "ends": "release",
    "extra_steps": 1,
}
RELEASED_XOR = {
    "windows": (Window(0.01, 0.1, of="nominal"), Window(0.15, 0.25, of="nominal")),
    "length_share": 0.5,
}
LSTM_ORDER = {"begins": True, "asks": 1, "tolerance": 0.3}
RELEASED_ORDER = {"begins": True, "extra_steps": 1, "is_balanced": True}


def _recall(n_kinds: int, n_places: int) -> dict[str, Recall]:
    """Versions of noiseless memorisation of `n_places` symbols of `n_kinds`."""
    distinct = Recall(n_kinds, n_places, n_kinds + 2, n_kinds + 1, blank=n_kinds, cue=n_kinds + 1, blank_answer=n_kinds)
    shared = {
        "n_inputs": n_kinds,
        "n_outputs": n_kinds,
        "blank": n_kinds - 1,
        "cue": n_kinds - 2,
        "blank_answer": n_kinds - 1,
        "T_counts": "all",
        "cue_ahead": 1,
    }
    return {
        "martens2011-thesis": distinct,
        "martens2011-release": Recall(n_kinds, n_places, **shared),
        "martens2011-release-last-bits": Recall(n_kinds, n_places, only_pattern=True, **shared),
        "pascanu2013": distinct,
    }


def _copying(**choices: Any) -> Recall:
    return Recall(8, 10, 10, 9, first_symbol=1, blank=0, cue=9, blank_answer=0, cue_ahead=1, n_blanks_less=1, **choices)


DEFINITIONS: dict[str, dict[str, Any]] = {
    "addition": {
        "hochreiter97": TwoNumbers("scaled sum", "symmetric", **LSTM_PAPER),
        "martens2011-thesis": TwoNumbers("mean"),
        "martens2011-release": TwoNumbers("sum", **RELEASE),
        "pascanu2013": TwoNumbers("mean", share_length=True),
        "le2015-irnn": TwoNumbers("sum", windows=HALVES, longest=1.0),
        "arjovsky2016": TwoNumbers("sum", windows=HALVES, longest=1.0),
        "bai2018": TwoNumbers("sum", windows=_of_length((0.0, 1.0), (0.0, 1.0)), longest=1.0),
    },
    "multiplication": {
        "hochreiter97": TwoNumbers("product", **LSTM_PAPER),
        "martens2011-thesis": TwoNumbers("product"),
        "martens2011-release": TwoNumbers("product", **RELEASE),
    },
    "xor": {
        "martens2011-thesis": TwoNumbers("xor", "bits"),
        "martens2011-release": TwoNumbers("xor", "bits", **RELEASE | RELEASED_XOR),
    },
    "temporal order": {
        "hochreiter97": TemporalOrder(_of_nominal((0.1, 0.2), (0.5, 0.6)), **LSTM_ORDER),
        "martens2011-thesis": TemporalOrder(_of_length((0.1, 0.2), (0.5, 0.6))),
        "martens2011-release": TemporalOrder(_of_nominal((0.01, 0.1), (0.4, 0.5)), asks=2, **RELEASED_ORDER),
        "pascanu2013": TemporalOrder(_of_length((0.1, 0.2), (0.5, 0.6)), longest=1.0),
    },
    "temporal order, 3 marks": {
        "hochreiter97": TemporalOrder(_of_nominal((0.1, 0.2), (0.33, 0.43), (0.66, 0.76)), **LSTM_ORDER),
        "martens2011-thesis": TemporalOrder(_of_length((0.1, 0.2), (0.3, 0.4), (0.6, 0.7))),
        "martens2011-release": TemporalOrder(
            _of_nominal((0.01, 0.1), (0.3, 0.4), (0.5, 0.6)), asks=1, **RELEASED_ORDER
        ),
        "pascanu2013": TemporalOrder(_of_length((0.1, 0.2), (0.3, 0.4), (0.6, 0.7)), longest=1.0),
    },
    "random permutation": {
        "martens2011-thesis": RandomPermutation(with_replacement=False),
        "martens2011-release": RandomPermutation(),
        "pascanu2013": RandomPermutation(only_last=True),
    },
    "memorisation, 5 bits": _recall(2, 5),
    "memorisation, 20 bits": _recall(5, 10),
    "copying": {
        "arjovsky2016": _copying(),
        "bai2018": _copying(cue_repeats=True),
    },
    "binary addition": {"lecture": BinaryAddition()},
    "arithmetic": {"jozefowicz2015-style": Arithmetic()},
}


def draw(name: str, version: str, *, n_sequences: int | None, T: int, rng: np.random.Generator) -> Draw:
    """Draw sequences of a puzzle.

    Parameters
    ----------
    name : one of DEFINITIONS
    version : one of DEFINITIONS[name]
    n_sequences : int >= 1; None draws every pattern once, for memorisation and copying only
    T : int, the nominal length: see the version. Bits in binary addition, digits in arithmetic
    rng : numpy.random.Generator

    Returns
    -------
    Draw

    Examples
    --------
    >>> drawn = draw("addition", "le2015-irnn", n_sequences=4, T=150, rng=np.random.default_rng(0))
    >>> drawn.inputs.shape, drawn.targets.shape, drawn.loss
    ((4, 150, 2), (4, 1), 'squared')
    >>> drawn.wrong(drawn.targets + [[0.0], [0.03], [0.05], [np.nan]])
    array([False, False,  True,  True])
    """
    if name not in DEFINITIONS:
        raise ValueError(f"name must be one of {', '.join(DEFINITIONS)}; got {name!r}. Choose one of them.")
    if version not in DEFINITIONS[name]:
        raise ValueError(
            f"version of {name!r} must be one of {', '.join(DEFINITIONS[name])}; got {version!r}. Choose one of them."
        )
    definition = DEFINITIONS[name][version]
    if n_sequences is None and not isinstance(definition, Recall):
        raise ValueError(f"n_sequences must be a whole number >= 1 for {name!r}, got None. Say how many to draw.")
    if n_sequences is not None and n_sequences < 1:
        raise ValueError(f"n_sequences must be a whole number >= 1, got {n_sequences}. Draw at least one.")
    shortest = 1 if isinstance(definition, (Arithmetic, BinaryAddition, Recall)) else SHORTEST
    longest = 17 if isinstance(definition, Arithmetic) else np.inf
    if not shortest <= T <= longest:
        raise ValueError(f"T must lie between {shortest} and {longest} for {name!r}, got {T}. Choose such a T.")
    return definition.draw(n_sequences, T, rng=rng)
