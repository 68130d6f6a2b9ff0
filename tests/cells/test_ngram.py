"""The n-gram model against its twin of dictionaries, and what every language model owes its users."""

import os

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from cells.language.ngram import SMOOTHINGS, NGram
from naive.ngram import NaiveNGram

# Each order adds one product and one sum to a probability, each rounded to 1.1e-16; six orders at most here, and the
# twin adds up the discounts in another order.
RTOL = 1e-13

PHRASES = "she sells sea shells by the sea shore, the shells she sells are sea shells for sure. "


def random_text(n, n_symbols, seed=0):
    """A text with some structure: a random walk whose steps are small."""
    return np.cumsum(np.random.default_rng(seed).integers(0, 3, n)) % n_symbols


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize(
    "order, n_symbols, n", [(0, 3, 20), (1, 1, 5), (2, 5, 200), (3, 4, 300), (5, 7, 400), (4, 2, 1)]
)
def test_every_probability_is_that_of_the_twin(smoothing, order, n_symbols, n):
    texts = [random_text(n, n_symbols), random_text(n // 2 + 1, n_symbols, seed=1)]
    heard = random_text(40, n_symbols, seed=2)
    model = NGram(order, smoothing=smoothing, alphabet=np.arange(n_symbols)).fit(texts)
    twin = NaiveNGram(order, [list(text) for text in texts], n_symbols, smoothing)
    expected = [[twin.probability(s, list(heard[:t])) for s in range(n_symbols)] for t in range(heard.size)]
    blocks = list(model.log_probability_blocks(heard, n_rows=7))
    np.testing.assert_allclose(np.exp(np.concatenate(blocks)), expected, rtol=RTOL)
    np.testing.assert_allclose(
        np.exp(model.log_probabilities_of(heard)), np.array(expected)[np.arange(heard.size), heard], rtol=RTOL
    )
    assert [len(block) for block in blocks] == [7] * 5 + [5]


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_probabilities_sum_to_one_after_contexts_seen_and_unseen(smoothing):
    model = NGram(4, smoothing=smoothing, alphabet=PHRASES + "xyz").fit(PHRASES)
    for context in ("", "s", "she ", "zzzz", "zzzs", "sea sh"):
        p = np.exp(model.log_probabilities(context))
        assert p.min() > 0.0
        assert p.sum() == pytest.approx(1.0, rel=RTOL)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_only_the_last_symbols_of_a_context_count(smoothing):
    model = NGram(3, smoothing=smoothing).fit(PHRASES)
    np.testing.assert_array_equal(model.log_probabilities("the sea"), model.log_probabilities("she sea"))
    assert not np.array_equal(model.log_probabilities("sea"), model.log_probabilities("she"))


def test_no_context_reaches_from_one_text_into_the_next():
    model = NGram(1, smoothing="witten-bell").fit(["ab", "ab"])
    after_b = np.exp(model.log_probabilities("b"))  # b never has a successor
    np.testing.assert_allclose(after_b, np.exp(model.log_probabilities("")), rtol=RTOL)
    joined = np.exp(NGram(1, smoothing="witten-bell").fit("abab").log_probabilities("b"))
    assert joined[0] > after_b[0]


def test_witten_bell_by_hand():
    # after "a": b once, c once; d = 2. No context: a 2, b 1, c 1 of 4; d = 3. Uniform: 1/3.
    model = NGram(1, smoothing="witten-bell").fit("abac")
    p_b = (1 + 3 / 3) / (4 + 3)
    assert np.exp(model.log_probabilities("a")[1]) == pytest.approx((1 + 2 * p_b) / (2 + 2), rel=RTOL)


def test_contexts_are_as_many_as_there_are_different_stretches():
    model = NGram(3).fit("abcabcabd")
    text = "abcabcabd"
    assert model.n_contexts_ == tuple(len({text[t - k : t] for t in range(k, len(text))}) for k in range(4))


def test_an_order_beyond_what_an_integer_could_pack_is_counted():
    text = random_text(300, 60)
    model = NGram(20, smoothing="witten-bell").fit(text)  # 60^20 > 2^63
    twin = NaiveNGram(20, [list(text)], 60, "witten-bell")
    p = np.exp(NGram(20, smoothing="witten-bell", alphabet=np.arange(60)).fit(text).log_probabilities(text[:100]))
    np.testing.assert_allclose(p, [twin.probability(s, list(text[:100])) for s in range(60)], rtol=10 * RTOL)
    assert len(model.n_contexts_) == 21


def test_bits_are_nats_over_the_logarithm_of_two():
    model = NGram(2).fit(PHRASES)
    assert model.bits_per_symbol(PHRASES) == pytest.approx(model.nats_per_symbol(PHRASES) / np.log(2), rel=1e-15)
    assert NGram(0).fit("ab" * 50).bits_per_symbol("ab") == pytest.approx(1.0, rel=RTOL)


def test_samples_follow_the_model_and_the_generator():
    model = NGram(5).fit(PHRASES)
    draws = [model.sample(60, prime="she ", rng=np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 60 and set(draws[0]) <= set(PHRASES)
    cold = model.sample(8, prime="she sell", rng=np.random.default_rng(0), temperature=1e-3)
    assert cold == "s sea sh"


def test_shares_of_samples_are_the_probabilities():
    model = NGram(1).fit(random_text(500, 4))
    drawn = model.sample(4000, rng=np.random.default_rng(3))
    after_two = drawn[1:][drawn[:-1] == 2]
    p = np.exp(model.log_probabilities(np.array([2])))
    # four standard deviations of a share of about a thousand draws
    np.testing.assert_allclose(np.bincount(after_two, minlength=4) / after_two.size, p, atol=4 * 0.5 / np.sqrt(900))


def test_symbols_may_be_any_numbers():
    text = np.array([-5, 1000, -5, 7, -5, 1000])
    model = NGram(2).fit(text)
    np.testing.assert_array_equal(model.alphabet_, [-5, 7, 1000])
    assert set(model.sample(20, rng=np.random.default_rng(0))) <= {-5, 7, 1000}


def sample(n_symbols=2, *, rng=None, **how):
    return NGram(1).fit("ab").sample(n_symbols, rng=np.random.default_rng(0) if rng is None else rng, **how)


def test_temperature_zero_takes_the_likeliest_symbol():
    model = NGram().fit(PHRASES)
    cold = [model.sample(8, prime="she sell", rng=np.random.default_rng(7), temperature=T) for T in (0, 1e-300, 1e-3)]
    assert cold == ["s sea sh"] * 3


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    model = NGram(1).fit("abab")
    with pytest.raises(ValueError, match="at least one symbol"):
        model.fit("")
    assert model.alphabet_ == "ab" and model.bits_per_symbol("ab") == NGram(1).fit("abab").bits_per_symbol("ab")


def test_any_character_may_be_learnt():
    text = "e\u0301\ud800\U0001f600" * 3  # a combining accent, half a pair that stands alone, one beyond 16 bits
    model = NGram(2).fit(text)
    assert model.n_symbols_ == 4 and model.bits_per_symbol(text) < 2.0


@pytest.mark.parametrize(
    "act, error, message",
    [
        (lambda: NGram(-1), ValueError, r"order must be an integer in \[0, 1000\], got -1"),
        (lambda: NGram(2, smoothing="good-turing"), ValueError, r"must be one of .*kneser-ney.* got 'good-turing'"),
        (lambda: NGram().fit(""), ValueError, r"at least one symbol to fit, got none"),
        (lambda: NGram().fit("abc").bits_per_symbol(""), ValueError, r"at least one symbol to score"),
        (
            lambda: NGram().fit("abc").bits_per_symbol("abxé"),
            ValueError,
            r"only symbols of the alphabet, got \['x', 'é'\]",
        ),
        (lambda: NGram(alphabet="ab").fit("abc"), ValueError, r"got \['c'\]; name the whole alphabet"),
        (
            lambda: NGram().fit("abc").bits_per_symbol([0, 1]),
            TypeError,
            r"must be a str like the one fitted, got \[0, 1",
        ),
        (lambda: NGram().fit([0, 1, 2]).bits_per_symbol("a"), TypeError, r"must be an array of symbols"),
        (lambda: NGram().fit(np.zeros((2, 2), int)), ValueError, r"one dimension, got shape \(2, 2\)"),
        (lambda: NGram(1.5), TypeError, r"order must be an integer in \[0, 1000\], got 1.5"),
        (lambda: NGram(10**30), ValueError, r"order must be an integer in \[0, 1000\], got 10+"),
        (lambda: NGram(2, smoothing=None), TypeError, r"smoothing must be one of .*got None"),
        (
            lambda: NGram().fit(b"abc"),
            TypeError,
            r"text must be a str or an array of symbols, got b'abc'; decode bytes",
        ),
        (lambda: NGram().fit(None), TypeError, r"text must be a str or an array of symbols, got None"),
        (lambda: NGram().fit(["ab", None]), TypeError, r"text must be a str or an array of symbols"),
        (lambda: NGram().fit([[1, 2], [3, [4]]]), ValueError, r"text must have one dimension"),
        (lambda: NGram(alphabet="").fit("ab"), ValueError, r"alphabet must hold at least one symbol, got ''"),
        (lambda: NGram(alphabet=3).fit("ab"), TypeError, r"alphabet must be a str or a list of characters, got 3"),
        (lambda: NGram(alphabet=["ab"]).fit("ab"), TypeError, r"alphabet must be a str or a list of characters"),
        (lambda: NGram().bits_per_symbol("ab"), NotFittedError, r"call fit first"),
        (lambda: sample(temperature=-0.1), ValueError, r"temperature must be a finite number >= 0, got -0.1"),
        (lambda: sample(temperature=np.nan), ValueError, r"temperature must be a finite number >= 0, got nan"),
        (lambda: sample(temperature="1"), TypeError, r"temperature must be a finite number >= 0, got '1'"),
        (lambda: sample(-1), ValueError, r"n_symbols must be an integer in \[0, .*got -1"),
        (lambda: sample(1.5), TypeError, r"n_symbols must be an integer .*got 1.5"),
        (lambda: sample(10**30), ValueError, r"n_symbols must be an integer .*got 10+"),
        (lambda: sample(rng=0), TypeError, r"rng must be a numpy.random.Generator, got 0"),
        (lambda: sample(prime=b"a"), TypeError, r"text must be a str like the one fitted, got b'a'"),
    ],
)
def test_mistakes_are_told(act, error, message):
    with pytest.raises(error, match=message):
        act()


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("RESERVOIR_HF_DATA"), reason="tinyshakespeare is not in a local folder")
def test_shakespeare_is_scored_as_measured_before():
    from studies.tasks.text_data import tinyshakespeare

    text = tinyshakespeare()
    last = (text.train + text.valid)[-55_770:]  # the last 5 %
    bits = [NGram(k, smoothing="witten-bell").fit(text.train).bits_per_symbol(last) for k in range(8)]
    # from an independent implementation, printed to two places
    np.testing.assert_allclose(bits, [4.85, 3.60, 3.04, 2.68, 2.55, 2.61, 2.73, 2.88], atol=0.0051)
