"""The contract between problems and methods, and its errors."""

import numpy as np
import pytest

from optim import Evaluation, Linearization, Objective, from_callables
from optim.problem import check_evaluation, check_problem

A = np.array([[2.0, 0.5], [0.5, 1.0]])


def bowl(**options):
    return from_callables(lambda x: (0.5 * x @ A @ x, A @ x), lambda x, v: A @ v, n_params=2, **options)


def test_callables_make_an_objective():
    objective = bowl()
    assert isinstance(objective, Objective) and isinstance(objective.linearize(np.ones(2)), Linearization)
    assert objective.value(np.ones(2)).loss == 2.0
    np.testing.assert_array_equal(objective.value_and_grad(np.ones(2)).grad, A @ np.ones(2))
    np.testing.assert_array_equal(objective.linearize(np.ones(2)).gauss_newton(np.ones(2)), A @ np.ones(2))


def test_weight_turns_sums_into_means():
    assert bowl(weight=4.0).value(np.ones(2)).loss == 0.5
    assert bowl(weight=4.0).linearize(np.ones(2)).weight == 4.0


def test_a_cheaper_value_is_used_where_it_is_given():
    assert bowl(value=lambda x: 7.0).value(np.ones(2)).loss_sum == 7.0


def test_functions_of_a_batch_receive_it_last():
    targets = np.arange(5.0)

    def value_and_grad(x, batch):
        errors = x - targets[batch]
        return Evaluation(0.5 * float(errors @ errors), float(len(batch)), np.array([errors.sum()]))

    objective = from_callables(
        value_and_grad, lambda x, v, batch: len(batch) * v, n_params=1, n_sequences=5,
        squared_gradients=lambda x, batch: np.array([np.sum((x - targets[batch]) ** 2)]),
    )  # fmt: skip
    assert objective.value_and_grad(np.zeros(1), np.array([3, 4])).grad[0] == -7.0
    assert objective.value(np.zeros(1)).weight == 5.0
    linear = objective.linearize(np.zeros(1), np.array([3, 4]))
    assert linear.weight == 2.0 and linear.gauss_newton(np.ones(1))[0] == 2.0
    assert linear.squared_gradients()[0] == 25.0


def test_without_products_there_is_nothing_to_linearise():
    objective = from_callables(lambda x: (x @ x, 2 * x), n_params=2)
    assert not hasattr(objective, "linearize") and not hasattr(bowl().linearize(np.ones(2)), "squared_gradients")
    with pytest.raises(TypeError, match=r"without linearize; .*gauss_newton"):
        check_problem(objective, np.ones(2), needs_linearize=True)


def test_structural_damping_of_plain_functions_is_refused():
    with pytest.raises(NotImplementedError, match=r"structural must be 0 .* got 0.1"):
        bowl().linearize(np.ones(2)).gauss_newton(np.ones(2), structural=0.1)


@pytest.mark.parametrize(
    ("theta", "error", "message"),
    [
        (np.ones(2, int), TypeError, "theta must be a NumPy or CuPy array of float32 or float64, got dtype int64"),
        ([1.0, 1.0], TypeError, r"got \[1.0, 1.0\]; use numpy.asarray\(theta, float\)"),
        (np.ones(3), ValueError, r"theta must have shape \(2,\), the objective's n_params, got \(3,\)"),
        (np.ones((2, 1)), ValueError, r"got \(2, 1\)"),
        (np.array([1.0, np.nan]), ValueError, "theta must be finite, got nan at position 1"),
    ],
)
def test_parameters_that_do_not_fit_are_named(theta, error, message):
    with pytest.raises(error, match=message):
        check_problem(bowl(), theta)


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        ((1.0, np.ones(2)), TypeError, "an objective must return an Evaluation, got tuple"),
        (Evaluation(1.0, 0.0, np.ones(2)), ValueError, "the weight of a batch must be a finite number > 0, got 0.0"),
        (Evaluation(1.0, 1.0, np.ones(3)), ValueError, r"the gradient must be float64 of shape \(2,\)"),
        (Evaluation(1.0, 1.0, np.ones(2, np.float32)), ValueError, "got float32"),
        (Evaluation(1.0, 1.0), ValueError, "got NoneType"),
    ],
)
def test_answers_that_do_not_fit_are_named(found, error, message):
    with pytest.raises(error, match=message):
        check_evaluation(found, np.ones(2), with_grad=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_callables(3.0, n_params=2), "value_and_grad must be a function of theta, got 3.0"),
        (lambda: from_callables(lambda x: x, A, n_params=2), "gauss_newton must be a function"),
        (lambda: from_callables(lambda x: x, n_params=0), "n_params must be an integer >= 1, got 0"),
        (lambda: bowl(weight=0.0), "weight must be a finite number > 0, got 0.0"),
        (lambda: bowl().value(np.ones(2), np.arange(2)), "batch must be None for an objective made by from_callables"),
        (lambda: bowl(n_sequences=3).value(np.ones(2)), "takes 1 positional argument but 2 were given"),
    ],
)
def test_callables_that_make_no_objective_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
