"""Thresholds as a FINN unit holds them, and the ways a trained layer becomes thresholds.

A unit compares its accumulator with T thresholds per row and counts those it exceeds (strictly greater). Accumulators
differ: a binary unit counts matching bits, another one adds signed products, a first layer has fraction bits. The sum s
of activation times weight over the layer's own columns is what they share: a threshold t fires when
`mul * s + add > div * t`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sim.errors import InputError
from workloads.formats.bits import check_folding
from workloads.tensor import Array

NEVER = 32767
"""What padded rows hold: no accumulator exceeds it."""


@dataclass(frozen=True, eq=False, slots=True)
class PeThresholds:
    """Thresholds int64 `[PE, NF, T]` of a layer with `rows` rows of its own (the rest pad)."""

    words: npt.NDArray[np.int64]
    rows: int
    mul: int = 1
    add: int = 0
    div: int = 1
    stored: int = 16

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, T)."""
        return self.rows, int(self.words.shape[2])

    @property
    def pe(self) -> int:
        """Processing elements."""
        return int(self.words.shape[0])

    def bits(self) -> int:
        """Bits stored, at `stored` bits each."""
        return int(self.words.size) * self.stored

    def padded(self) -> npt.NDArray[np.int64]:
        """The machine's own thresholds, `[MH, T]`."""
        pe, folds, levels = self.words.shape
        return self.words.transpose(1, 0, 2).reshape(pe * folds, levels)

    def decode(self) -> Array:
        """Thresholds on s, `[rows, T]`: `s > t` is what the machine decides."""
        return (self.div * self.padded()[: self.rows] - self.add) // self.mul

    @classmethod
    def encode(cls, thresholds: Array, pe: int, height: int, mul: int = 1, add: int = 0, div: int = 1) -> Self:
        """Integer thresholds `[rows, T]` on s, for a unit of `height` rows that are folded onto `pe`."""
        check_folding(height, 1, pe, 1)
        rows, levels = thresholds.shape
        full = np.full((height, levels), NEVER, np.int64)
        full[:rows] = (mul * strict(thresholds) + add) // div
        return cls(np.ascontiguousarray(full.reshape(height // pe, pe, levels).transpose(1, 0, 2)), rows, mul, add, div)


def strict(thresholds: Array) -> npt.NDArray[np.int64]:
    """Real thresholds of `s > t`, s an integer, as integers: the floor."""
    return np.floor(thresholds).astype(np.int64)


def from_at_least(thresholds: Array) -> npt.NDArray[np.int64]:
    """Thresholds of `s >= t`, s an integer, as thresholds of `s > t`."""
    return np.ceil(thresholds).astype(np.int64) - 1


def fold_batchnorm(
    gamma: Array, beta: Array, mean: Array, var: Array, epsilon: float, levels: Array
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Where batch norm crosses each of `levels`: real t `[rows, T]`, and the rows whose sign must be flipped.

    With gamma < 0 the output falls as s rises: t is negated and the row's weights too, so the test stays `s > t`.
    A gamma of 0 makes the output constant; it becomes a threshold never or always exceeded.
    """
    scale = gamma / np.sqrt(var + epsilon)
    if not np.isfinite(scale).all():
        raise InputError("a batch norm with a variance that is not positive")
    flip = scale < 0
    constant = np.where(beta[:, None] > levels[None], -np.inf, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = mean[:, None] + (levels[None] - beta[:, None]) / scale[:, None]
    real = np.where(scale[:, None] == 0, constant, np.where(flip[:, None], -crossing, crossing))
    return np.clip(real, -(2.0**40), 2.0**40), flip
