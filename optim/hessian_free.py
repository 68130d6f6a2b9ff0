"""Hessian-free optimisation: Newton's step on the Gauss-Newton model, by conjugate gradients, damped and checked.

One step, with g the gradient of the mean loss, G its Gauss-Newton matrix on the curvature batch, S the curvature of
the distance moved by hidden states::

    solve   (G + λ I + λμ S) δ = -g   approximately, by CG from ξ times the last solution        (optim.cg)
    take    the iterate of CG from which, going back, the loss no longer falls                   (optim.acceptance)
    ρ       actual over predicted fall of the loss: λ rises or falls                             (optim.damping)
    move    θ ← θ + αδ, α by Armijo's rule; where no α helps, θ stays, λ rises, CG starts anew   (optim.acceptance)
            where losses have no digits left to tell, the norm of the gradient decides

S and the gradient of the distance vanish at θ itself: structural damping changes no gradient and no loss.

References
----------
Martens, 2010; Martens and Sutskever, 2011 (structural damping) and 2012 (the whole method). Hager and Zhang, 2005, §4
(losses without digits).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

import numpy as np

from optim.acceptance import BACKTRACKING, LineSearch, backtrack, resolution_of
from optim.arguments import brief, choice, integer, number
from optim.batches import grown
from optim.cg import CGResult, CGSettings, CGStop, Iterate, conjugate_gradient
from optim.checks.preflight import preflight
from optim.checks.probing import PRODUCT_RTOL
from optim.curvature import DampedCurvature, diagonal_preconditioner, own_preconditioner
from optim.damping import LevenbergMarquardt, reduction_ratio
from optim.device import namespace
from optim.flat_curvature import warn_if_flat
from optim.long_vectors import dot, norm
from optim.problem import Batches, agreed, check_evaluation
from optim.result import Step, StopReason
from optim.schedule import Schedule, check_schedule, value_at
from optim.weight_decay import WeightDecay

GRADIENT_FALLS = 0.9  # the share of its norm that a step must leave at most, where the gradient alone decides
MAX_RESTARTS = 20  # of CG within a step; by the default factor that raises λ by 4^20 = 1e12


@dataclass
class HessianFreeState:
    """What a step leaves to the next. Plain data.

    Parameters
    ----------
    iteration : int >= 0
    damping : float > 0
        λ of the next step.
    direction : (P,) array
        The last iterate of CG, which the next CG starts from, decayed; zeros for a fresh start.
    curvature_scale : float >= 1
        How many times as large as drawn the curvature batch is.
    rejected : int >= 0
        Steps in a row that moved nothing.
    products : int >= 0
        Curvature products so far, those of restarts and checks included.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import HessianFree
    >>> HessianFree(damping=0.3).init(np.ones(2))
    HessianFreeState(iteration=0, damping=0.3, direction=array([0., 0.]), curvature_scale=1.0, rejected=0, products=0)
    """

    iteration: int
    damping: float
    direction: np.ndarray
    curvature_scale: float = 1.0
    rejected: int = 0
    products: int = 0


@dataclass(frozen=True, eq=False)
class HessianFree:
    """Hessian-free optimisation after Martens and Sutskever; every ambiguity of the papers is an option.

    Parameters
    ----------
    damping : float or LevenbergMarquardt
        λ at the start, or the whole rule.
    structural : float >= 0
        μ: the distance that hidden states move is penalised with λμ. The objective must know its hidden states, and
        says which distance that is: a μ means nothing without it. 1/30 in Martens and Sutskever (2012) for pathological
        tasks, with the distance whose curvature by a tanh unit's pre-activation is 1 - h².
    cg : int or CGSettings
        Cap on CG iterations, or all settings.
    warm_start : float in [0, 1], or callable of the step
        ξ. 0.95 in the released codes; 0 starts every CG from zero. It acts as momentum does (Sutskever et al., 2013).
    preconditioner : None, "squared_gradients" or "own"
        Diagonal, from the squared gradients of single sequences; or what the objective's linearisation has of its own,
        see :class:`optim.Linearization`. None for recurrent nets, where Martens found no use for the diagonal.
    preconditioner_exponent : float in [0, 1]
        Of the diagonal.
    backtracking : "first_rise", "best" or "none"
        How an iterate of CG is chosen by the loss on the acceptance batch, see :func:`optim.acceptance.backtrack`.
    line_search : LineSearch
    weight_decay : float >= 0
        Coefficient c of ½ c |θ|² in the mean loss.
    decay_mask : (P,) bool array, optional
        Which parameters decay.
    negative_curvature : "stop" or "truncate"
        What to do where a product is clearly not positive: stop with that reason, as befits Gauss-Newton products that
        must be wrong; or take what CG found before, and raise λ, as befits products with a Hessian.
    curvature_growth : float >= 1
        Factor on the size of the curvature batch, see ``growth_when``; 1 for none.
    growth_when : "poor" or "always"
        After steps with ρ below the damping's ``low``, or after every step.
    restart_increase : float > 1
        Factor on λ where no step length helped, or no product was finite.
    patience : int >= 1
        So many steps in a row that move nothing end the run.
    check : bool
        Look at the objective before the first step: deterministic, symmetric and, unless ``negative_curvature`` is
        "truncate", non-negative, to what its numbers resolve. Two losses, two linearisations and three products on the
        curvature batch, and two more where these leave a doubt. With ``negative_curvature="stop"`` another one:
        :class:`optim.FlatCurvatureWarning` is given where the loss has no curvature in the outputs.

    Notes
    -----
    Columns of the trace, a row per step: ``loss`` and ``gradient_norm`` at the start, on the gradient's batch;
    ``loss_acceptance`` at the start and ``loss_after`` at the end, on that of acceptance; ``quadratic`` and
    ``reduction_ratio`` of the judged iterate; ``damping`` used; ``cg_iterations``, ``cg_stop``, ``cg_residual``,
    ``restarts`` of CG with larger λ; ``taken_iterate``, its number; ``step_length``, 0 for a rejected step;
    ``products`` so far; ``curvature_scale``; ``seconds`` so far.

    Examples
    --------
    >>> import numpy as np
    >>> from optim import HessianFree, from_callables, minimize
    >>> A = np.array([[1.0, 0.0], [-10.0, 10.0]])  # Rosenbrock's valley as least squares: r = (1 - x, 10 (y - x²))
    >>> r = lambda x: np.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)])
    >>> J = lambda x: np.array([[-1.0, 0.0], [-20.0 * x[0], 10.0]])
    >>> valley = from_callables(
    ...     lambda x: (0.5 * r(x) @ r(x), J(x).T @ r(x)), lambda x, v: J(x).T @ (J(x) @ v), n_params=2
    ... )
    >>> result = minimize(valley, np.array([-1.2, 1.0]), HessianFree(), tolerance=1e-8)
    >>> result.reason.value, result.theta.round(6)
    ('converged', array([1., 1.]))
    """

    _: KW_ONLY
    damping: float | LevenbergMarquardt = field(default_factory=LevenbergMarquardt)
    structural: float = 0.0
    cg: int | CGSettings = field(default_factory=CGSettings)
    warm_start: Schedule = 0.95
    preconditioner: str | None = None
    preconditioner_exponent: float = 0.75
    backtracking: str = "first_rise"
    line_search: LineSearch = field(default_factory=LineSearch)
    weight_decay: float = 0.0
    decay_mask: np.ndarray | None = None
    negative_curvature: str = "stop"
    curvature_growth: float = 1.0
    growth_when: str = "poor"
    restart_increase: float = 4.0
    patience: int = 10
    check: bool = True

    needs_linearize: ClassVar[bool] = True
    state_type: ClassVar[type] = HessianFreeState

    def __post_init__(self) -> None:
        rule = LevenbergMarquardt
        if not isinstance(self.damping, rule):
            remedy = "give a number, or a LevenbergMarquardt"
            initial = number("damping", self.damping, least=rule.minimum, most=rule.maximum, remedy=remedy)
            object.__setattr__(self, "damping", rule(initial=initial))
        if not isinstance(self.cg, CGSettings):
            cap = integer("cg", self.cg, remedy="give a cap on iterations, or CGSettings")
            object.__setattr__(self, "cg", CGSettings(max_iterations=cap))
        if not isinstance(self.line_search, LineSearch):
            raise TypeError(f"line_search must be a LineSearch, got {brief(self.line_search)}; give LineSearch().")
        for name in ("structural", "weight_decay"):
            number(name, getattr(self, name), least=0)
        integer("patience", self.patience)
        check_schedule("warm_start", self.warm_start, least=0, most=1)
        number("preconditioner_exponent", self.preconditioner_exponent, least=0, most=1)
        number("curvature_growth", self.curvature_growth, least=1)
        number("restart_increase", self.restart_increase, above=1)
        if self.preconditioner is not None:
            choice("preconditioner", self.preconditioner, ("squared_gradients", "own"), or_else="None")
        choice("backtracking", self.backtracking, BACKTRACKING)
        choice("negative_curvature", self.negative_curvature, ("stop", "truncate"))
        choice("growth_when", self.growth_when, ("poor", "always"))

    def init(self, theta: np.ndarray) -> HessianFreeState:
        """State before the first step."""
        return HessianFreeState(0, float(self.damping.initial), namespace(theta).zeros_like(theta))

    def problem(self, objective: Any) -> Any:
        """What is minimised: the objective, with weight decay where that is on."""
        return WeightDecay(objective, self.weight_decay, self.decay_mask) if self.weight_decay else objective

    def step(
        self,
        objective: Any,
        theta: np.ndarray,
        state: HessianFreeState,
        *,
        batches: Batches | None = None,
        tolerance: float = 0.0,
        spare: Any = None,
    ) -> tuple[np.ndarray, HessianFreeState, Step]:
        """One step.

        Parameters
        ----------
        objective : Objective with linearize
        theta : (P,) array
            Read only, as ``state`` is.
        state : HessianFreeState
        batches : Batches, optional
            All sequences for every role if not given.
        tolerance : float >= 0
            Stop before anything else where the norm of the mean gradient is at most this.
        spare : not used
            Parameters and directions are arrays that the step has made anyway.

        Returns
        -------
        theta, state, Step
        """
        problem = self.problem(objective)
        drawn = grown(batches or Batches(), state.curvature_scale, getattr(objective, "n_sequences", None))
        taken = _StepInProgress(self, problem, theta, state, drawn)
        step = taken.run(tolerance)
        return taken.theta, taken.state, step


class _StepInProgress:
    """The parts of one step, in their order; see the top of this file."""

    def __init__(
        self, method: HessianFree, problem: Any, theta: np.ndarray, state: HessianFreeState, batches: Batches
    ) -> None:
        self.method, self.problem, self.theta, self.state, self.batches = method, problem, theta, state, batches
        self.damping, self.products = state.damping, state.products
        self.xp = namespace(theta)
        self.trial, self.out = self.xp.empty_like(theta), self.xp.empty_like(theta)
        self.row: dict[str, Any] = {"iteration": state.iteration}

    def run(self, tolerance: float) -> Step:
        found = self.problem.value_and_grad(self.theta, self.batches.gradient)
        check_evaluation(found, self.theta, with_grad=True)
        self.loss = found.loss
        self.b = self.xp.multiply(found.grad, -1.0 / found.weight)
        length = norm(self.b)
        self.row.update(loss=self.loss, gradient_norm=length)
        if not (math.isfinite(self.loss) and math.isfinite(length)):
            return Step(self.row, StopReason.NOT_FINITE)
        if length <= tolerance or length == 0.0:  # exact: nothing to solve
            return Step(self.row, StopReason.CONVERGED)
        if self.state.iteration == 0 and self.method.check:
            structural, is_tolerant = (
                self.method.structural * self.damping,
                self.method.negative_curvature == "truncate",
            )
            seen = preflight(self.problem, self.theta, self.batches.curvature, structural, may_be_negative=is_tolerant)
            self.products += seen.n_products
            if seen.reason is not None:
                return Step(self.row, seen.reason, seen.message)
        self.linear = self.problem.linearize(self.theta, self.batches.curvature)
        if self.state.iteration == 0 and self.method.check and self.method.negative_curvature == "stop":
            warn_if_flat(getattr(self.linear, "undecayed", self.linear), self.theta)
            self.products += 1
        debias = self.batches.debias
        self.second = None if debias is None else self.problem.linearize(self.theta, debias)
        solved = self.solve()
        is_wrong = self.method.negative_curvature == "stop" and solved.reason == CGStop.NEGATIVE_CURVATURE
        if is_wrong and solved.curvature < -PRODUCT_RTOL[self.theta.itemsize]:
            message = f"CG met dᵀ(G + λI)d = {solved.curvature:.3g} |d| |(G + λI)d|."
            return Step(self.row, StopReason.NEGATIVE_CURVATURE, message)
        return self.move(solved)

    # -------------------------------------------------------------------------------------------- the direction

    def solve(self) -> CGResult:
        """CG, again from zero with larger λ while it finds no iterate at all."""
        start = self.state.direction * value_at(self.method.warm_start, self.state.iteration, "warm_start")
        warm = start if self.xp.any(start) else None
        for restarts in range(MAX_RESTARTS + 1):
            solved = self.solve_once(warm)
            self.row["restarts"] = restarts
            is_wrong = solved.reason == CGStop.NEGATIVE_CURVATURE and self.method.negative_curvature == "stop"
            is_at_the_end = self.damping >= self.method.damping.maximum
            if solved.iterates or solved.reason == CGStop.RESIDUAL or is_wrong or is_at_the_end:
                break
            warm = None
            self.damping = self.method.damping.bounded(self.damping * self.method.restart_increase)
        self.row.update(cg_iterations=solved.n_iterations, cg_stop=solved.reason.value, cg_residual=solved.residual)
        return solved

    def solve_once(self, start: np.ndarray | None) -> CGResult:
        method = self.method
        product = self.curvature(self.linear, self.damping, self.xp.empty_like(self.theta))
        second = self.second
        if second is not None:
            second = self.curvature(second, self.damping, self.xp.empty_like(self.theta))
        preconditioner: Any = None
        if method.preconditioner == "own":
            preconditioner = own_preconditioner(self.linear, self.damping)
        elif method.preconditioner is not None:
            preconditioner = diagonal_preconditioner(self.linear, self.damping, method.preconditioner_exponent)
        solved = conjugate_gradient(
            product, self.b, x0=start, preconditioner=preconditioner, settings=method.cg, second_product=second
        )
        self.products += solved.n_products
        return solved

    def curvature(self, linear: Any, damping: float, out: np.ndarray) -> DampedCurvature:
        return DampedCurvature(linear, damping, damping * self.method.structural, out)

    # ----------------------------------------------------------------------------------------------- the decision

    def move(self, solved: CGResult) -> Step:
        method = self.method
        if not solved.iterates:
            self.row.update(damping=self.damping, reduction_ratio=-math.inf, step_length=0.0)
            return self.reject(predicted=-math.inf)
        start_loss = self.acceptance_loss()
        position, losses = backtrack(solved.iterates, lambda it: self.loss_along(it.x, 1.0), method.backtracking)
        chosen = solved.iterates[position]
        chosen_loss = losses[len(solved.iterates) - 1 - position]
        judged, judged_loss = (
            (chosen, chosen_loss) if method.damping.at == "backtracked" else (solved.iterates[-1], losses[0])
        )
        predicted = agreed(self.problem, self.predict(judged))
        ratio = reduction_ratio(judged_loss - start_loss, predicted)
        slope = agreed(self.problem, -dot(self.b, chosen.x))
        alpha, end_loss = method.line_search.step_length(
            lambda alpha: self.loss_along(chosen.x, alpha), loss=start_loss, slope=slope, first=chosen_loss
        )
        self.row.update(loss_acceptance=start_loss, loss_after=end_loss, quadratic=predicted, reduction_ratio=ratio)
        self.row.update(damping=self.damping, taken_iterate=chosen.number, step_length=alpha)
        if alpha == 0.0:  # exact: how the line search says that it found nothing
            return self.move_by_gradient(solved, start_loss, predicted)
        damping = method.damping.updated(self.damping, ratio)
        if solved.reason == CGStop.NOT_FINITE or solved.reason == CGStop.NEGATIVE_CURVATURE:
            damping = method.damping.bounded(max(damping, self.damping * method.damping.increase))
        self.xp.multiply(chosen.x, alpha, out=self.trial)
        self.xp.add(self.theta, self.trial, out=self.trial)
        return self.take(self.trial, solved, damping, ratio)

    def move_by_gradient(self, solved: CGResult, start_loss: float, predicted: float) -> Step:
        """Where no length lowered the loss: the last iterate, if losses cannot tell it from θ and gradients can.

        In the spirit of Hager and Zhang's approximate rule: near a minimum, differences of losses lose all their digits
        while the gradient has half of them.
        """
        if self.batches.acceptance is not self.batches.gradient:
            return self.reject(predicted)
        resolution = resolution_of(self.mean_loss, self.theta, start_loss)
        last = solved.iterates[-1]
        self.xp.add(self.theta, last.x, out=self.trial)
        found = self.problem.value_and_grad(self.trial, self.batches.gradient)
        check_evaluation(found, self.theta, with_grad=True)
        falls = norm(found.grad) / found.weight <= GRADIENT_FALLS * self.row["gradient_norm"]
        is_better = falls and abs(found.loss - start_loss) <= resolution
        if agreed(self.problem, float(is_better)) > 0.0:
            self.row.update(loss_after=found.loss, taken_iterate=last.number, step_length=1.0)
            return self.take(self.trial, solved, self.damping, self.row["reduction_ratio"])
        return self.reject(predicted, resolution)

    def take(self, theta: np.ndarray, solved: CGResult, damping: float, ratio: float) -> Step:
        """The parameters become ``theta``."""
        self.theta = theta
        self.leave(solved.x, damping, ratio, rejected=0)
        return Step(self.row)

    def reject(self, predicted: float, resolution: float | None = None) -> Step:
        """Nothing moves; λ rises and the next CG starts from zero."""
        if resolution is None:
            start_loss = self.row.get("loss_acceptance", self.loss)
            resolution = 4.0 * float(np.finfo(self.theta.dtype).eps) * max(abs(start_loss), np.finfo(np.float64).tiny)
        damping = self.method.damping.bounded(self.damping * self.method.restart_increase)
        self.leave(self.xp.zeros_like(self.theta), damping, -math.inf, rejected=self.state.rejected + 1)
        if abs(predicted) <= resolution:
            return Step(self.row, StopReason.CONVERGED)
        if self.state.rejected >= self.method.patience:
            message = f"{self.state.rejected} steps in a row moved nothing, the last with λ = {self.damping:.3g}."
            return Step(self.row, StopReason.NO_PROGRESS, message)
        return Step(self.row)

    def leave(self, direction: np.ndarray, damping: float, ratio: float, *, rejected: int) -> None:
        """The state becomes what the next step begins with."""
        state, method = self.state, self.method
        grows = method.growth_when == "always" or not ratio >= method.damping.low
        scale = state.curvature_scale * (method.curvature_growth if grows else 1.0)
        self.state = HessianFreeState(state.iteration + 1, damping, direction, scale, rejected, self.products)
        self.row.update(products=self.products, curvature_scale=scale)

    def predict(self, iterate: Iterate) -> float:
        """q(δ) = gᵀδ + ½ δᵀB δ, by a product of its own: no conjugacy is relied on."""
        rule = self.method.damping
        damping = self.damping if rule.model == "damped" else 0.0
        linear = self.linear if self.second is None else self.second
        product = self.curvature(linear, damping, self.out)(iterate.x)
        self.products += 1
        if rule.gradient == "acceptance":
            found = self.problem.value_and_grad(self.theta, self.batches.acceptance)
            slope = dot(found.grad, iterate.x) / found.weight
        else:
            slope = -dot(self.b, iterate.x)
        return slope + 0.5 * dot(iterate.x, product)

    def acceptance_loss(self) -> float:
        """f(θ) on the acceptance batch, where that is not the gradient's."""
        if self.batches.acceptance is self.batches.gradient:
            return self.loss
        return self.mean_loss(self.theta)

    def loss_along(self, delta: np.ndarray, alpha: float) -> float:
        """f(θ + αδ) on the acceptance batch; infinite where it is not finite."""
        self.xp.multiply(delta, alpha, out=self.trial)
        self.xp.add(self.theta, self.trial, out=self.trial)
        loss = self.mean_loss(self.trial)
        return loss if math.isfinite(loss) else math.inf

    def mean_loss(self, theta: np.ndarray) -> float:
        found = self.problem.value(theta, self.batches.acceptance)
        check_evaluation(found, theta, with_grad=False)
        return found.loss
