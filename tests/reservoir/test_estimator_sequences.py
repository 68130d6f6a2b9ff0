"""Sequences never leak into one another: whatever form they come in, in a batch or alone, at once or piece by piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from contracts import ESTIMATORS, REGRESSORS, SUPERVISED, WITH_ROWS, every
from estimator_data import BATCH, BLOCKS, LENGTHS, fitted, flat, forms, parts, rows, with_ids


def long_enough(contract):
    """Lengths that leave a forecaster's washout something to learn from."""
    return LENGTHS if contract.has_rows else (60, 11, 45, 84)


# ------------------------------------------------------------------------------------------ forms of the data


@every(ESTIMATORS)
def test_every_form_of_the_data_fits_the_same_model(contract):
    lengths = long_enough(contract)
    X = rows()
    answers = {}
    for form, parameters, data, sequences in forms(contract, X, contract.targets(X), lengths):
        model = contract.make(**parameters).fit(*data, **sequences)
        one = with_ids(X[-60:], (60,)) if parameters else X[-60:]
        answers[form] = contract.answer(model, one)
    for form, answer in answers.items():
        assert_array_equal(answer, answers["list"], err_msg=form)


@every(WITH_ROWS)
def test_every_form_of_the_data_gets_the_same_answer(contract):
    model = fitted(contract)
    expected = np.concatenate([contract.answer(model, part) for part in parts(rows())])
    for form, parameters, data, sequences in forms(contract, rows(), None, LENGTHS):
        if not parameters:
            assert_allclose(flat(contract.answer(model, *data, **sequences)), expected, **BATCH, err_msg=form)


@every(WITH_ROWS)
def test_a_three_dimensional_array_is_a_list_of_equal_sequences(contract):
    X = rows(60).reshape(4, 15, 3)
    answer = contract.answer(fitted(contract), X)
    assert isinstance(answer, np.ndarray) and answer.shape[:2] == (4, 15)
    assert_array_equal(answer, np.stack(contract.answer(fitted(contract), list(X))))


# ---------------------------------------------------------------------------------------------------- batches


@pytest.mark.compiled
@every(WITH_ROWS)
@settings(max_examples=200)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 2**32 - 1))
def test_a_batch_is_a_loop_over_its_members_in_any_order(contract, lengths, seed):
    sequences = parts(rows(sum(lengths), seed=seed), lengths)
    order = np.random.default_rng(seed).permutation(len(lengths))
    model = fitted(contract)
    batch = contract.answer(model, sequences)
    permuted = contract.answer(model, [sequences[i] for i in order])
    assert [len(answer) for answer in batch] == lengths
    for i, place in enumerate(np.argsort(order)):
        assert_allclose(batch[i], contract.answer(model, sequences[i]), **BATCH)
        assert_allclose(permuted[place], batch[i], **BATCH)


@every(WITH_ROWS)
def test_a_batch_in_single_precision_is_a_loop_over_its_members(contract):
    sequences = parts(rows().astype(np.float32))
    model = contract.make(alpha=1.0) if contract.target else contract.make()
    model.fit(*contract.arguments(rows().astype(np.float32)))
    for answer, sequence in zip(contract.answer(model, sequences), sequences, strict=True):
        assert_allclose(answer, contract.answer(model, sequence), rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------------------------------- before and after


@every(WITH_ROWS)
def test_the_answer_does_not_depend_on_rows_to_come(contract):
    X = rows()
    whole = contract.answer(fitted(contract), X)
    assert_allclose(contract.answer(fitted(contract), X[:50]), whole[:50], **BATCH)


@every(WITH_ROWS)
def test_predicting_twice_starts_from_rest_twice(contract):
    assert_array_equal(contract.answer(fitted(contract), rows()), contract.answer(fitted(contract), rows()))


@every(REGRESSORS)
def test_a_state_handed_over_continues_the_sequence(contract):
    X = rows()
    head, state = fitted(contract).predict(X[:70], return_state=True)
    tail = fitted(contract).predict(X[70:], initial_state=state)
    assert_allclose(np.concatenate([head, tail]), fitted(contract).predict(X), **BATCH)


# --------------------------------------------------------------------------------------------- piece by piece


@pytest.mark.compiled
@every({name: contract for name, contract in SUPERVISED.items() if contract.make().get_params()["solver"] != "qr"})
@settings(max_examples=25)
@given(order=st.permutations(range(4)), first=st.integers(1, 3))
def test_partial_fit_in_any_order_is_one_fit(contract, order, first):
    X, y = rows(), contract.targets(rows())
    options = {"classes": np.unique(y)} if contract.target == "labels" else {}
    Xs, ys = parts(X), parts(y)
    pieces = contract.make(alpha=1.0)
    for block in (order[:first], order[first:]):
        pieces.partial_fit([Xs[i] for i in block], [ys[i] for i in block], **options)
    whole = contract.make(alpha=1.0).fit(Xs, ys)
    assert_allclose(contract.answer(pieces, X), contract.answer(whole, X), **BLOCKS)


@every(SUPERVISED)
def test_fit_forgets_what_was_fitted_before(contract):
    model = contract.make().fit(*contract.arguments(rows(seed=5)))
    model.fit(*contract.arguments(rows()))
    assert_array_equal(contract.answer(model, rows()), contract.answer(fitted(contract), rows()))
