"""Chorales: their shapes, next-step targets, and the two averages of the loss."""

import os

import numpy as np
import pytest

from studies.tasks import music

# 88 terms summed, each rounded to 1e-16 of a few units.
RTOL = 1e-13


def pieces_and_logits():
    rng = np.random.default_rng(0)
    pieces = [(rng.uniform(size=(n, 88)) < 0.1).astype(float) for n in (2, 9, 30)]
    return pieces, [rng.normal(size=(len(piece) - 1, 88)) for piece in pieces]


def test_the_target_of_a_step_is_the_step_after_it():
    piece = np.arange(12.0).reshape(4, 3)
    X, y = music.next_step(piece)
    np.testing.assert_array_equal(X[1:], y[:-1])
    np.testing.assert_array_equal(y[-1], piece[-1])


def test_both_averages_agree_with_the_definition():
    pieces, logits = pieces_and_logits()
    losses = []
    for piece, o in zip(pieces, logits, strict=True):
        p = 1.0 / (1.0 + np.exp(-o))
        losses.append([-sum(np.log(q if key else 1 - q) for q, key in zip(p[t], piece[t + 1], strict=True))
                       for t in range(len(o))])  # fmt: skip
    loss = music.music_loss(pieces, logits)
    assert loss.per_step == pytest.approx(sum(sum(values) for values in losses) / 38, rel=RTOL)
    assert loss.per_piece == pytest.approx(np.mean([np.mean(values) for values in losses]), rel=RTOL)
    assert loss.per_step != loss.per_piece


def test_the_loss_of_a_sure_answer_is_finite_and_right():
    piece = np.zeros((2, 88))
    piece[1, 3] = 1.0
    o = np.full((1, 88), -800.0)
    o[0, 3] = 800.0
    assert music.music_loss([piece], [o]).per_step == 0.0
    assert music.music_loss([piece], [-o]).per_step == pytest.approx(800.0 * 88, rel=RTOL)


@pytest.mark.skipif(not os.environ.get("RESERVOIR_HF_DATA"), reason="the chorales are not in a local folder")
def test_the_chorales_are_those_of_the_literature():
    data = music.jsb_chorales()
    assert [len(part) for part in (data.train, data.valid, data.test)] == [229, 76, 77]
    every = [*data.train, *data.valid, *data.test]
    assert {piece.shape[1] for piece in every} == {88}
    assert {float(value) for piece in every for value in np.unique(piece)} == {0.0, 1.0}
    assert min(map(len, every)) == 25 and max(map(len, every)) == 160
    assert all(piece.flags.c_contiguous for piece in every)
