"""A JAX function on a pytree of parameters, a loss and data as an :class:`optim.Objective`.

JAX is loaded when an objective is made. The model is linearised once a point by a compiled function, whose results stay
on the device; a product is another compiled function: the linear map, the curvature of the loss, and the transposed
map, which gives Gauss-Newton and structural damping in one pass. Vectors come to the host for conjugate gradients,
whose scalars are float64 there, whatever JAX computes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from optim.arguments import brief, integer, number
from optim.batch_axes import axis_of_sequences, rows_of_batch
from optim.problem import Evaluation

Pytree: TypeAlias = Any
SEQUENCES_AT_ONCE = 256  # of which all single gradients are held


class JaxObjective:
    """Sum of the losses of a JAX model over sequences, its gradient, and products with its curvature.

    Parameters
    ----------
    apply : callable
        ``apply(params, X) -> outputs``, or ``(outputs, hidden)`` with ``has_hidden``; pure, of things that JAX can
        trace. Outputs may be a pytree, so may the hidden states.
    loss : callable
        ``loss(outputs, y) -> loss_sum``, summed over the sequences and not averaged; or ``(loss_sum, weight)``. The
        weight is otherwise the number of sequences of the batch. It must be convex and curved in the outputs:
        cross-entropy of logits, not of log-probabilities, see :class:`optim.FlatCurvatureWarning`.
    params : pytree of float arrays
        θ is ``jax.flatten_util.ravel_pytree(params)``. float64 needs ``jax.config.update("jax_enable_x64", True)``.
        Python's floats become arrays of the precision of the others, or of JAX's own.
    data : (X, y)
        Two pytrees of arrays whose axis ``batch_axis`` counts sequences, or None. Without any array, where a model is
        one of its parameters alone, there is one sequence.
    has_hidden : bool
        Whether ``apply`` returns hidden states, for structural damping.
    hidden_curvature : callable, optional
        ``hidden_curvature(hidden) -> D``, a pytree like hidden, not negative: structural damping adds λμ Jᵀ D J, J the
        derivative of the hidden states, the curvature of ½ Σ D (change of hidden)². Ones if not given. For tanh units
        the distance that :class:`optim.HessianFree` speaks of is ``1 / (1 - h**2)`` of states h, or
        ``1 - tanh(a)**2`` of pre-activations a; zeros at steps that are padding.
    batch_axis : int
        Arrays that have not so many entries there as the first of X, such as lengths (B,) or answers (B, O) beside
        X (T, B, I), count sequences by their first axis.

    Attributes
    ----------
    n_params, n_sequences : int
    theta0 : (P,) array
        ``params`` as one vector.

    Notes
    -----
    Functions are compiled anew for every size of batch.

    Examples
    --------
    >>> import jax.numpy as jnp  # doctest: +SKIP
    >>> from optim import HessianFree, minimize
    >>> from optim.for_jax import JaxObjective
    >>> X = jnp.linspace(-1.0, 1.0, 20)[:, None]  # doctest: +SKIP
    >>> line = jnp.linspace(-2.0, 2.0, 5)  # doctest: +SKIP
    >>> params = {"a": line[None], "b": line, "c": line[:, None]}  # doctest: +SKIP
    >>> apply = lambda p, X: jnp.tanh(X @ p["a"] + p["b"]) @ p["c"]
    >>> fit = JaxObjective(apply, lambda o, y: ((o - y) ** 2).sum(), params, (X, X**2))  # doctest: +SKIP
    >>> result = minimize(fit, fit.theta0, HessianFree(), max_iterations=50)  # doctest: +SKIP
    >>> fit.params(result.theta)["a"].shape, result.value < 1e-3  # doctest: +SKIP
    ((1, 5), True)
    """

    def __init__(
        self,
        apply: Callable[[Pytree, Pytree], Any],
        loss: Callable[[Any, Pytree], Any],
        params: Pytree,
        data: tuple[Pytree, Pytree],
        *,
        has_hidden: bool = False,
        hidden_curvature: Callable[[Any], Any] | None = None,
        batch_axis: int = 0,
    ) -> None:
        import jax
        from jax.flatten_util import ravel_pytree

        _check(apply, loss, data)
        integer("batch_axis", batch_axis, least=-16, most=15, remedy="give the axis of X that counts sequences")
        params = _arrays(params)
        flat, self._unravel = ravel_pytree(params)
        self.theta0 = np.array(flat)
        self.n_params, self.dtype = self.theta0.size, self.theta0.dtype
        self.data = jax.tree.map(jax.numpy.asarray, tuple(data))
        self.batch_axis, self.has_hidden = batch_axis, has_hidden
        self.axes, self.n_sequences = _axes(self.data, batch_axis)
        self.compiled = _Model(apply, loss, self._unravel, has_hidden, hidden_curvature, self.axes)

    def params(self, theta: np.ndarray) -> Pytree:
        """``theta`` as a pytree like ``params``."""
        return self._unravel(self.placed(theta))

    def value(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss and weight of the batch."""
        loss_sum, weight = self.compiled.value(self.placed(theta), self.chosen(batch))
        return Evaluation(float(loss_sum), self.checked(weight))

    def value_and_grad(self, theta: np.ndarray, batch: np.ndarray | None = None) -> Evaluation:
        """Loss, weight and gradient of the batch."""
        (loss_sum, weight), grad = self.compiled.value_and_grad(self.placed(theta), self.chosen(batch))
        return Evaluation(float(loss_sum), self.checked(weight), np.array(grad))

    def linearize(self, theta: np.ndarray, batch: np.ndarray | None = None) -> JaxProducts:
        """The batch's model linearised at ``theta``."""
        return JaxProducts(self, self.placed(theta), batch)

    def placed(self, theta: np.ndarray) -> Any:
        """A copy of ``theta`` on the device, in its own precision."""
        import jax.numpy as jnp

        placed = jnp.array(theta, copy=True)
        if placed.dtype != theta.dtype or placed.dtype != self.dtype:
            raise TypeError(
                f"theta must be {self.dtype}, as params are, got {theta.dtype} in a JAX that computes in "
                f"{placed.dtype}; convert params and theta alike, and for float64 call "
                'jax.config.update("jax_enable_x64", True) before anything is computed.'
            )
        return placed

    def chosen(self, batch: np.ndarray | None) -> tuple[Pytree, Pytree]:
        """The sequences of the batch."""
        import jax

        if batch is None:
            return self.data
        rows = rows_of_batch(batch, self.n_sequences)  # JAX would take others for what is nearest, or NaN
        return jax.tree.map(lambda array, axis: jax.numpy.take(array, rows, axis=axis), self.data, self.axes)

    def checked(self, weight: Any) -> float:
        """The weight of a batch, if it is positive."""
        remedy = "leave out batches in which every target is masked"
        return number("the weight of a batch", np.asarray(weight).item(), above=0, remedy=remedy)


class JaxProducts:
    """Curvature products at one point; the linear map and what it needs are on the device.

    Parameters
    ----------
    objective : JaxObjective
    theta : (P,) device array
    batch : (m,) integer array or None
    """

    def __init__(self, objective: JaxObjective, theta: Any, batch: np.ndarray | None) -> None:
        self.objective, self.theta, self.batch, self.data = objective, theta, batch, objective.chosen(batch)
        weight, self.images, self.linear = objective.compiled.linearize(theta, self.data)
        self.weight = objective.checked(weight)

    def gauss_newton(self, v: np.ndarray, *, structural: float = 0.0) -> np.ndarray:
        """Jᵀ (H Rz, λμ D Rh) with Rz, Rh = J v."""
        if structural > 0.0 and not self.objective.has_hidden:
            raise NotImplementedError(
                f"structural must be 0 where apply returns no hidden states, got {structural!r}; let it return "
                "(outputs, hidden) and give has_hidden=True, or set structural=0 in HessianFree."
            )
        placed = self.objective.placed(v)
        coefficient = placed.dtype.type(structural)  # an array: a Python float would be compiled in
        product = self.objective.compiled.product(
            self.linear, self.images, self.data, placed, coefficient, with_hidden=structural > 0.0
        )
        return np.array(product)

    def squared_gradients(self) -> np.ndarray:
        """Sum of the squared gradients of single sequences: of so many at once as fit, then in float64."""
        objective, total = self.objective, np.zeros(self.theta.size)
        rows = np.arange(objective.n_sequences) if self.batch is None else self.batch
        for start in range(0, len(rows), SEQUENCES_AT_ONCE):
            part = objective.chosen(rows[start : start + SEQUENCES_AT_ONCE])
            total += np.asarray(objective.compiled.squared_gradients(self.theta, part))
        return total.astype(objective.dtype)


class _Model:
    """The compiled functions; data are arguments, so that one compilation serves all batches of a size."""

    def __init__(
        self,
        apply: Callable,
        loss: Callable,
        unravel: Callable,
        has_hidden: bool,
        hidden_curvature: Callable | None,
        axes: tuple[Pytree, Pytree],
    ) -> None:
        import jax
        import jax.numpy as jnp

        def loss_of(outputs, data):
            """Sum and weight, scalars."""
            found = loss(outputs, data[1])
            counts = jax.tree.leaves(jax.tree.map(lambda array, axis: array.shape[axis], data, axes))
            n_sequences = counts[0] if counts else 1
            loss_sum, weight = found if isinstance(found, tuple) and len(found) == 2 else (found, n_sequences)
            is_array = isinstance(loss_sum, (float, np.ndarray, np.generic, jax.Array))
            if not is_array or jnp.shape(loss_sum) or not jnp.issubdtype(jnp.result_type(loss_sum), jnp.floating):
                came = f"{jnp.result_type(loss_sum)} of shape {jnp.shape(loss_sum)}" if is_array else brief(loss_sum)
                raise TypeError(f"loss must return one real number, got {came}; sum the losses of all sequences.")
            return loss_sum, jnp.asarray(weight)

        def images_of(theta, data):
            """(outputs, hidden), hidden None where there is none."""
            returned = apply(unravel(theta), data[0])
            if not has_hidden:
                return returned, None
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise TypeError(
                    f"apply must return (outputs, hidden) with has_hidden=True, got {type(returned).__name__}; return "
                    "both, or leave has_hidden out."
                )
            return returned

        def value(theta, data):
            return loss_of(images_of(theta, data)[0], data)

        def linearize(theta, data):
            images, linear = jax.linearize(lambda theta: images_of(theta, data), theta)
            return loss_of(images[0], data)[1], images, linear

        def product(linear, images, data, v, structural, *, with_hidden):
            outputs, hidden = images
            Rz, Rh = linear(v)
            slope = jax.grad(lambda outputs: loss_of(outputs, data)[0])
            cotangents = [jax.jvp(slope, (outputs,), (Rz,))[1], jax.tree.map(jnp.zeros_like, Rh)]
            if with_hidden:
                D = jax.tree.map(jnp.ones_like, hidden) if hidden_curvature is None else hidden_curvature(hidden)
                cotangents[1] = jax.tree.map(lambda D, Rh: structural * D * Rh, D, Rh)
            return jax.linear_transpose(linear, v)(tuple(cotangents))[0]

        def squared_gradients(theta, data):
            def of_one(sequence):
                one = jax.tree.map(jnp.expand_dims, sequence, axes)
                return jax.grad(lambda theta: value(theta, one)[0])(theta) ** 2

            if not jax.tree.leaves(axes):
                return of_one(data)
            return jnp.sum(jax.vmap(of_one, in_axes=(axes,))(data), axis=0)

        self.value = jax.jit(value)
        self.value_and_grad = jax.jit(jax.value_and_grad(value, has_aux=True))
        self.linearize = jax.jit(linearize)
        self.product = jax.jit(product, static_argnames="with_hidden")
        self.squared_gradients = jax.jit(squared_gradients)


def _check(apply: Any, loss: Any, data: Any) -> None:
    for name, function in {"apply": apply, "loss": loss}.items():
        if not callable(function):
            raise TypeError(f"{name} must be a function, got {type(function).__name__}; pass the function itself.")
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(
            f"data must be (X, y), got {brief(data)}; give None for what the model or the loss does not need."
        )


def _arrays(params: Pytree) -> Pytree:
    """``params``, Python's floats among them as arrays of the precision of the others."""
    import jax

    leaves = jax.tree.leaves(params)
    kinds = sorted({str(np.asarray(leaf).dtype) for leaf in leaves if type(leaf) is not float})
    if not kinds and leaves:
        kinds = [str(jax.numpy.result_type(float))]
    if kinds not in (["float32"], ["float64"]):
        raise TypeError(
            f"params must be float32 or float64 arrays, all of one kind, and at least one, got "
            f"{', '.join(kinds) or 'none'}; convert them with jax.tree.map."
        )
    if kinds == ["float64"] and not jax.config.jax_enable_x64:
        raise TypeError(
            "params in float64 need a JAX that computes in it, got float64 with x64 off; call "
            'jax.config.update("jax_enable_x64", True) before anything is computed, or give float32.'
        )
    arrays = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf, kinds[0]), params)
    if not any(array.size for array in jax.tree.leaves(arrays)):
        raise ValueError(
            f"params must hold at least one number, got shapes {', '.join(str(leaf.shape) for leaf in leaves)}; give "
            "arrays with sizes above 0."
        )
    return arrays


def _axes(data: tuple[Pytree, Pytree], batch_axis: int) -> tuple[tuple[Pytree, Pytree], int]:
    """The axes that count sequences, a tree like ``data``, and how many sequences there are."""
    import jax

    arrays = jax.tree.leaves(data)
    if not arrays:
        return data, 1
    first = arrays[0]
    if not -first.ndim <= batch_axis < first.ndim:
        raise ValueError(
            f"batch_axis must be an axis of X, got {batch_axis} for shape {first.shape}; give the axis that counts "
            "sequences, or close over what is no data."
        )
    n_sequences = int(first.shape[batch_axis])
    name = ("X", "y").__getitem__

    def axis(path: tuple, array: Any) -> int:
        return axis_of_sequences(
            name(path[0].idx) + jax.tree_util.keystr(path[1:]), array.shape, batch_axis, n_sequences
        )

    return jax.tree_util.tree_map_with_path(axis, data), n_sequences
