"""Rates: plain integers, arrays and repetitions mean the same whichever way they are written."""

import numpy as np
import pytest

from sim.rates import Repeat, Total, bounds, by_lane, expand, total

WAVE = Repeat.of([1, 2], 3, head=[5], tail=[7, 8])
LANES = Repeat.of([[1, 2], [3, 4]], 2, tail=[[9, 9]])


def test_a_repeat_written_out() -> None:
    assert len(WAVE) == 9 and WAVE.expand().tolist() == [5, 1, 2, 1, 2, 1, 2, 7, 8]
    assert WAVE.expand(1).tolist() == [5, 1, 2, 7, 8] and WAVE.expand(0).tolist() == [5, 7, 8]
    assert LANES.expand().tolist() == [[1, 2], [3, 4], [1, 2], [3, 4], [9, 9]] and len(LANES) == 5
    assert len(Repeat.of(4, 3)) == 3 and Repeat.of([2], 2).head.size == Repeat.of([2], 2).tail.size == 0


@pytest.mark.parametrize(
    ("counts", "firings", "lanes", "sum_"),
    [
        (Total(5), 9, 4, 5),
        (4, 5, 2, 40),
        (WAVE, 9, 1, 29),
        (WAVE, 9, 2, 58),
        (LANES, 5, 2, 38),
        (Repeat.of([[1], [2]], 3), 6, 1, 9),
        (np.array([1, 2, 3], np.uint8), 3, 2, 12),
        (np.full(300, 255, np.uint8), 300, 1, 76500),
        (np.array([[1, 2], [3, 4]]), 2, 2, 10),
    ],
)
def test_total(counts, firings, lanes, sum_) -> None:
    assert total(counts, firings, lanes) == sum_


def test_total_of_one_lane() -> None:
    assert total(3, 4) == 12


@pytest.mark.parametrize(
    ("rate", "ends"),
    [
        (3, (3, 3)),
        (np.array([4, 1, 2]), (1, 4)),
        (np.array([], int), (0, 0)),
        (WAVE, (1, 8)),
        (LANES, (1, 9)),
        (Repeat.of([9], 0, head=[1], tail=[2]), (1, 2)),
        (Repeat.of([9], 1, head=[1]), (1, 9)),
        (Repeat.of([9], 0), (0, 0)),
    ],
)
def test_bounds(rate, ends) -> None:
    assert bounds(rate) == ends


def test_expand_and_by_lane() -> None:
    assert expand(6, 4) == 6 and expand(WAVE, 9).tolist() == WAVE.expand().tolist()
    assert by_lane(6, 4) == 6
    assert by_lane(np.array([1, 2], np.uint8), 2).tolist() == [[1], [2]]
    assert by_lane(LANES, 5).tolist() == LANES.expand().tolist()
    assert by_lane(np.array([200], np.uint8), 1).dtype == np.int64
