"""Integers per firing: service times, token rates and activity counts.

A rate is a plain `int` (the same for every firing), an int array (one row per firing; `[firings]`, or
`[firings, lanes]` where lanes differ) or a `Repeat`, which stands for long periodic sequences without writing them out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Repeat:
    """`head`, then `body` `times` times over, then `tail`; each an int array whose rows are firings."""

    head: IntArray
    body: IntArray
    times: int
    tail: IntArray

    @staticmethod
    def of(body: object, times: int, head: object = (), tail: object = ()) -> "Repeat":
        """Build from any array-likes; `head` and `tail` may be left out."""
        rows = np.atleast_1d(np.asarray(body, np.int64))
        ends = [np.asarray(part, np.int64).reshape((-1, *rows.shape[1:])) for part in (head, tail)]
        return Repeat(ends[0], rows, times, ends[1])

    def __len__(self) -> int:
        return len(self.head) + len(self.body) * self.times + len(self.tail)

    def expand(self, times: int | None = None) -> IntArray:
        """The plain array, with `times` repetitions (default: all of them)."""
        count = self.times if times is None else times
        return np.concatenate([self.head, np.tile(self.body, (count,) + (1,) * (self.body.ndim - 1)), self.tail])


Rate = int | IntArray | Repeat


@dataclass(frozen=True, slots=True)
class Total:
    """An activity count already added up over all firings and lanes of a stage."""

    count: int


Counts = Rate | Total


def total(counts: Counts, firings: int, lanes: int = 1) -> int:
    """Sum over all firings and lanes. A scalar or a `[firings]` row counts once for every lane."""
    match counts:
        case Total():
            return counts.count
        case Repeat():
            rows = int(counts.head.sum()) + int(counts.body.sum()) * counts.times + int(counts.tail.sum())
            return rows * (lanes if counts.body.ndim == 1 else 1)
        case np.ndarray():
            return int(counts.sum(dtype=np.int64)) * (lanes if counts.ndim == 1 else 1)
        case _:
            return int(counts) * firings * lanes


def expand(rate: Rate, firings: int) -> int | IntArray:
    """`rate` with any `Repeat` written out."""
    return rate.expand() if isinstance(rate, Repeat) else rate


def by_lane(rate: Rate, firings: int) -> int | IntArray:
    """`rate` as an int, or as int64 `[firings, lanes]` (`[firings, 1]` where lanes do not differ)."""
    plain = expand(rate, firings)
    if not isinstance(plain, np.ndarray):
        return int(plain)
    return (plain if plain.ndim == 2 else plain[:, None]).astype(np.int64)


def bounds(rate: Rate) -> tuple[int, int]:
    """Smallest and largest value that occurs."""
    if isinstance(rate, Repeat):
        parts = [p for p in (rate.head, rate.body if rate.times else rate.head, rate.tail) if p.size]
        return (min(int(p.min()) for p in parts), max(int(p.max()) for p in parts)) if parts else (0, 0)
    if isinstance(rate, np.ndarray):
        return (int(rate.min()), int(rate.max())) if rate.size else (0, 0)
    return int(rate), int(rate)
