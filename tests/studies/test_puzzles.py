"""Puzzles: each answer is what a patient reader of the inputs says, and each version is as its source has it."""

import numpy as np
import pytest

from contracts import every
from naive import puzzles as naive
from studies.tasks import puzzles, reckoning

# A sum or a product of two numbers, each rounded once.
RTOL = 1e-15

VERSIONS = {
    f"{name}, {version}": (name, version) for name, versions in puzzles.DEFINITIONS.items() for version in versions
}
NOMINAL_T = {"binary addition": 12, "arithmetic": 5}


def drawn(name, version, n_sequences=60, T=None, seed=0):
    T = NOMINAL_T.get(name, 40) if T is None else T
    return puzzles.draw(name, version, n_sequences=n_sequences, T=T, rng=np.random.default_rng(seed))


def of_kind(*names):
    return {key: value for key, value in VERSIONS.items() if value[0].startswith(names)}


def perfect_outputs(draw):
    """Outputs before the logistic or softmax that are right by far."""
    if draw.loss == "softmax":
        return 40.0 * np.eye(draw.n_outputs)[draw.targets]
    return 40.0 * (2.0 * draw.targets - 1.0) if draw.loss == "logistic" else draw.targets.copy()


# ------------------------------------------------------------------------------------------------- every version


@every(VERSIONS)
def test_a_draw_is_a_function_of_its_generator(version):
    first, again, other = (drawn(*version, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert first.inputs.shape != other.inputs.shape or not np.array_equal(first.inputs, other.inputs)


@every(VERSIONS)
def test_shapes_fit_together(version):
    draw = drawn(*version)
    n, n_steps = draw.inputs.shape[:2]
    inside = np.arange(n_steps) < draw.lengths[:, None]
    assert n == 60 and draw.lengths.max() == n_steps
    assert draw.mask.shape == (n, n_steps) and draw.mask.any(axis=1).all() and not (draw.mask & ~inside).any()
    rows = (n,) if draw.is_at_end else (n, n_steps)
    assert draw.targets.shape == (rows if draw.loss == "softmax" else (*rows, draw.n_outputs))
    if draw.loss == "softmax":
        assert 0 <= draw.targets.min() and draw.targets.max() < draw.n_outputs
    if draw.is_at_end:
        np.testing.assert_array_equal(np.flatnonzero(draw.mask) % n_steps, draw.lengths - 1)
    X = draw.dense(np.float64)
    assert X.shape == (n, n_steps, draw.n_inputs) and not X[~inside].any()
    if draw.inputs.ndim == 2:
        np.testing.assert_array_equal(X[inside].sum(axis=1), 1.0)
        np.testing.assert_array_equal(X[inside].argmax(axis=1), draw.inputs[inside])
    else:
        np.testing.assert_array_equal(X, draw.inputs)


@every(VERSIONS)
def test_right_answers_are_right_and_one_false_row_is_wrong(version):
    draw = drawn(*version)
    outputs = perfect_outputs(draw)
    assert not draw.wrong(outputs).any()
    scored = draw.mask if draw.scored is None else draw.scored
    last = np.array([np.flatnonzero(row)[-1] for row in scored])
    spoilt = np.arange(0, 60, 7)
    place = spoilt if draw.is_at_end else (spoilt, last[spoilt])
    outputs[place] = -outputs[place] if draw.loss != "squared" else outputs[place] + 0.041
    np.testing.assert_array_equal(np.flatnonzero(draw.wrong(outputs)), spoilt)
    outputs[place] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(draw.wrong(outputs)), spoilt)


@every({key: value for key, value in VERSIONS.items() if drawn(*value).is_at_end})
def test_outputs_at_every_step_are_read_at_the_true_end(version):
    draw = drawn(*version)
    last = np.random.default_rng(5).normal(size=(60, draw.n_outputs))
    everywhere = np.full((*draw.mask.shape, draw.n_outputs), 1e9)
    everywhere[np.arange(60), draw.lengths - 1] = last
    np.testing.assert_array_equal(draw.wrong(everywhere), draw.wrong(last))


# ------------------------------------------------------------------------------------ answers read off the inputs


@every(of_kind("addition", "multiplication", "xor"))
def test_two_marked_numbers_give_the_answer(version):
    draw = drawn(*version, n_sequences=300, T=20)
    definition = puzzles.DEFINITIONS[version[0]][version[1]]
    neutral = 1.0 if definition.target == "product" else 0.0
    expected = [naive.two_numbers([tuple(step) for step in X], definition.target, neutral) for X in draw.inputs]
    np.testing.assert_allclose(draw.targets[:, 0], expected, rtol=RTOL)


@every(of_kind("temporal order"))
def test_the_marks_in_their_order_give_the_class(version):
    draw = drawn(*version, n_sequences=300)
    np.testing.assert_array_equal(draw.targets, [naive.order_of_marks(symbols) for symbols in draw.inputs])


@every(of_kind("memorisation", "copying"))
def test_the_pattern_comes_back_after_the_cue(version):
    draw = drawn(*version, T=50)
    definition = puzzles.DEFINITIONS[version[0]][version[1]]
    n = definition.n_places
    np.testing.assert_array_equal(draw.targets[:, -n:], draw.inputs[:, :n])
    assert set(draw.targets[:, :-n].ravel()) == {definition.blank_answer}
    cued = draw.inputs.shape[1] - n - definition.cue_ahead
    between = draw.inputs[:, n:cued]
    assert set(between.ravel()) == {definition.blank} and set(draw.inputs[:, cued]) == {definition.cue}
    after = set(draw.inputs[:, cued + 1 :].ravel())
    assert after == {definition.cue if definition.cue_repeats else definition.blank}


@every(of_kind("random permutation"))
def test_each_symbol_is_followed_by_its_target_and_the_first_comes_last(version):
    draw = drawn(*version, T=150)
    np.testing.assert_array_equal(draw.targets[:, :-1], draw.inputs[:, 1:])
    np.testing.assert_array_equal(draw.targets[:, -1], draw.inputs[:, 0])
    assert set(draw.inputs[:, 0]) == {0, 1} and draw.inputs[:, 1:].min() == 2 and draw.inputs.max() == 99
    np.testing.assert_array_equal(draw.scored.sum(axis=1), 1)
    is_permutation = [len(set(row[1:99])) == 98 for row in draw.inputs]
    assert all(is_permutation) if version[1] == "martens2011-thesis" else not any(is_permutation)


@pytest.mark.parametrize("n_bits", [1, 8, 60, 1000])
def test_sums_of_bits_are_those_of_whole_numbers(n_bits):
    draw = drawn("binary addition", "lecture", n_sequences=20, T=n_bits)
    assert draw.inputs.shape == (20, n_bits + 1, 2) and not draw.inputs[:, -1].any()
    np.testing.assert_array_equal(draw.targets[..., 0], [naive.sum_bits(bits) for bits in draw.inputs])


def test_the_automaton_is_followed_step_by_step():
    bits = np.random.default_rng(0).integers(0, 2, (50, 30, 2))
    np.testing.assert_array_equal(reckoning.automaton(bits), [naive.adding_states(row) for row in bits])


@pytest.mark.parametrize("T", [1, 3, 8, 17])
def test_sums_written_out_are_reckoned(T):
    draw = drawn("arithmetic", "jozefowicz2015-style", n_sequences=200, T=T)
    signs = set()
    for symbols, targets, mask, length in zip(draw.inputs, draw.targets, draw.mask, draw.lengths, strict=True):
        heard, said = ("".join(reckoning.ALPHABET[s] for s in part) for part in (symbols[:length], targets[mask]))
        question = heard[: heard.index("=") + 1]
        assert said == naive.reckon(question)
        assert heard == question + said[:-1]
        signs |= set(question) & {"+", "-"}
    assert signs == {"+", "-"}


def test_letters_stand_before_half_of_the_symbols():
    definition = reckoning.Arithmetic()
    draw = definition.draw(2000, 8, rng=np.random.default_rng(0))
    inside = np.arange(draw.inputs.shape[1]) < draw.lengths[:, None]
    question = inside & (np.cumsum(draw.mask, axis=1) <= 1)
    n_letters = np.sum(question & (draw.inputs >= reckoning.LETTERS))
    n_symbols = np.sum(question) - n_letters
    assert n_letters / n_symbols == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(n_symbols))
    assert not definition.__class__(distraction=0.0).draw(50, 8, rng=np.random.default_rng(0)).inputs.max() > 13


# ------------------------------------------------------------------------------------------ windows and lengths


def places(draw):
    """(n, n_marks) places of the marks, in their order."""
    if draw.inputs.ndim == 3:
        is_mark = draw.inputs[..., 1] == 1.0
        full = is_mark.sum(axis=1) == 2
        return np.nonzero(is_mark[full])[1].reshape(-1, 2)
    is_mark = (draw.inputs == 4) | (draw.inputs == 5)
    return np.nonzero(is_mark)[1].reshape(len(draw.inputs), -1)


@pytest.mark.parametrize(
    "name, version, lengths, windows",
    [  # at T = 100: shortest and longest, then first and last place of every mark, counted from 0
        ("addition", "hochreiter97", (100, 110), None),
        ("addition", "martens2011-thesis", (100, 110), [(0, 10), (10, 54)]),
        ("addition", "martens2011-release", (101, 111), [(1, 9), (10, 49)]),
        ("addition", "le2015-irnn", (100, 100), [(0, 49), (50, 99)]),
        ("addition", "bai2018", (100, 100), [(0, 98), (1, 99)]),
        ("xor", "martens2011-thesis", (100, 110), [(0, 10), (10, 54)]),
        ("xor", "martens2011-release", (51, 56), [(1, 9), (15, 24)]),
        ("temporal order", "hochreiter97", (100, 110), [(10, 20), (50, 60)]),
        ("temporal order", "martens2011-thesis", (100, 110), [(10, 21), (50, 65)]),
        ("temporal order", "martens2011-release", (101, 111), [(1, 10), (40, 50)]),
        ("temporal order", "pascanu2013", (100, 100), [(10, 19), (50, 59)]),
        ("temporal order, 3 marks", "hochreiter97", (100, 110), [(10, 20), (33, 43), (66, 76)]),
        ("temporal order, 3 marks", "martens2011-thesis", (100, 110), [(10, 21), (30, 43), (60, 76)]),
        ("temporal order, 3 marks", "martens2011-release", (101, 111), [(1, 10), (30, 40), (50, 60)]),
    ],
)
def test_marks_and_lengths_fill_their_windows(name, version, lengths, windows):
    draw = drawn(name, version, n_sequences=20_000, T=100)
    assert (draw.lengths.min(), draw.lengths.max()) == lengths
    if windows:
        found = places(draw)
        assert list(zip(found.min(axis=0), found.max(axis=0), strict=True)) == windows


def test_the_marks_of_the_lstm_paper():
    draw = drawn("addition", "hochreiter97", n_sequences=20_000, T=100)
    rows = np.arange(20_000)
    np.testing.assert_array_equal(draw.inputs[:, 0, 1], -1.0)
    np.testing.assert_array_equal(draw.inputs[rows, draw.lengths - 1, 1], -1.0)
    is_mark = draw.inputs[..., 1] == 1.0
    hidden = is_mark.sum(axis=1) == 1
    assert hidden.mean() == pytest.approx(0.1 + 0.9 / 49, abs=4 * np.sqrt(0.1 / 20_000))
    np.testing.assert_array_equal(draw.inputs[hidden, 0, 0], 0.0)
    found = places(draw)
    assert found[:, 0].min() == 1 and found.max() == 49
    assert np.all((found < 10).any(axis=1))  # one of the first ten
    product = drawn("multiplication", "hochreiter97", n_sequences=2000, T=100)
    hidden = np.sum(product.inputs[..., 1] == 1.0, axis=1) == 1
    np.testing.assert_array_equal(product.inputs[hidden, 0, 0], 1.0)


def test_the_marks_of_the_release():
    draw = drawn("addition", "martens2011-release", n_sequences=500, T=100)
    rows = np.arange(500)
    np.testing.assert_array_equal(draw.inputs[:, 0, 1], -1.0)
    np.testing.assert_array_equal(draw.inputs[rows, draw.lengths - 4, 1], -1.0)
    assert np.sum(draw.inputs[..., 1] == -1.0) == 1000


def test_the_symbols_that_begin_and_ask():
    paper, two, three, thesis = (
        drawn(name, version, T=100)
        for name, version in (
            ("temporal order", "hochreiter97"),
            ("temporal order", "martens2011-release"),
            ("temporal order, 3 marks", "martens2011-release"),
            ("temporal order", "martens2011-thesis"),
        )
    )
    for draw, before_end in ((paper, 1), (two, 2), (three, 1)):
        assert set(draw.inputs[:, 0]) == {7} and draw.n_inputs == 8
        assert set(draw.inputs[np.arange(60), draw.lengths - before_end]) == {6}
    assert thesis.inputs.max() == 5 and thesis.n_inputs == 6


def test_marks_are_uniform_over_the_places_left():
    found = places(drawn("addition", "bai2018", n_sequences=30_000, T=10))
    assert np.all(found[:, 0] < found[:, 1])
    counts = np.bincount(found[:, 0] * 10 + found[:, 1], minlength=100).reshape(10, 10)
    pairs = counts[np.triu_indices(10, 1)]
    assert np.all(np.abs(pairs - 30_000 / 45) < 5 * np.sqrt(30_000 / 45))


def test_release_classes_are_balanced_and_those_of_the_thesis_drawn():
    released = drawn("temporal order, 3 marks", "martens2011-release", n_sequences=80)
    np.testing.assert_array_equal(np.bincount(released.targets), 10)
    thesis = drawn("temporal order, 3 marks", "martens2011-thesis", n_sequences=4000)
    assert np.all(np.abs(np.bincount(thesis.targets) - 500) < 5 * np.sqrt(500))
    assert len(set(np.bincount(thesis.targets))) > 1


def test_one_length_is_shared_where_the_source_does_so():
    assert len(set(drawn("addition", "pascanu2013").lengths)) == 1
    assert len(set(drawn("addition", "martens2011-thesis").lengths)) > 1


@pytest.mark.parametrize(
    "name, version, T, length",
    [
        ("memorisation, 5 bits", "martens2011-thesis", 30, 40),
        ("memorisation, 5 bits", "martens2011-release", 30, 30),
        ("memorisation, 20 bits", "pascanu2013", 30, 50),
        ("copying", "arjovsky2016", 30, 50),
        ("copying", "bai2018", 30, 50),
    ],
)
def test_lengths_of_the_memory_puzzles(name, version, T, length):
    assert set(drawn(name, version, T=T).lengths) == {length}


def test_every_pattern_comes_once_if_asked_for():
    draw = drawn("memorisation, 5 bits", "martens2011-thesis", n_sequences=None, T=10)
    assert len({tuple(row) for row in draw.inputs[:, :5]}) == len(draw.inputs) == 32
    assert draw.n_inputs == 4 and draw.n_outputs == 3


def test_the_release_asks_for_the_last_bits_only_where_it_says_so():
    whole = drawn("memorisation, 5 bits", "martens2011-release")
    last = drawn("memorisation, 5 bits", "martens2011-release-last-bits")
    assert whole.mask.all()
    np.testing.assert_array_equal(last.mask.sum(axis=1), 5)
    assert drawn("random permutation", "pascanu2013").mask.sum() == 60


# --------------------------------------------------------------------------------------------- what counts as wrong


def test_the_lstm_paper_wants_every_class_within_three_tenths():
    draw = drawn("temporal order", "hochreiter97")
    sure, unsure = (share * np.eye(4)[draw.targets] for share in (np.log(3 * 0.71 / 0.29), np.log(3 * 0.69 / 0.31)))
    assert not draw.wrong(sure).any() and draw.wrong(unsure).all()
    assert not drawn("temporal order", "martens2011-thesis").wrong(unsure).any()


def test_an_error_of_just_four_hundredths_is_right():
    draw = drawn("addition", "martens2011-thesis", n_sequences=2)
    assert draw.wrong(draw.targets + np.array([[0.0399], [-0.0401]])).tolist() == [False, True]


def test_the_sign_decides_a_bit():
    draw = drawn("xor", "martens2011-thesis")
    assert not draw.wrong(1e-3 * (2 * draw.targets - 1)).any()
    assert draw.wrong(-1e-3 * (2 * draw.targets - 1)).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "subtraction"}, r"name must be one of addition.*got 'subtraction'"),
        ({"version": "martens"}, r"version of 'addition' must be one of hochreiter97.*got 'martens'"),
        ({"n_sequences": 0}, r"n_sequences must be a whole number >= 1, got 0"),
        ({"n_sequences": None}, r"n_sequences must be .* for 'addition', got None"),
        ({"T": 5}, r"T must lie between 10 and inf for 'addition', got 5"),
        ({"name": "arithmetic", "version": "jozefowicz2015-style", "T": 18}, r"between 1 and 17 .* got 18"),
        (
            {"name": "memorisation, 5 bits", "version": "martens2011-release", "T": 10},
            r"room for .* 11 steps, got T=10",
        ),
    ],
)
def test_mistakes_are_told(arguments, message):
    usual = {"name": "addition", "version": "martens2011-thesis", "n_sequences": 3, "T": 20}
    with pytest.raises(ValueError, match=message):
        puzzles.draw(**usual | arguments, rng=np.random.default_rng(0))


def test_outputs_at_the_end_do_not_answer_a_question_at_every_step():
    with pytest.raises(ValueError, match=r"\(n, T, O\) for a target per step, got shape \(60, 3\)"):
        drawn("memorisation, 5 bits", "martens2011-thesis").wrong(np.zeros((60, 3)))
