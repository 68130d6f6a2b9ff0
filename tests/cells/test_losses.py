"""Losses, their derivatives and curvatures, against their formulas and against differences of one another."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells.passes.losses import LOSSES, cotangents, predictions
from naive import networks as plain
from one_case import in_one_case

# A few elementary functions after one another, each right to a few units of the last place.
RTOL = {np.float64: 1e-14, np.float32: 1e-5}
both_types = pytest.mark.parametrize("dtype", [np.float64, np.float32])
every_loss = pytest.mark.parametrize("loss", LOSSES)
NO_LABELS = np.empty(0, np.int64)


def rows(loss, n, O, dtype=np.float64, size=3.0):
    """Outputs, targets and weights; one row does not count."""
    rng = np.random.default_rng(O)
    outputs = (size * rng.standard_normal((n, O))).astype(dtype)
    y = rng.random((n, O)) if loss != "squared" else rng.standard_normal((n, O))
    if loss == "softmax":
        y /= y.sum(axis=1, keepdims=True)
    weights = rng.random(n) + 0.5
    weights[n // 2] = 0.0 if n > 1 else 1.0
    return outputs, y.astype(dtype), weights.astype(dtype)


def all_of(loss, outputs, y, weights, labels=NO_LABELS):
    """Loss, predictions, derivatives by the outputs."""
    p, d = np.full_like(outputs, np.nan), np.full_like(outputs, np.nan)
    found = LOSSES[loss].evaluate(outputs, y, labels, weights, p)
    cotangents(p, y, labels, weights, d)
    return found, p, d


def plain_loss(loss, outputs, y, weights):
    net = plain.Net([], outputs.shape[1], loss)
    return plain.loss_of(net, outputs, plain.Sequence(None, y, weights))


@every_loss
@both_types
@in_one_case("n", [1, 5])
@in_one_case("O", [1, 2, 7, 8, 33, 70])
def test_loss_predictions_and_derivatives_are_those_of_the_formulas(loss, dtype, n, O):
    outputs, y, weights = rows(loss, n, O, dtype)
    found, p, d = all_of(loss, outputs, y, weights)
    wide = [array.astype(np.float64) for array in (outputs, y, weights)]
    near = {"rtol": RTOL[dtype], "atol": RTOL[dtype]}
    assert isinstance(found, float)
    assert_allclose(found, plain_loss(loss, *wide), rtol=RTOL[dtype] * O, atol=RTOL[dtype])
    assert_allclose(p, [plain.predictions(loss, o) for o in wide[0]], **near)
    assert_allclose(d, wide[2][:, None] * (p.astype(np.float64) - wide[1]), **near)
    assert p.dtype == d.dtype == dtype
    assert_array_equal(predictions(loss, outputs), p)


@every_loss
def test_derivatives_are_those_of_the_loss(loss):
    outputs, y, weights = rows(loss, 4, 5)
    _, _, d = all_of(loss, outputs, y, weights)
    J = plain.jacobian(lambda o: plain_loss(loss, o.reshape(4, 5), y, weights), outputs.ravel())
    assert_allclose(d, J.reshape(4, 5), rtol=1e-13, atol=1e-15)


@every_loss
@both_types
@in_one_case("O", [1, 3, 8, 33])
def test_curvature_is_the_dense_matrix_and_has_no_negative_eigenvalue(loss, dtype, O):
    outputs, _, weights = rows(loss, 4, O, dtype)
    u = np.random.default_rng(1).standard_normal((4, O)).astype(dtype)
    p, Hu = predictions(loss, outputs), u.copy()
    LOSSES[loss].apply_curvature(p, weights, Hu)
    for r in range(4):
        H = plain.loss_curvature(loss, outputs[r].astype(np.float64), float(weights[r]))
        assert_allclose(Hu[r], H @ u[r], rtol=RTOL[dtype] * 10, atol=RTOL[dtype])
        assert np.linalg.eigvalsh(H).min() >= -1e-15
    assert np.sum(u.astype(np.float64) * Hu) >= 0


@every_loss
def test_curvature_is_the_derivative_of_the_derivatives(loss):
    outputs, y, weights = rows(loss, 3, 4, size=1.0)
    u, h = np.random.default_rng(2).standard_normal((3, 4)), 1e-6
    there, back = (all_of(loss, outputs + step * u, y, weights)[2] for step in (h, -h))
    Hu = u.copy()
    LOSSES[loss].apply_curvature(predictions(loss, outputs), weights, Hu)
    assert_allclose(Hu, (there - back) / (2 * h), atol=1e-9)  # h² and eps / h


@both_types
@in_one_case("O", [1, 3, 20])
def test_labels_are_one_hot_targets(dtype, O):
    outputs, _, weights = rows("softmax", 6, O, dtype)
    labels = np.random.default_rng(3).integers(0, O, 6)
    by_number = all_of("softmax", outputs, np.empty((0, O), dtype), weights, labels)
    by_row = all_of("softmax", outputs, np.eye(O, dtype=dtype)[labels], weights)
    assert_allclose(by_number[0], by_row[0], rtol=RTOL[dtype])
    assert_array_equal(by_number[1], by_row[1])
    assert_allclose(by_number[2], by_row[2], rtol=RTOL[dtype], atol=RTOL[dtype])  # w p - w, w (p - 1)


@every_loss
def test_rows_of_weight_zero_count_nothing_whatever_they_hold(loss):
    outputs, y, weights = rows(loss, 5, 3)
    expected = all_of(loss, outputs, y, weights)
    y[2], outputs[2] = np.nan, np.nan
    found, _, d = all_of(loss, outputs, y, weights)
    assert found == expected[0]
    assert_array_equal(d, expected[2])
    assert not d[2].any()


@every_loss
def test_memory_may_be_used_again(loss):
    outputs, y, weights = rows(loss, 5, 9)
    found, p, d = all_of(loss, outputs, y, weights)
    same = outputs.copy()
    assert LOSSES[loss].evaluate(same, y, NO_LABELS, weights, same) == found
    assert_array_equal(same, p)
    cotangents(same, y, NO_LABELS, weights, same)
    assert_array_equal(same, d)


@both_types
def test_large_outputs_overflow_nowhere(dtype):
    outputs = np.array([[1000.0, -1000.0, 0.0], [-1000.0, -1001.0, -1002.0]], dtype)
    ones, tiny = np.ones(2, dtype), 2 * np.finfo(dtype).tiny  # as far down as exp(-1000) goes in normal numbers
    loss, p, d = all_of("softmax", outputs, np.empty((0, 3), dtype), ones, np.array([0, 1]))
    # -log of the second share of exp(0), exp(-1), exp(-2)
    expected = 1.0 + np.log(1.0 + np.exp(-1.0) + np.exp(-2.0))
    assert_allclose(loss, expected, rtol=RTOL[dtype])
    assert_allclose(p.sum(axis=1), 1.0, rtol=RTOL[dtype])
    assert_allclose(d[0], 0.0, atol=tiny)
    loss, p, _ = all_of("logistic", outputs, np.array([[1, 0, 0], [0, 1, 0]], dtype), ones)
    assert_allclose(loss, np.log(2.0) + 1001.0, rtol=RTOL[dtype])
    assert_allclose(p, [[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]], atol=tiny)


@pytest.mark.compiled
@every_loss
@in_one_case("bad", [np.nan, np.inf])
@in_one_case("place", [0, 1, 8, 19])
def test_an_output_that_is_not_finite_makes_the_loss_so(loss, bad, place):
    outputs, y, weights = rows(loss, 4, 20)
    outputs[1, place] = bad
    found, _, d = all_of(loss, outputs, y, weights)
    assert not np.isfinite(found)
    assert not np.isfinite(d[1]).all() or loss == "logistic"


def test_predictions_take_any_layout_and_no_unknown_loss():
    outputs, _, _ = rows("softmax", 6, 5)
    assert_array_equal(predictions("softmax", np.asfortranarray(outputs)), predictions("softmax", outputs))
    assert_array_equal(predictions("squared", outputs[::2]), outputs[::2])
    outputs.flags.writeable = False
    assert_allclose(predictions("softmax", outputs).sum(axis=1), 1.0)
    with pytest.raises(ValueError, match="loss must be one of squared, logistic, softmax, got 'hinge'"):
        predictions("hinge", outputs)
