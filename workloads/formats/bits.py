"""Weights as a FINN memory holds them: one stream of SIMD-wide words per processing element (PE).

Row r of the matrix belongs to PE r mod PE, fold r // PE; column c to word c // SIMD, lane c mod SIMD, lowest lane first.
Word index inside a PE is fold * SF + word. One-bit fields mean bit 1 = +1, bit 0 = -1; wider ones are two's complement.
Convolution columns run over kernel rows, kernel columns, then channels (channel fastest).
Rows and columns beyond the layer's own pad the matrix up to the folding; they hold +1.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sim.errors import InputError
from workloads.tensor import Array, Shape

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False, slots=True)
class PeWords:
    """A weight tensor in per-PE words: uint64 `[PE, NF * SF, words of 64 bits per SIMD word]`.

    `shape` is the layer's own, `(rows, columns)` or `(rows, channels, kh, kw)`; `matrix` the padded (MH, MW).
    """

    words: Words
    shape: Shape
    matrix: tuple[int, int]
    simd: int
    field: int = 1

    def __post_init__(self) -> None:
        check_folding(*self.matrix, self.pe, self.simd)
        if not 1 <= self.field <= 16:
            raise InputError(f"weights of {self.field} bits; allowed: 1 to 16")
        want = (self.pe, self.matrix[0] // self.pe * (self.matrix[1] // self.simd), -(-self.simd * self.field // 64))
        if self.words.shape != want:
            raise InputError(
                f"words of shape {self.words.shape} do not hold a matrix {self.matrix}, which takes {want}"
            )

    @property
    def pe(self) -> int:
        """Processing elements."""
        return int(self.words.shape[0])

    def bits(self) -> int:
        """Bits stored: every field of the padded matrix."""
        return self.matrix[0] * self.matrix[1] * self.field

    def fields(self) -> npt.NDArray[np.uint8]:
        """The bits of the padded matrix, `[MH, MW, field]`, lowest bit first."""
        pe, (mh, mw), simd = self.pe, self.matrix, self.simd
        lanes = unpack(self.words, simd * self.field).reshape(pe, mh // pe, mw, self.field)
        return lanes.transpose(1, 0, 2, 3).reshape(mh, mw, self.field)

    def padded(self) -> npt.NDArray[np.int16]:
        """The values of the padded matrix, `[MH, MW]`."""
        return values(self.fields(), signed=True)

    def decode(self) -> Array:
        """The layer's own weights, in its own shape."""
        rows, *rest = self.shape
        inner = self.padded()[:rows, : int(np.prod(rest))]
        if len(rest) == 1:
            return inner
        channels, *kernel = rest
        return np.ascontiguousarray(np.moveaxis(inner.reshape(rows, *kernel, channels), -1, 1))

    @classmethod
    def encode(cls, weight: Array, pe: int, simd: int, field: int = 1, matrix: tuple[int, int] | None = None) -> Self:
        """Pack integer weights; `matrix` is the padded size where the machine needs one."""
        rows = columns(weight)
        mh, mw = matrix or rows.shape
        check_folding(mh, mw, pe, simd)
        if mh < rows.shape[0] or mw < rows.shape[1]:
            raise InputError(f"a matrix {rows.shape} does not fit into {(mh, mw)}")
        full = np.ones((mh, mw), np.int64)
        full[: rows.shape[0], : rows.shape[1]] = rows
        bits = split(full, field, bipolar=field == 1)
        lanes = bits.reshape(mh // pe, pe, mw // simd, simd * field).transpose(1, 0, 2, 3)
        words = pack(lanes.reshape(pe, mh // pe * (mw // simd), simd * field))
        return cls(words, tuple(weight.shape), (mh, mw), simd, field)

    def refold(self, pe: int, simd: int, matrix: tuple[int, int]) -> "PeWords":
        """The same weights for another folding; itself where nothing changes."""
        if (pe, simd, matrix) == (self.pe, self.simd, self.matrix):
            return self
        return PeWords.encode(self.decode(), pe, simd, self.field, matrix)


def check_folding(mh: int, mw: int, pe: int, simd: int) -> None:
    """Raise InputError unless PE divides the rows and SIMD the columns."""
    if pe < 1 or mh % pe:
        raise InputError(f"PE {pe} does not divide {mh} rows; {_divisors(mh, pe)}", setting="pe")
    if simd < 1 or mw % simd:
        raise InputError(f"SIMD {simd} does not divide {mw} columns; {_divisors(mw, simd)}", setting="simd")


def _divisors(size: int, near: int) -> str:
    found = [d for d in range(1, size + 1) if size % d == 0]
    below, above = [d for d in found if d <= near][-1:], [d for d in found if d > near][:1]
    return "nearest divisors: " + ", ".join(map(str, below + above))


def columns(weight: Array) -> Array:
    """A weight tensor as the matrix a FINN layer stores: rows by (kernel rows, kernel columns, channels)."""
    return weight.reshape(len(weight), -1) if weight.ndim == 2 else np.moveaxis(weight, 1, -1).reshape(len(weight), -1)


def pack(bits: Array) -> Words:
    """Bits `[..., n]`, lowest first, into uint64 `[..., ceil(n / 64)]`; bits beyond n are zero."""
    packed = np.packbits(bits.astype(np.uint8, copy=False), axis=-1, bitorder="little")
    missing = -packed.shape[-1] % 8
    if missing:
        packed = np.concatenate([packed, np.zeros((*packed.shape[:-1], missing), np.uint8)], axis=-1)
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64, copy=False)


def unpack(words: Words, count: int) -> npt.NDArray[np.uint8]:
    """The first `count` bits of uint64 words along the last axis."""
    raw = np.ascontiguousarray(words).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(raw, axis=-1, count=count, bitorder="little")


def split(numbers: Array, field: int, bipolar: bool = False) -> npt.NDArray[np.uint8]:
    """Integers as `field` bits each, lowest first. Bipolar: -1 is 0, +1 is 1. InputError for a value that does not fit."""
    if bipolar:
        if not (np.abs(numbers) == 1).all():
            raise InputError("one-bit weights hold -1 and +1 only")
        return (numbers > 0).astype(np.uint8)[..., None]
    if numbers.size and (numbers.min() < -(1 << (field - 1)) or numbers.max() >= 1 << field):
        raise InputError(f"values {numbers.min()} to {numbers.max()} do not fit {field} bits")
    if field <= 8:
        return np.unpackbits(numbers.astype(np.uint8)[..., None], axis=-1, count=field, bitorder="little")
    return (numbers.astype(np.int64)[..., None] >> np.arange(field) & 1).astype(np.uint8)


def values(bits: npt.NDArray[np.uint8], signed: bool) -> npt.NDArray[np.int16]:
    """The inverse of `split`: one bit is bipolar, more are two's complement (or plain binary)."""
    if bits.shape[-1] == 1:
        return bits[..., 0].astype(np.int16) * 2 - 1
    return bits.astype(np.int16) @ coefficients(bits.shape[-1], signed).astype(np.int16)


def coefficients(field: int, signed: bool) -> npt.NDArray[np.int64]:
    """What each bit plane counts: 1, 2, 4, ..., the last one negative in two's complement."""
    weights = np.int64(1) << np.arange(field)
    return np.concatenate([weights[:-1], -weights[-1:]]) if signed and field > 1 else weights
