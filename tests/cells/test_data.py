"""The door for sequences: what comes in as it should, and what is turned away, with words."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, Elman, Network
from cells.shares.data import SequenceData

I, O, N = 3, 2, 4
LENGTHS = [2, 4, 1, 3]


def network(loss="squared", targets="all", n_out=O, **options):
    return Network(LSTM(I, 5), n_out=n_out, loss=loss, targets=targets, **options)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


X = [numbers(T, I) for T in LENGTHS]
Y = [numbers(T, O, seed=1) for T in LENGTHS]
PADDED = numbers(N, 4, I)


# ----------------------------------------------------------------------------------------------------- what fits


def test_rows_of_a_share_stand_step_by_step_longest_sequence_first():
    data = SequenceData(network(), X, Y)
    assert data.by_length.tolist() == [1, 3, 0, 2]
    portion = data.portion(data.by_length)
    expected = [X[i][t] for t in range(4) for i in (1, 3, 0, 2) if t < LENGTHS[i]]
    assert_array_equal(portion.x.array, expected)
    assert_array_equal(portion.targets, [Y[i][t] for t in range(4) for i in (1, 3, 0, 2) if t < LENGTHS[i]])
    assert portion.weights.tolist() == [1.0] * 10
    assert portion.rows.lengths.tolist() == [4, 3, 2, 1]


def test_targets_of_the_last_step_stand_in_the_order_of_the_sequences():
    data = SequenceData(network(targets="last"), X, numbers(N, O), mask=[1, 0.5, 2, 0])
    portion = data.portion(np.array([1, 3, 0]))
    assert_array_equal(portion.targets, numbers(N, O)[[1, 3, 0]])
    assert portion.weights.tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize(
    ("X", "dtype", "found"),
    [
        (X, None, np.float64),
        ([x.astype(np.float32) for x in X], None, np.float32),
        ([X[0].astype(np.float32), X[1]], None, np.float64),
        ([x.astype(int) for x in X], None, np.float64),
        ([x.astype(">f8") for x in X], None, np.float64),
        ([x > 0.5 for x in X], np.float32, np.float32),
        (X, "float32", np.float32),
        (PADDED.astype(np.float32), None, np.float32),
        ([[[1, 2, 3]], [[4, 5, 6], [7, 8, 9]]], None, np.float64),
    ],
)
def test_precision_is_that_of_the_inputs_or_the_one_asked_for(X, dtype, found):
    data = SequenceData(network(), X, dtype=dtype)
    assert data.dtype == found
    assert data.x.dtype == found
    assert data.x.dtype.isnative


def test_the_callers_arrays_are_neither_written_to_nor_shared_when_rows_are_taken():
    x = PADDED.copy()
    x.flags.writeable = False
    data = SequenceData(network(), np.asfortranarray(x), np.broadcast_to(1.0, (N, 4, O)))
    portion = data.portion(np.arange(N))
    assert portion.x.array.flags.c_contiguous and portion.x.array.flags.writeable
    assert_array_equal(data.x, x.reshape(-1, I))


def test_lengths_cut_what_is_padded_wherever_there_are_steps():
    padded_y, mask, held = numbers(N, 4, O), numbers(N, 4) + 1, numbers(N, 4, 1)
    padded_y[2, 1:], mask[2, 1:], held[2, 1:] = np.nan, np.nan, np.nan
    data = SequenceData(network(), PADDED, padded_y, mask=mask, lengths=LENGTHS, clamped=(np.array([4]), held))
    assert data.lengths.tolist() == LENGTHS
    assert_array_equal(data.targets, np.concatenate([y[:T] for y, T in zip(padded_y, LENGTHS, strict=True)]))
    assert_array_equal(data.weights, np.concatenate([m[:T] for m, T in zip(mask, LENGTHS, strict=True)]))
    assert_array_equal(data.clamp.values, np.concatenate([h[:T] for h, T in zip(held, LENGTHS, strict=True)]))


@pytest.mark.parametrize("filler", [-1, -100, O, 10**6])
def test_rows_that_do_not_count_may_have_any_class(filler):
    y = [np.full(T, filler) for T in LENGTHS]
    y[1][2] = 1
    mask = [np.zeros(T, bool) for T in LENGTHS]
    mask[1][2] = True
    labels = SequenceData(network("softmax"), X, y, mask=mask).labels
    assert labels.min() >= 0 and labels.max() < O and labels.sum() == 1


def test_rows_that_do_not_count_may_hold_anything():
    y = [np.full((T, O), np.nan) for T in LENGTHS]
    y[0][0] = 0.5
    mask = [np.zeros(T) for T in LENGTHS]
    mask[0][0] = 2.0
    for loss in ("squared", "logistic", "softmax"):
        assert SequenceData(network(loss), X, y, mask=mask).weights.sum() == 2.0


def test_single_outputs_that_do_not_count_may_hold_anything():
    mask = [numbers(T, O, seed=2) > 0.5 for T in LENGTHS]
    y = [np.where(m, part, np.nan) for m, part in zip(mask, Y, strict=True)]
    for loss in ("squared", "logistic"):
        assert SequenceData(network(loss), X, y, mask=mask).weights.shape == (sum(LENGTHS), O)
    y[1][2], mask[1][2] = np.nan, True
    with pytest.raises(ValueError, match="y must be finite where mask counts it"):
        SequenceData(network(), X, y, mask=mask)


def test_sequences_of_which_nothing_counts_are_known():
    mask = [np.zeros((T, O)) for T in LENGTHS]
    mask[1][3, 0] = mask[3][0, 1] = 1.0
    assert SequenceData(network(), X, Y, mask=mask).counted.tolist() == [1, 3]
    assert SequenceData(network(targets="last"), X, numbers(N, O), mask=[1, 0, 0.5, 0]).counted.tolist() == [0, 2]


def test_one_output_needs_no_axis_of_its_own():
    flat = SequenceData(network(n_out=1), X, [y[:, 0] for y in Y])
    assert_array_equal(flat.targets, SequenceData(network(n_out=1), X, [y[:, :1] for y in Y]).targets)


def test_classes_of_inputs_are_kept_as_numbers():
    for given in ([np.array([0, 2]), np.array([1])], np.array([[0, 2], [1, 1]], np.uint8)):
        data = SequenceData(network(), given)
        assert data.index.dtype == np.int64 and data.x.size == 0 and data.dtype == np.float64
        assert_array_equal(data.portion(np.array([0])).x.index, [0, 2])


def test_an_initial_state_for_all_is_one_for_each():
    one = SequenceData(network(), X, initial_state=(np.array([3, 1]), [0.5, -0.5])).given
    each = SequenceData(network(), X, initial_state=(np.array([3, 1]), [[0.5, -0.5]] * N)).given
    for a, b in zip(one, each, strict=True):
        assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------------ what does not fit

COMPLEX, TEXT, HALF = X[0] + 1j, np.array([["a"] * I]), X[0].astype(np.float16)
NOT_FINITE = [X[0], np.where(numbers(4, I) > 0.5, np.nan, 1.0), *X[2:]]
LABELS = [np.zeros(T, int) for T in LENGTHS]


def shares_of(*rows):
    return [np.array([rows] * T) for T in LENGTHS]


REFUSED = {
    # X
    "nothing": ({"X": None}, TypeError, r"X must be a list of sequences or an array \(n, T, \.\.\.\), got NoneType"),
    "a word": ({"X": "text"}, TypeError, "X must be a list of sequences .*got str"),
    "a number": ({"X": 3.0}, TypeError, "X must be a list of sequences .*got float"),
    "no sequence": ({"X": []}, ValueError, "X must hold at least one sequence, got none"),
    "no step": ({"X": [X[0], np.empty((0, I))]}, ValueError, "at least one step, got none in sequence 1; leave it out"),
    "one sequence": ({"X": X[0]}, ValueError, r"array \(n, T, 3\), got an array of shape \(2, 3\); .*\[X\]"),
    "numbers": ({"X": [0.5, 0.5]}, ValueError, "got a single number for sequence 0"),
    "other width": (
        {"X": [X[0], numbers(2, I + 1)]},
        ValueError,
        r"\(T_i, 3\), n_in .*got shape \(2, 4\) for sequence 1",
    ),
    "complex": ({"X": [X[0], COMPLEX]}, TypeError, r"X\[1\] must hold real numbers, .*got complex128; convert"),
    "complex array": ({"X": PADDED + 1j}, TypeError, "X must hold real numbers, .*got complex128"),
    "float16": ({"X": [HALF]}, TypeError, r"X\[0\] must hold real numbers, .*got float16"),
    "float16 array": ({"X": PADDED.astype(np.float16)}, TypeError, "X must hold real numbers, .*got float16"),
    "text": ({"X": [TEXT]}, TypeError, r"X\[0\] must hold real numbers, .*got <U1"),
    "unequal rows": ({"X": [[[1.0, 2.0, 3.0], [1.0]]]}, ValueError, r"X\[0\] must be an array, got list of unequal"),
    "NaN": ({"X": NOT_FINITE}, ValueError, "X must be finite in float64, got NaN"),
    "infinity": ({"X": [np.full((1, I), np.inf)]}, ValueError, "X must be finite"),
    "too large": (
        {"X": [X[0] * 1e60], "dtype": np.float32},
        ValueError,
        "X must be finite in float32, got .*too large",
    ),
    "class too high": (
        {"X": [np.array([0, I])]},
        ValueError,
        "X must hold class numbers from 0 to 2, n_in .*got 0 to 3",
    ),
    "class beyond integers": (
        {"X": [np.array([0, 2**64 - 1], np.uint64)]},
        ValueError,
        "from 0 to 2, .*got 0 to 18446744073709551615",
    ),
    "class below 0": ({"X": [np.array([-1])]}, ValueError, "X must hold class numbers from 0 to 2, .*got -1 to -1"),
    "dtype": ({"dtype": np.float16}, ValueError, "dtype must be None, numpy.float64 or numpy.float32, got .*"),
    # lengths
    "too long": ({"lengths": [2, 5, 1, 3]}, ValueError, "lengths must lie between 1 and .*4 in sequence 1 of X, got 5"),
    "length 0": ({"lengths": [2, 4, 0, 3]}, ValueError, "lengths must .* 1 in sequence 2 of X, got 0; leave out"),
    "few lengths": ({"lengths": [2, 4]}, ValueError, r"lengths must be 4 integers, .*got int64 of shape \(2,\)"),
    "lengths that wrap": ({"lengths": [2**62, 2**62, 2**62, 2**62]}, ValueError, "in sequence 0 of X, got 46116860184"),
    "lengths below 0": ({"lengths": [2, 4, 1, -(2**63)]}, ValueError, "in sequence 3 of X, got -9223372036854775808"),
    "lengths beyond integers": ({"lengths": [2, 4, 1, 10**30]}, TypeError, "lengths must hold real numbers"),
    "broken lengths": ({"lengths": [2.0, 4.0, 1.0, 3.0]}, ValueError, "lengths must be 4 integers, .*got float64"),
    # targets
    "few targets": ({"y": Y[:2]}, ValueError, "y must have as many sequences as X, 4, got 2"),
    "short targets": (
        {"y": [Y[0], Y[0], *Y[2:]]},
        ValueError,
        "y must have as many steps as X, 4 in sequence 1, got 2",
    ),
    "target a sequence": ({"y": numbers(N)}, ValueError, "got a single number for sequence 0; targets='last' takes"),
    "target rows a sequence": ({"y": numbers(N, O)}, ValueError, "y must have as many steps .*targets='last' takes"),
    "target a step": ({"targets": "last", "y": Y}, ValueError, "y must be an array, got list of unequal parts"),
    "target a step, array": ({"targets": "last", "y": numbers(N, 4, O)}, ValueError, r"rows of shape \(4, 2\).*'all'"),
    "one target": ({"targets": "last", "y": 1.0}, ValueError, r"one target for each of 4 .*got shape \(\).*'all'"),
    "target width": (
        {"y": [numbers(T, O + 1) for T in LENGTHS]},
        ValueError,
        r"2 numbers a step, .*got rows of shape \(3,\)",
    ),
    "target NaN": ({"y": [y * np.nan for y in Y]}, ValueError, "y must be finite where mask counts it"),
    "target complex": ({"y": [y + 0j for y in Y]}, TypeError, r"y\[0\] must hold real numbers"),
    "class too high, y": (
        {"loss": "softmax", "y": [label + O for label in LABELS]},
        ValueError,
        "y must hold class numbers from 0 to 1, n_out less one, got 2 to 2",
    ),
    "class below 0, y": ({"loss": "softmax", "y": [x - 1 for x in LABELS]}, ValueError, "from 0 to 1, .*got -1 to -1"),
    "classes as floats": (
        {"loss": "softmax", "y": [x + 0.0 for x in LABELS]},
        ValueError,
        "class numbers must be integ",
    ),
    "no shares": ({"loss": "softmax", "y": shares_of(0.5, 0.6)}, ValueError, "sum to 1 for loss='softmax', got .* 1.1"),
    "negative shares": (
        {"loss": "softmax", "y": shares_of(-0.5, 1.5)},
        ValueError,
        "between 0 and 1 .*got -0.5 to 1.5",
    ),
    "no truths": (
        {"loss": "logistic", "y": shares_of(0, 2)},
        ValueError,
        "between 0 and 1 for loss='logistic', got 0 to 2",
    ),
    # mask
    "few weights": ({"mask": [np.ones(T) for T in LENGTHS[:2]]}, ValueError, "mask must have as many sequences as X"),
    "short weights": ({"mask": [np.ones(2)] * N}, ValueError, "mask must have as many steps as X"),
    "weights a number": (
        {"mask": [np.ones((T, O + 1)) for T in LENGTHS]},
        ValueError,
        r"each of 10 output rows, or for each of their 2 outputs, got .*\(10, 3\)",
    ),
    "weights of classes": (
        {"loss": "softmax", "mask": [np.ones((T, O)) for T in LENGTHS]},
        ValueError,
        r"one weight a row for loss='softmax', got shape \(10, 2\)",
    ),
    "weight a step": (
        {"targets": "last", "y": numbers(N, O), "mask": np.ones(10)},
        ValueError,
        "each of 4 output rows, .*rows are sequences",
    ),
    "no weight": (
        {"mask": [np.zeros(T) for T in LENGTHS]},
        ValueError,
        ">= 0 that are not all 0, got 0 to 0; True counts",
    ),
    "negative weight": ({"mask": [-np.ones(T) for T in LENGTHS]}, ValueError, ">= 0 .*got -1 to -1"),
    "weight NaN": ({"mask": [np.full(T, np.nan) for T in LENGTHS]}, ValueError, "mask must hold finite weights"),
    "weight text": ({"mask": [["x"] * T for T in LENGTHS]}, TypeError, r"mask\[0\] must hold real numbers"),
    # states
    "no pair": (
        {"initial_state": np.zeros(5)},
        TypeError,
        r"initial_state must be a pair \(units, values\), got ndarray",
    ),
    "unit too high": (
        {"initial_state": ([5], [0.0])},
        ValueError,
        "initial_state must name units from 0 to 4, got 5 to 5",
    ),
    "unit twice": ({"initial_state": ([1, 1], [0.0, 0.0])}, ValueError, "initial_state must name different units"),
    "units as floats": (
        {"initial_state": ([1.0], [0.0])},
        ValueError,
        "initial_state must name different units by int",
    ),
    "states' shape": ({"initial_state": ([0, 1], numbers(3, 2))}, ValueError, r"\(4, 2\) or \(2,\), got \(3, 2\)"),
    "state NaN": ({"initial_state": ([0], [np.nan])}, ValueError, "initial_state must be finite"),
    "state complex": ({"initial_state": ([0], [1j])}, TypeError, "values of initial_state must hold real numbers"),
    "clamped width": (
        {"clamped": ([0, 1], X)},
        ValueError,
        r"clamped must hold 2 values a step, .*got rows of shape \(3,\)",
    ),
    "clamped steps": ({"clamped": ([0], X[:2])}, ValueError, "clamped must have as many sequences as X"),
    "clamped NaN": ({"clamped": ([0, 1, 2], NOT_FINITE)}, ValueError, "clamped must be finite"),
}


@pytest.mark.parametrize(("change", "kind", "says"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_named_with_what_came_and_what_to_do(change, kind, says):
    arguments = {"X": X, "y": Y if change.get("targets") != "last" else numbers(N, O), **change}
    loss, targets = arguments.pop("loss", "squared"), arguments.pop("targets", "all")
    if loss == "softmax" and "y" not in change:
        arguments["y"] = LABELS
    with pytest.raises(kind, match=says) as refused:
        SequenceData(network(loss, targets), arguments.pop("X"), arguments.pop("y"), **arguments)
    assert ", got " in str(refused.value)


def test_units_of_the_first_cell_are_meant():
    stack = Network([Elman(I, 2), Elman(2, 7)], n_out=O)
    with pytest.raises(ValueError, match="units from 0 to 1, got 2 to 2"):
        SequenceData(stack, X, Y, initial_state=([2], [0.0]))
