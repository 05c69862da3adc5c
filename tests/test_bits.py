"""Packed weights and thresholds: what is encoded comes back, sizes are what is stored, bad foldings are one clear line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from workloads.formats.bits import PeWords, columns, pack, split, unpack, values
from workloads.formats.thresholds import PeThresholds, fold_batchnorm, from_at_least


@st.composite
def folded(draw: st.DrawFn) -> tuple[np.ndarray, int, int, int]:
    pe, simd, nf, sf = (draw(st.integers(1, high)) for high in (6, 70, 4, 3))
    field = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    low = -(1 << (field - 1))
    size = (pe * nf, simd * sf)
    return (2 * rng.integers(0, 2, size) - 1 if field == 1 else rng.integers(low, -low, size)), pe, simd, field


@given(folded())
def test_weights_come_back(made: tuple[np.ndarray, int, int, int]) -> None:
    weight, pe, simd, field = made
    words = PeWords.encode(weight, pe, simd, field)
    assert np.array_equal(words.decode(), weight)
    assert words.bits() == weight.size * field
    assert words.refold(1, 1, words.matrix).refold(pe, simd, words.matrix).words.tolist() == words.words.tolist()


def test_padding_holds_plus_one_and_is_left_out() -> None:
    weight = -np.ones((3, 5), np.int8)
    words = PeWords.encode(weight, 2, 4, 1, (4, 8))
    assert np.array_equal(words.decode(), weight)
    assert words.padded()[3].tolist() == [1] * 8 and words.padded()[0, 5:].tolist() == [1] * 3


def test_row_to_pe_and_column_to_lane() -> None:
    weight = -np.ones((4, 6), np.int8)
    weight[3, 4] = 1  # row 3 of PE 1, fold 1; column 4 in word 1, lane 1
    words = PeWords.encode(weight, 2, 3)
    assert words.words[1, 1 * 2 + 1, 0] == 0b010 and words.words.sum() == 0b010


def test_convolution_columns_run_over_kernel_then_channels() -> None:
    weight = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    assert columns(weight)[0, :4].tolist() == [0, 4, 8, 1]


@pytest.mark.parametrize(
    ("pe", "simd", "word"), [(3, 1, "PE 3 does not divide 4 rows"), (1, 4, "SIMD 4 does not divide 6")]
)
def test_a_folding_that_does_not_divide_is_named(pe: int, simd: int, word: str) -> None:
    with pytest.raises(InputError, match=word):
        PeWords.encode(np.ones((4, 6), np.int8), pe, simd)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_pack_and_unpack(bits: list[bool]) -> None:
    packed = pack(np.array(bits)[None])
    assert packed.shape == (1, -(-len(bits) // 64)) and unpack(packed, len(bits))[0].tolist() == bits


@given(st.integers(2, 8), st.booleans(), st.integers(0, 99))
def test_bit_planes(field: int, signed: bool, seed: int) -> None:
    low, high = (-(1 << (field - 1)), 1 << (field - 1)) if signed else (0, 1 << field)
    numbers = np.random.default_rng(seed).integers(low, high, (3, 4))
    assert np.array_equal(values(split(numbers, field), signed), numbers)


@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 999), st.booleans())
def test_thresholds_decide_alike_in_every_accumulator(pe: int, wide: int, seed: int, matches: bool) -> None:
    rng = np.random.default_rng(seed)
    limits = np.sort(rng.integers(-wide - 2, wide + 2, (pe * 2, 3)), axis=1)
    rule = (1, wide, 2) if matches else (2, 0, 1)
    held = PeThresholds.encode(limits, pe, pe * 2, *rule)
    sums = np.arange(-wide, wide + 1, 2)
    accumulators = (rule[0] * sums + rule[1]) // rule[2]
    for row in range(pe * 2):
        wanted = sums[:, None] > limits[row]
        assert np.array_equal(accumulators[:, None] > held.padded()[row], wanted)
        assert np.array_equal(sums[:, None] > held.decode()[row], wanted)


@given(st.integers(0, 999))
def test_batch_norm_and_sign_become_one_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gamma, beta, mean = rng.normal(0, 1, (3, 8))
    var = rng.uniform(0.1, 2, 8)
    real, flip = fold_batchnorm(gamma, beta, mean, var, 1e-5, np.zeros(1))
    sums = np.arange(-30, 31)[:, None]
    norm = gamma * (sums - mean) / np.sqrt(var + 1e-5) + beta
    flipped = np.where(flip, -sums, sums)
    assert np.array_equal(flipped > from_at_least(real)[:, 0], norm >= 0)
