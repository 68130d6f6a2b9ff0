"""Arguments of the user: what is let in, what is refused, and that messages are short whatever came."""

import decimal
import fractions

import numpy as np
import pytest

from estimator_data import endless
from optim.arguments import as_array, brief, choice, flag, fraction, integer, number, options, precision, reals


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3)])
def test_integers_of_every_kind_become_ints(value):
    assert type(integer("n", value)) is int and integer("n", value) == 3


@pytest.mark.parametrize(
    "value", [True, 1.0, 1.5, "3", None, np.bool_(True), [3], np.array(3), 3 + 0j, np.timedelta64(3, "s")]
)
def test_what_is_no_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^n must be an integer >= 1, got .*; give a whole number\.$"):
        integer("n", value)


@pytest.mark.parametrize("value", [0, -1, 10**30, 2**63, np.int64(0)])
def test_integers_outside_are_value_errors(value):
    wanted = r"in \[1, 9223372036854775807\]" if value > 1 else ">= 1"
    with pytest.raises(ValueError, match=rf"^n must be an integer {wanted}, got"):
        integer("n", value)
    assert integer("n", 2**63 - 1) == 2**63 - 1
    with pytest.raises(ValueError, match=r"in \[0, 4\], got 5"):
        integer("n", 5, least=0, most=4)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int16(2), fractions.Fraction(2)])
def test_real_numbers_become_floats(value):
    assert type(number("x", value)) is float and number("x", value) == 2.0


@pytest.mark.parametrize("value", [True, "2", None, 2 + 0j, np.complex64(2), decimal.Decimal(2), [2.0], np.ones(1)])
def test_what_is_no_real_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^x must be a finite number, got"):
        number("x", value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 10**400, np.float32("nan")])
def test_numbers_are_finite(value):
    with pytest.raises(ValueError, match=r"^x must be a finite number, got"):
        number("x", value)


@pytest.mark.parametrize(
    ("ends", "text", "inside", "outside"),
    [
        ({"least": 0}, ">= 0", [0, 1], [-1e-300]),
        ({"above": 0}, "> 0", [5e-324], [0, -0.0]),
        ({"most": 1}, "<= 1", [1, -3], [1.1]),
        ({"below": 1}, "< 1", [0.5], [1]),
        ({"above": 0, "most": 1}, r"in \(0, 1\]", [1, 0.1], [0, 1.5]),
        ({"least": 0, "below": 1}, r"in \[0, 1\)", [0, 0.1], [1]),
    ],
)
def test_intervals_are_kept_and_told(ends, text, inside, outside):
    for value in inside:
        assert number("x", value, **ends) == value
    for value in outside:
        with pytest.raises(ValueError, match=f"number {text}, got"):
            number("x", value, **ends)


def test_fractions_leave_out_one_and_by_default_zero():
    assert fraction("share", 0.5) == 0.5 and fraction("share", 0, with_zero=True) == 0.0
    for value, choices in ((0, {}), (1, {}), (1, {"with_zero": True})):
        with pytest.raises(ValueError, match="share must be a finite number in"):
            fraction("share", value, **choices)


def test_a_choice_names_them_all():
    assert choice("solver", "qr", ("gram", "qr")) == "qr"
    with pytest.raises(ValueError, match=r"^solver must be one of 'gram', 'qr', got 'QR'; choose one\.$"):
        choice("solver", "QR", ("gram", "qr"))
    for value in ([], {}, None, 3, np.array(["gram"])):
        with pytest.raises(TypeError, match=r"^solver must be one of 'gram', 'qr', or a method, got "):
            choice("solver", value, ("gram", "qr"), or_else="a method")


def test_a_precision_is_told_in_every_way_of_numpy():
    for value in (np.float32, "f4", "float32", np.dtype("f4")):
        assert precision("dtype", value) is np.float32
    assert precision("dtype", None) is None and precision("dtype", float) is np.float64
    for value in (np.float16, int, "i4", complex):
        with pytest.raises(ValueError, match=r"^dtype must be None, numpy\.float64 or numpy\.float32, got"):
            precision("dtype", value)
    for value in ("no dtype", 3.5):
        with pytest.raises(TypeError, match=r"^dtype must be"):
            precision("dtype", value)


def test_messages_are_short_whatever_came():
    itself = []
    itself.append(itself)
    deep = []
    for _ in range(5000):
        deep = [deep]
    for value in (
        10**1000,
        -(10**9000),
        "x" * 10**6,
        list(range(10**6)),
        np.zeros((10**6, 2)),
        itself,
        deep,
        {"a": itself},
    ):
        assert len(brief(value)) <= 160 and "\n" not in brief(value)
    pandas = pytest.importorskip("pandas")
    assert brief(pandas.Series(range(144))) == "a Series of shape (144,)"
    assert brief(np.float32(0.5)) == "numpy.float32(0.5)"


def test_options_are_passed_on_as_they_are():
    given = {"damping": 1.0}
    assert options("hf_options", given, ("damping", "cg")) == given
    assert options("hf_options", None, ("damping", "cg")) == {}


def test_options_that_are_not_known_are_named_with_the_choices():
    with pytest.raises(ValueError, match=r"^hf_options must be among damping, cg, got 'dampening', 'CG'; correct"):
        options("hf_options", {"dampening": 1.0, "CG": 5}, ("damping", "cg"))
    for wrong in ([1], "damping", {1: 2}):
        with pytest.raises(TypeError, match=r"^hf_options must be a dict of damping, cg, got"):
            options("hf_options", wrong, ("damping", "cg"))


# ------------------------------------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("value", [[[1, 2], [3, 4]], ((1, 2), (3, 4)), np.ma.array([[1, 2], [3, 4]])])
def test_what_is_rectangular_becomes_a_plain_array(value):
    found = as_array("a", value)
    assert type(found) is np.ndarray
    assert found.tolist() == [[1, 2], [3, 4]]


def test_an_array_is_not_copied():
    given = np.ones(3)
    assert as_array("a", given) is given


@pytest.mark.parametrize("value", [{1}, {"a": 1}, None, iter([1]), (i for i in (1, 2)), object(), len])
def test_what_is_no_array_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^a must be an array or a list, got .*; give one of these\.$"):
        as_array("a", value)


@pytest.mark.parametrize("times", [1, 2])
def test_a_list_in_itself_is_refused_at_once(times):
    with pytest.raises(ValueError, match=r"^a must be a rectangular array, got lists in lists more than 32 deep"):
        as_array("a", endless(times))


def test_ragged_lists_are_refused_in_one_line():
    with pytest.raises(
        ValueError, match=r"^a must be a rectangular array, .* in \[\[1\], \[1, 2\]\]; make it square\.$"
    ):
        as_array("a", [[1], [1, 2]], remedy="make it square")


@pytest.mark.parametrize("value", [np.ma.array([1, 2], mask=[0, 1]), [np.ma.array([1, 2], mask=[0, 1])] * 2])
def test_what_is_masked_is_refused(value):
    with pytest.raises(ValueError, match=r"^a must have no masked entry"):
        as_array("a", value)


def test_reals_are_finite_numbers_of_any_shape():
    assert reals("a", 3).shape == ()
    assert reals("a", [[1, 2.5]]).tolist() == [[1.0, 2.5]]
    assert reals("a", np.float32([1])).dtype == np.float32
    assert reals("a", [2**70, 1]).tolist() == [2.0**70, 1.0]


@pytest.mark.parametrize("value", ["1", ["1"], True, [True], 1j, [1j], [None], np.datetime64("2020"), [{}]])
def test_what_holds_no_reals_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^a must"):
        reals("a", value)


@pytest.mark.parametrize("value", [np.nan, [1.0, np.inf], [10**400], [[1], [1, 2]], endless(2)])
def test_reals_that_are_not_finite_are_value_errors(value):
    with pytest.raises(ValueError, match=r"^a must"):
        reals("a", value)


def test_a_flag_is_true_or_false_and_nothing_that_counts_as_one():
    assert flag("f", True) is True and flag("f", np.bool_(False)) is False
    for value in (1, 0, "no", None, np.ones(2), []):
        with pytest.raises(TypeError, match=r"^f must be True or False, got .*; give True or False\.$"):
            flag("f", value)
