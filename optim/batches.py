"""Which sequences a step sees: policies ``batches(rng, iteration)`` that draw them for each role.

A policy is any function of a generator and the number of the step that returns :class:`optim.Batches`, or an
integer array, which is then the gradient's batch and every other role's too. The two here are pure: what they
return depends on their settings, the step and the generator's state alone, so a resumed run sees the batches
that it would have seen.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from optim.arguments import brief, choice, integer
from optim.problem import Batches

BatchPolicy: TypeAlias = Callable[[np.random.Generator, int], "Batches | np.ndarray"]


@dataclass(frozen=True)
class Epochs:
    """Mini-batches without replacement: every epoch is a new shuffle of all sequences, cut into batches.

    The shuffle of an epoch is keyed by (seed, epoch); the generator is not used.

    Parameters
    ----------
    n_sequences : int >= 1
    batch_size : int >= 1
        The last batch of an epoch is smaller where it does not divide ``n_sequences``.
    seed : int >= 0
    shuffle : bool

    Examples
    --------
    >>> from optim import Epochs
    >>> policy = Epochs(5, 2, shuffle=False)
    >>> [policy(None, iteration).tolist() for iteration in range(4)]
    [[0, 1], [2, 3], [4], [0, 1]]
    """

    n_sequences: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True

    def __post_init__(self) -> None:
        integer("n_sequences", self.n_sequences)
        integer("batch_size", self.batch_size)
        integer("seed", self.seed, least=0)

    @property
    def n_batches(self) -> int:
        """Batches, and so steps, in an epoch."""
        return -(-self.n_sequences // self.batch_size)

    def __call__(self, rng: np.random.Generator | None, iteration: int) -> np.ndarray:
        epoch, position = divmod(iteration, self.n_batches)
        order = _shuffled(self.seed, epoch, self.n_sequences) if self.shuffle else np.arange(self.n_sequences)
        return order[position * self.batch_size : (position + 1) * self.batch_size]


@dataclass(frozen=True)
class RandomBatches:
    """Fresh batches for every step of a second-order method: curvature from within gradient, the rest apart from it.

    All are drawn without replacement. The first sequences of ``gradient`` are ``curvature``; those of ``debias`` come
    after them, and those of ``acceptance``, given as a number, last.

    Parameters
    ----------
    n_sequences : int >= 1
    gradient : int in [1, n_sequences]
    curvature : int in [1, gradient]
    acceptance : "curvature", "gradient" or int
        On "curvature" the reduction ratio compares like with like (Martens, 2010), but what CG learns by heart of its
        batch looks like success. On "gradient", or on a number of sequences apart from curvature, it does not.
    acceptance_from : "gradient" or "rest"
        Where a number of sequences for acceptance is drawn from: within ``gradient``, or from what is not in it. The
        rest is the strictest judge. On the plateaus of long-lag tasks it is too strict for small gradient batches: it
        rejects every step, and λ grows without end.
    debias : int >= 0
        0 for none.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import RandomBatches
    >>> drawn = RandomBatches(100, gradient=50, curvature=10)(np.random.default_rng(0), 0)
    >>> len(drawn.gradient), len(drawn.curvature), drawn.acceptance is drawn.curvature
    (50, 10, True)
    """

    n_sequences: int
    gradient: int
    curvature: int
    acceptance: str | int = "curvature"
    acceptance_from: str = "gradient"
    debias: int = 0

    def __post_init__(self) -> None:
        integer("n_sequences", self.n_sequences)
        integer("gradient", self.gradient, most=self.n_sequences)
        integer("curvature", self.curvature, most=self.gradient)
        integer("debias", self.debias, least=0)
        if isinstance(self.acceptance, str):
            choice("acceptance", self.acceptance, ("curvature", "gradient"), or_else="a number of sequences")
            apart = 0
        else:
            apart = integer("acceptance", self.acceptance, remedy="give a number of sequences, or a word for one")
        choice("acceptance_from", self.acceptance_from, ("gradient", "rest"))
        within = self.curvature + self.debias + (apart if self.acceptance_from == "gradient" else 0)
        if within > self.gradient:
            raise ValueError(
                f"gradient must hold curvature, debias and acceptance side by side, {within} sequences, got "
                f"{self.gradient} (and debias={self.debias}); make it larger."
            )
        if self.acceptance_from == "rest" and self.gradient + apart > self.n_sequences:
            raise ValueError(
                f"n_sequences must hold gradient and acceptance side by side, {self.gradient + apart} sequences, got "
                f"{self.n_sequences}; make one of them smaller."
            )

    def __call__(self, rng: np.random.Generator, iteration: int) -> Batches:
        order = rng.permutation(self.n_sequences)
        gradient = order[: self.gradient]
        curvature = gradient[: self.curvature]
        if self.acceptance == "curvature":
            acceptance = curvature
        elif self.acceptance == "gradient":
            acceptance = gradient
        else:
            end = self.gradient + (self.acceptance if self.acceptance_from == "rest" else 0)
            acceptance = order[end - self.acceptance : end]
        debias = gradient[self.curvature : self.curvature + self.debias] if self.debias else None
        return Batches(gradient, curvature, acceptance, debias)


def draw(policy: BatchPolicy | None, rng: np.random.Generator, iteration: int) -> Batches:
    """What ``policy`` draws for step ``iteration``; all sequences for every role where there is no policy.

    Raises
    ------
    TypeError
        If the policy returns neither :class:`Batches` nor an integer array.
    """
    if policy is None:
        return Batches()
    drawn: Any = policy(rng, iteration)
    if isinstance(drawn, Batches):
        return drawn
    if isinstance(drawn, np.ndarray) and drawn.ndim == 1 and drawn.dtype.kind in "iu":
        return Batches(drawn, drawn, drawn)
    raise TypeError(
        "batches(rng, iteration) must return Batches or a 1-D integer array of sequence indices, got "
        f"{brief(drawn)}; wrap the arrays in optim.Batches."
    )


@functools.lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, n_sequences: int) -> np.ndarray:
    order = np.random.default_rng([seed, epoch]).permutation(n_sequences)
    order.flags.writeable = False
    return order


def grown(batches: Batches, scale: float, n_sequences: int | None) -> Batches:
    """``batches`` with ``scale`` times as many sequences for curvature, taken from those of the gradient.

    Sequences of ``acceptance`` and ``debias`` are not taken, unless acceptance is curvature itself, which then grows
    along. Where the gradient's are used up, growth ends.

    Parameters
    ----------
    batches : Batches
    scale : float >= 1
    n_sequences : int or None
        Of the objective; needed where ``gradient`` is all of them.

    Returns
    -------
    Batches
    """
    gradient, curvature = batches.gradient, batches.curvature
    if scale <= 1.0 or curvature is None or (gradient is None and n_sequences is None):
        return batches
    source = np.arange(n_sequences) if gradient is None else gradient
    is_acceptance = batches.acceptance is not None and np.array_equal(batches.acceptance, curvature)
    apart = [curvature, batches.debias, None if is_acceptance else batches.acceptance]
    # An acceptance batch that is the whole gradient's cannot be kept apart from anything.
    if batches.acceptance is not None and len(batches.acceptance) >= len(source):
        apart[2] = None
    taken = np.concatenate([part for part in apart if part is not None])
    more = source[~np.isin(source, taken)][: round(min(len(curvature) * (scale - 1.0), len(source)))]
    curvature = np.concatenate([curvature, more])
    return Batches(gradient, curvature, curvature if is_acceptance else batches.acceptance, batches.debias)
