"""Random numbers that are a hash, and masks made of them, against naive twins and published values."""
import naive
import numpy as np
import pytest
from kernel_tools import DTYPES
from scipy import stats

import nnjit as nn
from nnjit.kernels import dropout, random


def drawn(seed, layer, step, rate, N, units, first_row=0):
    """Return the mask (N, units) of bool, drawn as `Dropout` does."""
    words = np.empty((N, -(-units // dropout.WORD)), np.uint64)
    dropout.draw_mask(random.layer_key(seed, layer), step, first_row, *dropout.keep_digits(rate), words)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little")
    return bits[:, :units].astype(bool)


@pytest.mark.parametrize("seed, outputs", [
    # rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431,
               16408922859458223821]),
    # S. Vigna, prng.di.unimi.it/splitmix64.c, from state 0
    (0, [16294208416658607535, 7960286522194355700, 487617019471545679]),
])
def test_mix_is_splitmix64(seed, outputs):
    with np.errstate(over="ignore"):
        states = [np.uint64(seed) + np.uint64(n + 1) * random.GOLDEN for n in range(len(outputs))]
    assert [int(random.mix(state)) for state in states] == outputs
    assert [naive.mix(seed + (n + 1) * naive.GOLDEN) for n in range(len(outputs))] == outputs


@pytest.mark.parametrize("rate, threshold, digits", [
    (0.0, 1, 0), (0.5, 1, 1), (0.25, 3, 2), (0.75, 1, 2), (0.875, 1, 3), (2**-40, 1, 0), (1 - 2**-40, 1, 32),
    (1 / 3, 2863311531, 32), (0.1, 1932735283, 31)])
def test_keep_digits(rate, threshold, digits):
    assert dropout.keep_digits(rate) == (threshold, digits)
    assert abs(threshold / 2**digits - (1 - rate)) <= 2**-32


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.1, 1 / 3])
@pytest.mark.parametrize("units", [1, 64, 70])
def test_mask(rate, units):
    expected = naive.dropout_mask(3, 1, 12, *dropout.keep_digits(rate), (4, units))
    assert np.array_equal(drawn(3, 1, 12, rate, 4, units), expected)


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.1, 0.9, 1 / 3])
def test_mask_has_its_rate(rate):
    """Of all units, of each column, of each row, and of the units that lie next to a dropped one."""
    N, H = 200, 130
    dropped = ~drawn(11, 0, 5, rate, N, H)
    low, high = stats.binom.interval(1 - 1e-6, N * H, rate)
    assert low <= dropped.sum() <= high
    for axis, n in [(0, N), (1, H)]:
        low, high = stats.binom.interval(1 - 1e-8, n, rate)
        assert low <= dropped.sum(axis).min() and dropped.sum(axis).max() <= high
    for first, second in [(dropped[:, 1:], dropped[:, :-1]), (dropped[1:], dropped[:-1])]:
        low, high = stats.binom.interval(1 - 1e-6, first.sum(), rate)
        assert low <= (first & second).sum() <= high


def test_mask_without_dropout_keeps_all():
    assert drawn(0, 0, 0, 0.0, 3, 70).all()


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_mask_is_of_seed_layer_and_step_and_of_no_other_row(rate):
    masks = [drawn(*numbers, rate, 10, 100)
             for numbers in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (7, 2, 30)]]
    for i, mask in enumerate(masks):
        assert all(np.mean(mask == other) < 0.95 for other in masks[:i])
    assert np.array_equal(masks[-1], drawn(7, 2, 30, rate, 10, 100))
    assert np.array_equal(masks[-1], drawn(7, 2, 30, rate, 25, 100)[:10])


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_a_mask_may_be_drawn_in_parts(rate):
    """Rows k and after are those that are drawn with k as the first row."""
    whole = drawn(7, 2, 30, rate, 25, 100)
    for k in (0, 1, 17):
        assert np.array_equal(drawn(7, 2, 30, rate, 25 - k, 100, first_row=k), whole[k:])


@pytest.mark.parametrize("numbers", [(0, 0), (3, 1), (2**63 - 1, 12)])
def test_the_key_of_a_layer(numbers):
    key = random.layer_key(*numbers)
    assert isinstance(key, np.uint64) and int(key) == naive.key_of(*numbers)


@pytest.mark.parametrize("choices", [1, 2, 5, 2**31])
@pytest.mark.parametrize("shape", [(1, 1), (9, 2)])
def test_draw_integers(choices, shape):
    key, out = random.layer_key(5, 3), np.full(shape, -1)
    random.draw_integers(key, 11, 0, choices, out)
    assert np.array_equal(out, naive.draw_integers(5, 3, 11, choices, shape))
    for k in range(1, len(out)):
        rest = np.full_like(out[k:], -1)
        random.draw_integers(key, 11, k, choices, rest)
        assert np.array_equal(rest, out[k:])


@DTYPES
def test_apply_mask(rng, dtype):
    x = rng.normal(size=(3, 70)).astype(dtype)
    kept = rng.random((3, 70)) < 0.5
    words = np.zeros((3, 128), bool)
    words[:, :70] = kept
    words = np.packbits(words, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    out = np.empty_like(x)
    x[0, 0], kept[0, 0] = np.nan, False
    words[0, 0] &= ~np.uint64(1)
    dropout.apply_mask(x, words, 1.25, out)
    assert np.array_equal(out, np.where(kept, x * dtype(1.25), 0))
    dropout.apply_mask(x, words, 1.25, x)
    assert np.array_equal(x, out)


# ---- generators --------------------------------------------------------------------------------------------

def test_every_purpose_seed_and_number_has_a_stream_of_its_own():
    keys = [(purpose, seed, number) for purpose in (random.INITIAL_WEIGHTS, random.ROW_ORDER)
            for seed in (0, 1, 2**63 - 1) for number in (0, 1, 2**40)]
    draws = [tuple(random.generator(*key).integers(2**63, size=4).tolist()) for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [tuple(random.generator(*key).integers(2**63, size=4).tolist()) for key in keys]


def test_weights_and_the_order_of_rows_are_drawn_apart():
    """They were the same draws: layer 0's weights, and the order of the epoch that begins at step 0."""
    model = nn.Sequential([nn.Dense(5, init=lambda rng, shape: rng.random(shape))], nn.Categorical(),
                          "float64").build(8, seed=3)
    order = random.generator(random.ROW_ORDER, 3, 0)
    assert not np.isin(model.parameters()["0.W"], order.random(1000)).any()
    expected = random.generator(random.INITIAL_WEIGHTS, 3, 0).random((8, 5))
    np.testing.assert_array_equal(model.parameters()["0.W"], expected)
