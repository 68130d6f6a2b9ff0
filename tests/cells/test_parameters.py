"""Parameters in the forms that kernels read."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cells import LSTM, MUT1, Elman
from cells.passes.cell import Cell, Map, Plane
from cells.passes.feed import FEW
from cells.passes.parameters import Forms, Matrices
from contracts import every
from reservoir.simd.tiles import panels
from reservoir.simd.vectors import PACK_BYTES

I, H = 3, 9  # more units than a pack of float64 holds


def transpose_of(W, in_place):
    """In panels, or as rows of whole packs with zeros behind."""
    if not in_place:
        return panels(W, transpose=True)
    n_behind = -W.shape[0] % (PACK_BYTES // W.itemsize)
    return np.pad(W.T, ((0, 0), (0, n_behind)))[None]


@pytest.mark.parametrize("in_place", [False, True])
def test_rows_of_a_transpose_begin_on_packs(in_place):
    cell = Elman(I, H)
    back = Matrices(cell, np.zeros(cell.n_params), Forms(in_place)).back("recurrent")
    assert all(back[0, k].ctypes.data % PACK_BYTES == 0 for k in range(back.shape[1]))


@pytest.mark.parametrize("in_place", [False, True])
def test_matrices_are_the_parameters_in_the_forms_of_kernels(in_place):
    cell = LSTM(I, H, has_peepholes=True)
    theta = np.random.default_rng(0).standard_normal(cell.n_params)
    matrices, views = Matrices(cell, theta, Forms(in_place)), dict(cell.views(theta))
    assert_array_equal(matrices["recurrent"], panels(views["recurrent"], in_place=in_place))
    assert_array_equal(matrices.back("recurrent"), transpose_of(views["recurrent"], in_place))
    assert_array_equal(matrices.row("peephole_i"), views["peephole_i"][None])
    assert np.shares_memory(matrices.view("bias"), theta)
    assert matrices["gates"].shape == matrices.back("gates").shape == (0, 0, 0)
    assert Matrices(LSTM(I, H), theta[: LSTM(I, H).n_params], Forms(in_place)).row("peephole_i").shape == (0, 0)


def test_absent_matrices_keep_the_precision():
    cell = Elman(I, H)
    matrices = Matrices(cell, np.zeros(cell.n_params, np.float32), Forms(False))
    assert matrices["gates"].dtype == matrices.row("peephole_i").dtype == np.float32


@pytest.mark.parametrize("in_place", [False, True])
def test_a_form_is_made_once(in_place):
    cell = Elman(I, H)
    for theta in np.random.default_rng(0).standard_normal((2, cell.n_params)):
        matrices = Matrices(cell, theta, Forms(in_place))
        recurrent = dict(cell.views(theta))["recurrent"]
        assert matrices["recurrent"] is matrices["recurrent"]
        assert_array_equal(matrices["recurrent"], panels(recurrent, in_place=in_place))
        assert_array_equal(matrices.back("recurrent"), transpose_of(recurrent, in_place))


@every({"panels": False, "in-place": True})
def test_forms_follow_theta_when_their_copies_are_made_again(in_place):
    cell = Elman(I, H)
    theta = np.zeros(cell.n_params)
    matrices = Matrices(cell, theta, made := Forms(in_place))
    forms = matrices["recurrent"], matrices.back("recurrent"), *matrices.input_and_bias
    theta[:] = np.arange(theta.size)
    for function, *arguments in made.copies:
        function(*arguments)
    assert matrices["recurrent"] is forms[0] and matrices.back("recurrent") is forms[1]
    W = matrices.view("recurrent")
    assert_array_equal(forms[0], panels(W, in_place=in_place))
    assert_array_equal(forms[1], transpose_of(W, in_place))
    assert_array_equal(forms[2][:, :H], matrices.view("input"))
    assert_array_equal(forms[3][:H], matrices.view("bias"))


@dataclass(frozen=True)
class TwoOfEach(Cell):
    """Maps whose columns overlap, as two biases do in torch; with ``is_diagonal`` one of them is no matrix."""

    is_diagonal: bool = False

    @property
    def planes(self):
        return (Plane("a", self.n_units, "identity"),)

    @property
    def maps(self):
        H, form = self.n_units, "diagonal" if self.is_diagonal else "dense"
        return (
            Map("input", "x", 0, H, source_width=self.n_in),
            Map("other_input", "x", 0, H, form, source_width=self.n_in),
            Map("bias", "", 0, H, "bias"),
            Map("other_bias", "", 0, H, "bias"),
        )


def test_maps_of_the_same_columns_add_up_in_a_feed():
    cell = TwoOfEach(2, 3)
    theta = np.arange(cell.n_params, dtype=float)
    views, (matrix, bias) = (
        dict(cell.views(theta)),
        Matrices(cell, theta, Forms(False), is_direction=True).input_and_bias,
    )
    assert_array_equal(matrix[:, :3], views["input"] + views["other_input"])
    assert_array_equal(bias[:3], views["bias"] + views["other_bias"])


@every(
    {
        "a diagonal map": TwoOfEach(3, 3, is_diagonal=True),
        "many inputs": Elman(FEW + 1, H),
        "an input without a matrix": MUT1(H, H),
    }
)
def test_the_feed_of_other_cells_has_the_biases_alone(cell):
    theta = np.arange(cell.n_params, dtype=float)
    matrix, bias = Matrices(cell, theta, Forms(False), is_direction=True).input_and_bias
    assert matrix.shape[0] == 0
    expected = np.zeros(cell.n_columns)
    for map_ in cell.maps:
        if map_.form == "bias":
            expected[map_.column : map_.column + map_.width] += dict(cell.views(theta))[map_.name]
    assert_array_equal(bias[: cell.n_columns], expected)
