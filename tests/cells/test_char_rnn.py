"""The character model: the lecture's recipe step by step, scores, continuations, and texts that cannot be read."""

import copy
import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cells import CharRNN, Stepper, load, predict
from cells.language.alphabet import Alphabet, streams
from cells.language.char_recipe import smooth_losses
from cells.language.interpolation import Interpolation
from cells.language.ngram import NGram
from naive import min_char_rnn
from optim import Adam

pytestmark = pytest.mark.compiled  # trainings: minutes with the JIT switched off

# A loss sums 25 terms over a state that both have carried through up to 94 windows, each rounding anew.
LOSS = {"rtol": 1e-9}
# Where the sum of squares s is tiny, Adagrad divides by no less than 1e-4: a gradient that is off by 1e-11 (sums of 25
# terms of order 1, through as many chaotic steps) moves a weight by 0.1 * 1e-11 / 1e-4.
STEP = {"rtol": 0, "atol": 1e-8}

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    "it was the epoch of belief, it was the epoch of incredulity, it was the season of light. "
)


def small(**changes):
    settings = {"n_units": 12, "n_steps": 10, "n_streams": 4, "max_epochs": 6, "random_state": 0, "dtype": np.float64}
    return CharRNN(**{**settings, **changes})


@pytest.fixture(scope="module")
def model():
    return small(max_epochs=30, learning_rate=0.02).fit(TEXT)


# -------------------------------------------------------------------------------------------- the lecture's recipe


def twin_weights(model):
    """The parameters of an Elman model under the names, and in the orientation, of the twin; copied."""
    views = model.network_.views(model.theta_)
    return {
        "W_xh": views["layer0.input"].T.copy(),
        "W_hh": views["layer0.recurrent"].T.copy(),
        "b_h": views["layer0.bias"].copy(),
        "W_hy": views["readout.weights"].T.copy(),
        "b_y": views["readout.bias"].copy(),
    }


@pytest.mark.slow
def test_1000_steps_of_the_recipe_are_those_of_a_plain_twin():
    """Loss by loss and step by step, the twin set to our parameters after each step.

    Left alone, no two computations of this recipe stay together: its first steps, of 0.1 in every weight, make the
    network chaotic. Of two twins whose weights differ by 1e-15 of themselves, the losses differ by some 1e-7 after 10
    steps, and mostly by more than 1e-2 after 100.
    """
    text = (TEXT * 13)[:2360]  # 94 windows: the text begins anew ten times
    model = CharRNN.min_char_rnn(max_epochs=1000 / 94, random_state=3)
    n_params = CharRNN.min_char_rnn(max_epochs=1e-9, random_state=3).fit(text).theta_.size
    start = twin_weights(CharRNN.min_char_rnn(max_epochs=1e-9, random_state=3).fit(text))
    thetas = np.empty((1000, n_params))

    def watch(progress):
        thetas[progress.iteration - 1] = progress.theta

    model.fit(text, callback=watch)
    twin = min_char_rnn.Twin(Alphabet(model.alphabet_).encode(text).tolist(), start)
    for loss, theta in zip(model.loss_curve_, thetas, strict=True):
        assert_allclose(loss, twin.step(), **LOSS)
        model.theta_ = theta
        ours = twin_weights(model)
        for name, array in ours.items():
            assert_allclose(array, twin.weights[name], **STEP)
        twin.weights = ours
    V = len(model.alphabet_)
    assert_allclose(smooth_losses(model.loss_curve_, V), min_char_rnn.smooth(model.loss_curve_, V), rtol=1e-12)
    assert model.loss_curve_[-20:].mean() < 0.5 * model.loss_curve_[:20].mean()


def test_the_recipe_left_alone_begins_as_its_twin_left_alone():
    model = CharRNN.min_char_rnn(max_epochs=1.0, random_state=3).fit(TEXT)
    start = twin_weights(CharRNN.min_char_rnn(max_epochs=1e-9, random_state=3).fit(TEXT))
    twin = min_char_rnn.Twin(Alphabet(model.alphabet_).encode(TEXT).tolist(), start)
    assert_allclose(model.loss_curve_, [twin.step() for _ in model.loss_curve_], rtol=1e-6)  # seven windows


def test_the_recipe_begins_as_its_source_does():
    model = CharRNN.min_char_rnn(max_epochs=1e-9, random_state=0).fit(TEXT)
    views = model.network_.views(model.theta_)
    assert views["layer0.recurrent"].shape == (100, 100)
    assert_allclose(views["layer0.recurrent"].std(), 0.01, rtol=0.03)  # known to 0.7 %, four times that
    assert not views["layer0.bias"].any() and not views["readout.bias"].any()


# ------------------------------------------------------------------------------------------------------ learning


def test_a_text_in_streams_is_cut_into_pieces_that_follow_one_another():
    X, y = streams(np.arange(100), 3, 10)
    assert X.shape == (3, 30)
    assert_array_equal(X[:, 0], [0, 33, 66])
    assert_array_equal(y, X + 1)


def test_learning_lowers_the_bits_per_character(model):
    assert model.score(TEXT) < 0.6 * small(max_epochs=1e-9).fit(TEXT).score(TEXT)
    assert len(model.loss_curve_) == model.n_iter_ == len(model.trace_["seconds"])


@pytest.mark.parametrize("cell", ["elman", "gru", "multiplicative_lstm"])
def test_other_cells_and_layers_learn_too(cell):
    model = small(cell=cell, n_layers=2, max_epochs=3).fit(TEXT)
    assert model.score(TEXT) < np.log2(len(model.alphabet_))


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads():
    one, two = (small(n_streams=40, n_steps=4, n_jobs=n_jobs).fit(TEXT * 2) for n_jobs in (1, 2))
    assert_array_equal(one.theta_, two.theta_)
    assert not np.array_equal(small(random_state=1).fit(TEXT).theta_, small().fit(TEXT).theta_)


def test_one_stream_in_pieces_is_read_as_one_text():
    settings = {"n_streams": 1, "restart_every": None, "decay": None, "alphabet": "".join(sorted(set(TEXT)))}
    whole = small(**settings, max_epochs=1).fit(TEXT)
    pieces = small(**settings)
    for start, stop in itertools.pairwise([0, 3, 33, 34, 38, 90, len(TEXT)]):
        pieces.partial_fit(TEXT[start:stop])
    assert_array_equal(pieces.theta_, whole.theta_)
    assert_array_equal(pieces.state_, whole.state_)
    assert_array_equal(pieces.waiting_, whole.waiting_)


def test_partial_fit_goes_on_after_fit():
    model = small(max_epochs=2).fit(TEXT)
    before = model.theta_.copy()
    bits = model.score(TEXT)
    for _ in range(10):
        model.partial_fit(TEXT)
    assert not np.array_equal(model.theta_, before)
    assert model.score(TEXT) < bits


def test_the_best_parameters_on_the_text_held_out_are_kept():
    model = small(max_epochs=40, learning_rate=0.05, decay=None, validation_fraction=0.3, patience=4).fit(TEXT * 2)
    losses = model.validation_curve_["loss"]
    assert len(losses) - 1 - losses.argmin() == 4 or len(losses) == 40
    other = small(max_epochs=3).fit(TEXT, validation=TEXT[::-1])
    assert len(other.validation_curve_["loss"]) == 3


def test_fit_goes_on_from_its_checkpoint(tmp_path):
    whole = small(max_epochs=4, decay=None).fit(TEXT)
    path = tmp_path / "text.npz"
    small(max_epochs=2, decay=None, checkpoint=path).fit(TEXT)
    resumed = small(max_epochs=4, decay=None, checkpoint=path).fit(TEXT)
    assert_array_equal(resumed.theta_, whole.theta_)
    assert_array_equal(resumed.loss_curve_, whole.loss_curve_)


def test_ctrl_c_leaves_the_model_as_it_was():
    model = small()

    def interrupt(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(TEXT, callback=interrupt)
    assert not hasattr(model, "theta_")
    model.fit(TEXT)
    before = copy.deepcopy(vars(model))
    with pytest.raises(KeyboardInterrupt):
        model.fit(TEXT, callback=interrupt)
    assert_array_equal(model.theta_, before["theta_"])
    assert vars(model).keys() == before.keys()


def test_a_network_that_is_restarted_knows_how_to_begin():
    """Restarts are what makes the first characters of a text as easy as the later ones."""
    model = small(n_units=24, max_epochs=40, restart_every=3, n_streams=2).fit(TEXT * 20)
    from_rest = -model.log_probabilities_of(TEXT)
    assert from_rest[5:].mean() < 0.7


# ------------------------------------------------------------------------------------------------------- scoring


def test_the_score_is_the_mean_surprise_of_a_step_at_a_time(model):
    text = "it was the age of light."
    letters = Alphabet(model.alphabet_)
    stepper, bits = Stepper(model.network_, model.theta_), []
    for now, following in itertools.pairwise(letters.encode(text)):
        bits.append(-np.log2(stepper.step(int(now))[0, following]))
    assert_allclose(model.score(text), np.mean(bits), rtol=1e-10)


def test_a_text_is_scored_in_blocks_as_in_one(model, monkeypatch):
    expected = model.log_probabilities_of(TEXT)
    monkeypatch.setattr("cells.language.scoring._BLOCK", 17)
    assert_array_equal(model.log_probabilities_of(TEXT), expected)


def test_interpolation_is_at_least_as_good_as_both_on_the_text_that_chose_its_weight(model):
    ngram = NGram(order=1).fit(TEXT)
    held_out = "it was the best of wisdom, it was the season of the worst times."
    mixture = model.interpolate(ngram, held_out)
    alone = [Interpolation(model, ngram, weight).score(held_out) for weight in (0.0, 1.0)]
    assert_allclose(alone[1], model.score(held_out), rtol=1e-12)
    assert_allclose(alone[0], -ngram.log_probabilities_of(held_out)[1:].mean() / np.log(2.0), rtol=1e-12)
    assert mixture.score(held_out) <= min(alone)
    nearby = [Interpolation(model, ngram, mixture.weight + step).score(held_out) for step in (-1e-3, 1e-3)]
    assert mixture.score(held_out) <= min(nearby)


# ------------------------------------------------------------------------------------------------------- writing


def test_samples_are_the_same_for_the_same_seed_and_go_on_from_the_prime(model):
    one = model.sample("it was", 30, random_state=1)
    assert one == model.sample("it was", 30, random_state=1) != model.sample("it was", 30, random_state=2)
    assert len(one) == 30 and set(one) <= set(model.alphabet_)
    assert model.sample("it was", 0) == ""


def test_a_cold_sample_is_always_the_likeliest_character(model):
    stepper, letters = Stepper(model.network_, model.theta_), Alphabet(model.alphabet_)
    for number in letters.encode("it was"):
        p = stepper.step(int(number))
    expected = ""
    for _ in range(20):
        best = int(p[0].argmax())
        expected += model.alphabet_[best]
        p = stepper.step(best)
    for temperature in (0, 0.0, np.float32(1e-3), 5e-324):
        assert model.sample("it was", 20, temperature=temperature, random_state=0) == expected


@pytest.mark.parametrize("kind", [np.float32, np.float64, int, np.int64])
def test_any_kind_of_number_is_a_temperature(model, kind):
    expected = model.sample("it was", 20, temperature=2.0, random_state=0)
    assert model.sample("it was", 20, temperature=kind(2), random_state=0) == expected


def test_a_huge_temperature_draws_every_character_alike(model):
    drawn = model.sample("it was", 2000, temperature=1e308, random_state=0)
    V = len(model.alphabet_)
    shares = np.array([drawn.count(character) for character in model.alphabet_]) / 2000
    assert abs(shares - 1 / V).max() < 5 * np.sqrt(1 / V / 2000)  # five standard deviations of a share


def test_samples_are_drawn_with_the_models_probabilities(model):
    p = predict(model.network_, model.theta_, [Alphabet(model.alphabet_).encode("it wa")])[0][-1]
    drawn = "".join(model.sample("it wa", 1, random_state=seed) for seed in range(400))
    shares = np.array([drawn.count(character) for character in model.alphabet_]) / 400
    assert abs(shares - p).max() < 4 * 0.5 / np.sqrt(400)  # four standard deviations of a share at most


def test_completions_are_the_likeliest_and_their_bits_are_those_of_the_score(model):
    found = model.complete("it was the ", 4, stop=" ,", n_beams=200, n_characters=3)
    assert [item.bits for item in found] == sorted(item.bits for item in found)
    by_hand = []
    letters = model.alphabet_
    stops = [character for character in " ,"]
    inner = [character for character in letters if character not in stops]
    words = [("", stop) for stop in stops] + [(a, stop) for a in inner for stop in stops]
    words += [(a + b, stop) for a in inner for b in inner for stop in stops]
    prefix = "it was the "
    for word, stop in words:
        log_p = model.log_probabilities_of(prefix + word + stop)[len(prefix) - 1 :]
        by_hand.append((-log_p.sum() / np.log(2.0), word))
    by_hand.sort()
    short = [item for item in found if len(item.text) < 3]
    for item, (bits, word) in zip(short, by_hand, strict=False):
        assert item.text == word
        assert_allclose(item.bits, bits, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_of_a_confident_model_are_those_of_its_outputs(dtype):
    """A probability below the smallest float32 has a logarithm all the same."""
    model = small(dtype=dtype, max_epochs=20, n_streams=2).fit("abcd" * 100)
    model.network_.views(model.theta_)["readout.weights"][:] *= 40
    found = model.complete("ab", 3, n_characters=3)
    by_hand = [-model.log_probabilities_of("ab" + item.text)[1:].sum() / np.log(2.0) for item in found]
    # An exponent of some 500 nats rounded to eight digits, in two orders of the sum.
    assert_allclose([item.bits for item in found], by_hand, rtol=1e-5, atol=1e-4)
    assert by_hand[-1] > 200


# ------------------------------------------------------------------------------------------------- texts and files


@pytest.mark.parametrize("how", [{"validation_fraction": 0.1}, {"validation": "a CAT!"}])
def test_characters_of_the_text_held_out_belong_to_the_alphabet(how):
    text = "the cat sat on the mat. " * 10 + "the CAT sat: fin."
    told = {name: value for name, value in how.items() if name == "validation"}
    model = small(max_epochs=1, validation_fraction=how.get("validation_fraction", 0.0)).fit(text, **told)
    assert model.alphabet_ == "".join(sorted(set(text + told.get("validation", ""))))
    assert np.isfinite(model.validation_curve_["loss"]).all()


def test_any_character_may_be_learnt_and_saved(tmp_path):
    text = "e\u0301\ud800\U0001f600" * 10  # a combining accent, half a pair that stands alone, one beyond 16 bits
    model = small(max_epochs=1).fit(text)
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").alphabet_ == model.alphabet_ == "".join(sorted(set(text)))
    assert np.isfinite(model.score(text))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m: m.sample(None), TypeError, "prime must be a str, got None"),
        (lambda m: m.sample("ß"), ValueError, r"prime must hold only .*'ß'"),
        (lambda m: m.complete(b"it"), TypeError, "prefix must be a str, got b'it'; decode bytes"),
        (lambda m: m.complete("ß"), ValueError, r"prefix must hold only .*'ß'"),
        (lambda m: m.complete("it", stop=None), TypeError, "stop must be a str, got None"),
        (lambda m: m.complete("it", 0), ValueError, r"k must be an integer in \[1, 65536\], got 0"),
        (lambda m: m.complete("it", 1.5), TypeError, "k must be an integer"),
        (lambda m: m.complete("it", 10**30), ValueError, "k must be an integer"),
        (lambda m: m.complete("it", 5, n_beams=4), ValueError, r"n_beams must be an integer in \[5, 65536\], got 4"),
        (lambda m: m.complete("it", n_characters=0), ValueError, "n_characters must be an integer"),
        (lambda m: m.score(["it", "was"]), TypeError, r"text must be a str, got \['it', 'was'\]; .*join lists"),
        (lambda m: m.interpolate(None, "it was"), TypeError, r"ngram must be a fitted .*NGram, got None"),
        (lambda m: m.interpolate(NGram().fit(TEXT), ""), ValueError, "held_out must hold at least 2 characters"),
        (lambda m: small().fit(TEXT, validation=b"it"), TypeError, "validation must be a str"),
        (lambda m: small().fit(TEXT, validation="i"), ValueError, "validation must hold at least 2 characters"),
        (lambda m: small(validation_fraction=0.1).fit("short"), ValueError, "validation_fraction must leave two"),
        (lambda m: copy.deepcopy(m).partial_fit("i"), ValueError, "text must hold at least 2 characters"),
        (lambda m: small(unknown=None).fit(TEXT), TypeError, "unknown must be a str, got None"),
    ],
)  # fmt: skip
def test_mistakes_name_the_argument(model, act, error, message):
    with pytest.raises(error, match=message):
        act(model)


def test_more_completions_than_there_are_come_as_they_are(model):
    found = model.complete("it wa", 500, n_characters=1, stop="")
    assert sorted(item.text for item in found) == list(model.alphabet_)
    assert_allclose(sum(2.0**-item.bits for item in found), 1.0, rtol=1e-12)


def test_streams_and_windows_longer_than_the_text_are_cut_to_it():
    model = small(n_streams=10**9, n_steps=10**9, max_epochs=1).fit(TEXT)
    assert model.state_.shape[0] == 1 and np.isfinite(model.score(TEXT))


def test_characters_never_seen_are_refused_or_replaced(model):
    with pytest.raises(ValueError, match=r"alphabet.*'ß'"):
        model.score("it was ß")
    lenient = small(unknown=".").fit(TEXT)
    assert lenient.score("it was ß") == lenient.score("it was .")
    with pytest.raises(ValueError, match="unknown"):
        small(unknown="ß").fit(TEXT)
    wide = small(alphabet="".join(sorted({*TEXT, "ß"}))).fit(TEXT)
    assert np.isfinite(wide.score("it was ß"))


@pytest.mark.parametrize(
    ("text", "error"), [("", ValueError), ("a", ValueError), (b"abc", TypeError), (None, TypeError)]
)
def test_texts_that_cannot_be_read_are_refused(model, text, error):
    for method in (small().fit, small().partial_fit, model.score):
        with pytest.raises(error, match="text must"):
            method(text)


def test_a_text_of_two_characters_is_enough():
    assert np.isfinite(small().fit("ab").score("ab"))


@pytest.mark.parametrize(
    ("alphabet", "error"), [("aa", ValueError), ("", ValueError), (3, TypeError), (["a", "b"], TypeError)]
)
def test_an_alphabet_that_is_none_is_refused(alphabet, error):
    with pytest.raises(error, match="alphabet"):
        small(alphabet=alphabet).fit("ab")


BAD = {
    "n_units": 0, "n_layers": 1.5, "n_steps": 0, "n_streams": -1, "n_back": 3, "cell": "lstmm", "solver": "adamm",
    "learning_rate": -1.0, "decay": "linear", "clip_norm": 0.0, "clip_signal": -1.0, "init": "glorott",
    "reduction": "max", "max_epochs": 0, "validation_fraction": 1.0, "restart_every": 0, "random_state": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_parameters_that_cannot_be_meant_are_refused_and_leave_no_trace(name):
    model = small(**{name: BAD[name]})
    named = "scheme" if name == "init" else "k2|n_back" if name == "n_back" else name
    for learn in (model.fit, model.partial_fit):
        with pytest.raises((ValueError, TypeError), match=named):
            learn(TEXT)
    assert not hasattr(model, "theta_")


def test_hessian_free_is_told_where_to_go():
    with pytest.raises(NotImplementedError, match="SequenceObjective"):
        small(solver="hf").fit(TEXT)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"temperature": -1.0}, ValueError),
        ({"temperature": np.nan}, ValueError),
        ({"temperature": np.inf}, ValueError),
        ({"temperature": True}, TypeError),
        ({"temperature": "hot"}, TypeError),
        ({"n": -1}, ValueError),
        ({"n": 10**30}, ValueError),
        ({"n": 2.0}, TypeError),
    ],
)
def test_samples_that_cannot_be_meant_are_refused(model, bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        model.sample("it", **bad)


def test_a_saved_model_scores_samples_and_learns_on_the_same(model, tmp_path):
    path = tmp_path / "model.npz"
    model.save(path)
    with np.load(path, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind != "O" for name in arrays.files)
    again = load(path)
    assert again.score(TEXT) == model.score(TEXT)
    assert again.sample("it", 20, random_state=0) == model.sample("it", 20, random_state=0)
    assert_array_equal(again.partial_fit(TEXT).theta_, copy.deepcopy(model).partial_fit(TEXT).theta_)
    assert repr(again.get_params()) == repr(model.get_params())


def test_what_cannot_be_written_without_code_is_refused(tmp_path):
    model = small(solver=Adam(0.01)).fit(TEXT)
    with pytest.raises(TypeError, match="solver"):
        model.save(tmp_path / "model.npz")
