"""Preconditioned conjugate gradients on any symmetric positive definite product.

Solves A x = b, that is, minimises the quadratic φ(x) = ½ xᵀA x - bᵀx. With r = b - A x it costs nothing, and as a sum
over the steps α d it only falls::

    φ(x) = -½ xᵀ(r + b)          φ(x + α d) = φ(x) - ½ α rᵀd

The recursion for r goes on falling where b - A x has reached what rounding lets it reach. So r is compared with its
definition now and then: that floor is noticed, and is a reason to stop. The recursion itself goes on untouched, because
directions belong to the residuals they were made from; only what a start far from the solution has spoilt is mended.

Vectors keep the dtype of b; scalars are float64; nothing of the size of b is allocated inside the iteration.

References
----------
Hestenes and Stiefel, 1952; Strakoš and Tichý, 2002 (the second form of φ is the one that rounding leaves alone); van
der Vorst and Ye, 2000 (a residual is renewed once, when its error passes the root of eps, not as often as possible).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

import numpy as np

from optim.arguments import brief, choice, integer, number
from optim.device import is_array, namespace
from optim.long_vectors import add_scaled, block_of, dot, norm
from optim.problem import check_vector

Product = Callable[[np.ndarray], np.ndarray]
Preconditioner = np.ndarray | Callable[[np.ndarray, np.ndarray], None]

# A residual that is further than this, relative, from its recursion has nothing to do with the directions so far.
FAR_APART = 0.1


class CGStop(StrEnum):
    """Why conjugate gradients stopped; FLOOR where the residual is as small as rounding lets it be.

    Examples
    --------
    >>> from optim import CGStop
    >>> CGStop.PROGRESS.value
    'progress'
    """

    PROGRESS = "progress"
    RESIDUAL = "residual"
    FLOOR = "floor"
    MAX_ITERATIONS = "max_iterations"
    NEGATIVE_CURVATURE = "negative_curvature"
    NOT_FINITE = "not_finite"


@dataclass(frozen=True)
class CGSettings:
    """When conjugate gradients stop, and which iterates are kept.

    Stop by progress after iteration i where, with k = max(``window``, ⌈``window_fraction`` i⌉)::

        i > k   and   φ_i < 0   and   (φ_i - φ_{i-k}) / φ_i < k ``progress``

    Parameters
    ----------
    max_iterations : int >= 1
        250 in Martens (2010), 300 for the recurrent tasks of Martens and Sutskever (2011). This cap matters more than
        the rule.
    progress : float >= 0
        ε of the rule; 0 switches the rule off.
    window : int >= 1
    window_fraction : float >= 0
    progress_from : "zero" or "start"
        What progress is relative to: φ_i, as in the papers, or φ_i - φ_0, which differs after a warm start.
    residual : float >= 0
        Stop where |r| <= ``residual`` |b|; in any case where it is not above the dtype's eps times |b|. Where only the
        recursion for r got there, and b - A x did not, the reason is FLOOR.
    spacing : float >= 1.001
        Iterates number ⌈spacing^j⌉ are kept, and the last.
    replace_every : int >= 0
        After so many iterations, and where the recursion for r says that it is small enough, r is compared with its
        definition, at the cost of a product. After a start from ``x0`` that takes the recursion's place where the two
        part; from zero nothing would be gained by it. 0 for no look at all.

    References
    ----------
    Martens, 2010, §4.4 and §4.6 (the rule, ε = 5e-4, the spacing 1.3).

    Examples
    --------
    >>> from optim import CGSettings
    >>> CGSettings(max_iterations=300).progress
    0.0005
    """

    _: KW_ONLY
    max_iterations: int = 250
    progress: float = 5e-4
    window: int = 10
    window_fraction: float = 0.1
    progress_from: str = "zero"
    residual: float = 0.0
    spacing: float = 1.3
    replace_every: int = 50

    def __post_init__(self) -> None:
        for name, least in {"max_iterations": 1, "window": 1, "replace_every": 0}.items():
            integer(name, getattr(self, name), least=least)
        for name in ("progress", "window_fraction", "residual"):
            number(name, getattr(self, name), least=0)
        number("spacing", self.spacing, least=1.001, remedy="the custom is 1.3")
        choice("progress_from", self.progress_from, ("zero", "start"))

    def shows_progress(self, quadratics: list[float]) -> bool:
        """Whether the rule above lets the iteration go on."""
        i = len(quadratics) - 1
        k = max(self.window, math.ceil(self.window_fraction * i))
        if self.progress == 0.0 or i <= k:  # exact: zero switches the rule off
            return True
        gained = quadratics[i] - (quadratics[0] if self.progress_from == "start" else 0.0)
        return not (gained < 0.0 and (quadratics[i] - quadratics[i - k]) / gained < k * self.progress)

    def kept_numbers(self) -> list[int]:
        """Numbers of the iterates that are kept, the last one apart."""
        count = math.ceil(math.log(max(self.max_iterations, 2)) / math.log(self.spacing)) + 1
        numbers = {math.ceil(self.spacing**j) for j in range(count)}
        return sorted(number for number in numbers if number <= self.max_iterations)


@dataclass(frozen=True)
class Iterate:
    """An iterate of conjugate gradients: its number, the vector, and the quadratic there."""

    number: int
    x: np.ndarray
    quadratic: float


@dataclass(frozen=True)
class CGResult:
    """Outcome of :func:`conjugate_gradient`.

    Parameters
    ----------
    x : (P,) array
        The last iterate; where a product was not finite, the last one kept.
    reason : CGStop
    iterates : list of Iterate
        Those kept, in order; the last one is the last of all. With a second product they are the re-measured ones.
    quadratics : list of float
        φ_0, φ_1, ...
    residual : float
        |r| / |b| at the end, by the recursion, or what this was last seen to be wrong by, if that is larger.
    curvature : float
        Where curvature that is not positive is the reason, dᵀA d / (|d| |A d|) of that direction; else NaN.
    n_products : int
        Calls of the products, both counted.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import conjugate_gradient
    >>> found = conjugate_gradient(lambda v: 2.0 * v, np.ones(3))
    >>> found.reason.value, found.quadratics, [iterate.number for iterate in found.iterates]
    ('residual', [-0.0, -0.75], [1])
    """

    x: np.ndarray
    reason: CGStop
    iterates: list[Iterate]
    quadratics: list[float]
    residual: float
    curvature: float
    n_products: int

    @property
    def n_iterations(self) -> int:
        """Iterations done."""
        return len(self.quadratics) - 1


def conjugate_gradient(
    product: Product,
    b: np.ndarray,
    *,
    x0: np.ndarray | None = None,
    preconditioner: Preconditioner | None = None,
    settings: CGSettings | None = None,
    second_product: Product | None = None,
) -> CGResult:
    """Approximate solution of A x = b, and iterates on the way to it.

    Parameters
    ----------
    product : callable
        ``product(v) -> A v``, of v's dtype; it may return the same buffer every time.
    b : (P,) float32 or float64 array
        Of NumPy or CuPy; all other vectors are of the same, and what is returned.
    x0 : (P,) array, optional
        Start; zeros if not given.
    preconditioner : (P,) array or callable, optional
        Positive diagonal of M, or ``preconditioner(r, out)``, which writes M^-1 r to ``out``, M symmetric and positive
        definite; the iteration sees M^-1/2 A M^-1/2.
    settings : CGSettings, optional
    second_product : callable, optional
        Curvature measured independently of A, on other data. Then every kept iterate is
        x_0 + Σ_i (r_iᵀ z_i / d_iᵀ A₂ d_i) d_i: the directions come from A, the lengths from A₂ (debiasing). A itself
        looks too flat along the directions that were chosen because they are flat in it.

    Returns
    -------
    CGResult

    References
    ----------
    Hestenes and Stiefel, 1952. Debiasing: Tatzel et al., ICLR 2025, with the gradient's batch kept as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import conjugate_gradient
    >>> A = np.array([[4.0, 1.0], [1.0, 3.0]])
    >>> found = conjugate_gradient(lambda v: A @ v, np.array([1.0, 2.0]))
    >>> found.x.round(4), found.n_iterations
    (array([0.0909, 0.6364]), 2)
    """
    settings = CGSettings() if settings is None else settings
    if not is_array(b) or b.ndim != 1 or b.dtype not in (np.float32, np.float64):
        came = f"{b.dtype} of shape {b.shape}" if is_array(b) else brief(b)
        raise TypeError(f"b must be a 1-D array of float32 or float64, got {came}; flatten and convert it.")
    is_diagonal = preconditioner is not None and not callable(preconditioner)
    for name, vector in {"x0": x0, "preconditioner": preconditioner if is_diagonal else None}.items():
        if vector is not None:
            check_vector(name, vector, b)
    if is_diagonal and not (preconditioner > 0.0).all():
        raise ValueError(
            f"preconditioner must be > 0 in every entry, got a smallest one of {preconditioner.min()!r}; "
            "add the damping to it."
        )
    run = _Iteration(product, b, x0, preconditioner, settings, second_product)
    reason = run.start()
    while reason is None:
        reason = run.advance()
    return run.result(reason)


class _Iteration:
    """The vectors of one run: x, r, z, d as in the textbooks, y the re-measured iterate."""

    def __init__(
        self,
        product: Product,
        b: np.ndarray,
        x0: np.ndarray | None,
        preconditioner: Preconditioner | None,
        settings: CGSettings,
        second_product: Product | None,
    ) -> None:
        self.product, self.b, self.settings, self.second_product = product, b, settings, second_product
        self.preconditioner, self.xp = preconditioner, namespace(b)
        self.is_warm = x0 is not None
        self.x = self.xp.zeros_like(b) if x0 is None else x0.copy()
        self.r, self.d = b.copy(), self.xp.empty_like(b)
        self.z = self.r if preconditioner is None else self.xp.empty_like(b)
        self.y = self.x if second_product is None else self.x.copy()
        self.kept_numbers = settings.kept_numbers()
        # Pages are taken from the system when an iterate is written, not here.
        self.pool = self.xp.empty((len(self.kept_numbers) + 1, b.size), b.dtype)
        self.iterates: list[Iterate] = []
        self.quadratics: list[float] = []
        self.n_products = 0
        self.curvature = math.nan
        self.gap, self.is_sound = 0.0, True
        self.b_length = norm(b)

    def start(self) -> CGStop | None:
        if self.is_warm:
            self.xp.subtract(self.b, self.product(self.x), out=self.r)
            self.n_products += 1
        self.rz = self.slope = self.apply_preconditioner()
        self.xp.copyto(self.d, self.z)
        self.quadratics.append(self.quadratic())
        self.y_quadratic = self.quadratics[0]
        if not (math.isfinite(self.rz) and math.isfinite(self.quadratics[0])):
            return CGStop.NOT_FINITE
        return CGStop.RESIDUAL if self.residual_is_small() else None

    def advance(self) -> CGStop | None:
        """One iteration; the reason to stop after it, if there is one."""
        Ad = self.product(self.d)
        self.n_products += 1
        curvature = dot(self.d, Ad)
        if not math.isfinite(curvature):
            return CGStop.NOT_FINITE
        if curvature <= 0.0:
            size = norm(self.d) * norm(Ad)
            self.curvature = curvature / size if size > 0.0 else 0.0
            return CGStop.NEGATIVE_CURVATURE
        alpha = self.slope / curvature
        i = len(self.quadratics)
        add_scaled(self.x, alpha, self.d)
        add_scaled(self.r, -alpha, Ad)
        quadratic = self.quadratics[-1] - 0.5 * alpha * self.slope
        if self.second_product is not None and not self.measure_again():
            return CGStop.NOT_FINITE
        renewed, reason = self.look(i)
        rz = self.apply_preconditioner()
        if renewed:
            quadratic = self.quadratic()
        if not (math.isfinite(rz) and math.isfinite(quadratic)):
            return CGStop.NOT_FINITE
        self.quadratics.append(quadratic)
        reason = reason or self.reason_to_stop(rz)
        if reason is not None or i in self.kept_numbers:
            self.keep(i)
        self.turn(rz, renewed)
        return reason

    def reason_to_stop(self, rz: float) -> CGStop | None:
        if rz <= 0.0:  # by rounding: a preconditioner that is not positive has been refused
            return CGStop.FLOOR
        if not self.settings.shows_progress(self.quadratics):
            return CGStop.PROGRESS
        return CGStop.MAX_ITERATIONS if len(self.quadratics) > self.settings.max_iterations else None

    def look(self, i: int) -> tuple[bool, CGStop | None]:
        """r beside b - A x, where it is time: whether this was put in its place, and whether it is a reason to stop."""
        is_small, every = self.residual_is_small(), self.settings.replace_every
        if not every or not (is_small or i % every == 0):
            return False, CGStop.RESIDUAL if is_small else None
        Ax = self.product(self.x)
        self.n_products += 1
        length, self.gap = self.compare(Ax)
        if not math.isfinite(self.gap):
            return False, CGStop.NOT_FINITE
        if is_small and (length <= self.bound() or self.gap <= FAR_APART * length):
            return False, CGStop.RESIDUAL
        was_sound, self.is_sound = self.is_sound, self.gap <= math.sqrt(np.finfo(self.b.dtype).eps) * length
        if self.is_warm and was_sound and not self.is_sound:
            self.xp.subtract(self.b, Ax, out=self.r)
            return True, None
        return False, CGStop.FLOOR if is_small else None

    def compare(self, Ax: np.ndarray) -> tuple[float, float]:
        """|b - A x|, and how far that vector is from r."""
        length = gap = 0.0
        block = block_of(self.b)
        for start in range(0, self.b.size, block):
            here = slice(start, start + block)
            part = self.b[here] - Ax[here]
            length += dot(part, part)
            self.xp.subtract(part, self.r[here], out=part)
            gap += dot(part, part)
        return math.sqrt(length), math.sqrt(gap)

    def turn(self, rz: float, renewed: bool) -> None:
        """d ← z + β d, and rᵀd, which is rᵀz but where r has been renewed; d ← z where r and d are strangers."""
        is_far = renewed and self.gap > FAR_APART * norm(self.r)
        self.xp.multiply(self.d, 0.0 if is_far else rz / self.rz, out=self.d)
        self.xp.add(self.d, self.z, out=self.d)
        self.rz = rz
        self.slope = dot(self.r, self.d) if renewed else rz
        if self.slope < 0.5 * rz:
            self.xp.copyto(self.d, self.z)
            self.slope = rz

    def measure_again(self) -> bool:
        """y ← y + τ d with the length τ by the second product; whether that is finite and its curvature positive."""
        curvature = dot(self.d, self.second_product(self.d))
        self.n_products += 1
        if not (math.isfinite(curvature) and curvature > 0.0):
            return False
        add_scaled(self.y, self.slope / curvature, self.d)
        self.y_quadratic -= 0.5 * self.slope**2 / curvature
        return True

    def apply_preconditioner(self) -> float:
        """z ← M^-1 r; returns rᵀz."""
        if callable(self.preconditioner):
            self.preconditioner(self.r, self.z)
        elif self.preconditioner is not None:
            self.xp.divide(self.r, self.preconditioner, out=self.z)
        rz = dot(self.r, self.z)
        if rz < 0.0 and -rz > math.sqrt(np.finfo(self.b.dtype).eps) * norm(self.r) * norm(self.z):  # not by rounding
            raise ValueError(f"preconditioner must be positive definite, got rᵀ M⁻¹ r = {rz:.3g}; check its inverse.")
        return rz

    def quadratic(self) -> float:
        return -0.5 * (dot(self.x, self.r) + dot(self.x, self.b))

    def bound(self) -> float:
        """What |r| must not be above: what was asked for, or what the dtype can tell from zero."""
        return max(self.settings.residual, float(np.finfo(self.b.dtype).eps)) * (self.b_length or 1.0)

    def residual_is_small(self) -> bool:
        return norm(self.r) <= self.bound()

    def keep(self, number: int) -> None:
        slot = self.pool[len(self.iterates)]
        self.xp.copyto(slot, self.y)
        quadratic = self.quadratics[-1] if self.second_product is None else self.y_quadratic
        self.iterates.append(Iterate(number, slot, quadratic))

    def result(self, reason: CGStop) -> CGResult:
        n_iterations = len(self.quadratics) - 1
        is_kept = bool(self.iterates) and self.iterates[-1].number == n_iterations
        starts_solved = reason == CGStop.RESIDUAL and n_iterations == 0
        if starts_solved or (reason == CGStop.NEGATIVE_CURVATURE and n_iterations > 0 and not is_kept):
            self.keep(n_iterations)
        x = self.x
        if reason == CGStop.NOT_FINITE:  # x may hold what is not finite
            x = self.iterates[-1].x.copy() if self.iterates else self.xp.zeros_like(self.b)
        residual = max(norm(self.r), self.gap) / (self.b_length or 1.0)
        return CGResult(x, reason, self.iterates, self.quadratics, residual, self.curvature, self.n_products)
