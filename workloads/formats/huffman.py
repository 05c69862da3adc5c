"""Canonical Huffman codes: streams of small symbols as real bits, and tensors that are stored so.

Only code lengths are stored, a byte a symbol; codes follow from them (shorter first, then by symbol).
"""

import heapq
from dataclasses import dataclass
from math import prod

import numba
import numpy as np
import scipy

from sim.errors import InputError
from workloads.formats.gaps import Gaps
from workloads.tensor import MAX_VALUES, Array, Shape


@dataclass(frozen=True, eq=False)
class Stream:
    """`count` symbols as bits in `packed` (uint8, first bit lowest), with the code `lengths` of all symbols, uint8."""

    packed: Array
    lengths: Array
    count: int

    @classmethod
    def encode(cls, symbols: Array, alphabet: int) -> "Stream":
        """Symbols 0 .. alphabet - 1 with the shortest prefix code for their own frequencies."""
        lengths = code_lengths(np.bincount(symbols, minlength=alphabet))
        packed = np.zeros(-(-int(lengths[symbols].astype(np.int64).sum()) // 8), dtype=np.uint8)
        _write(symbols.astype(np.int64), lengths, _codes(lengths), packed)
        return cls(packed, lengths, len(symbols))

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"packed": 8, "lengths": 8}

    def bits(self) -> int:
        """Whole bytes of code, and a byte of length per symbol."""
        return 8 * (len(self.packed) + len(self.lengths))

    def decode(self) -> Array:
        """The symbols, int64. InputError for bits that are no code."""
        if any(part.dtype != np.uint8 or part.ndim != 1 for part in (self.packed, self.lengths)):
            raise InputError("bits and lengths of codes that are no bytes")
        if self.count < 0 or self.count > min(MAX_VALUES, 8 * len(self.packed)) or self.lengths.max(initial=0) > 56:
            raise InputError(f"{len(self.packed)} bytes cannot hold {self.count} symbols")
        order = np.lexsort((np.arange(len(self.lengths)), self.lengths))
        order = order[self.lengths[order] > 0].astype(np.int64)
        counts = np.bincount(self.lengths[order], minlength=58)
        symbols = np.zeros(self.count, dtype=np.int64)
        if not _read(self.packed, order, counts, symbols):
            raise InputError("bits that are no Huffman code")
        return symbols


@dataclass(frozen=True, eq=False)
class Huffman:
    """A Deep Compression tensor with its codes and runs Huffman coded, each with a table of its own."""

    shape: Shape
    codes: Stream
    runs: Stream
    codebook: Array
    index_bits: int = 4
    weight_bits: int = 8

    @classmethod
    def encode(cls, gaps: Gaps) -> "Huffman":
        codes = Stream.encode(gaps.codes, 1 << gaps.weight_bits)
        runs = Stream.encode(gaps.runs, 1 << gaps.index_bits)
        return cls(gaps.shape, codes, runs, gaps.codebook, gaps.index_bits, gaps.weight_bits)

    def check(self) -> None:
        """Raise an InputError unless the streams hold a tensor of this shape."""
        self.gaps().check()

    def gaps(self) -> Gaps:
        """The tensor as it was before Huffman coding."""
        codes, runs = self.codes.decode(), self.runs.decode()
        stored = (codes.astype(np.uint8), runs.astype(np.uint8))
        return Gaps(self.shape, *stored, self.codebook, self.index_bits, self.weight_bits)

    def items(self) -> dict[str, int]:
        """Stored bits by part, tables included."""
        return {"codes": self.codes.bits(), "runs": self.runs.bits(), "codebook": 32 * len(self.codebook)}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        return self.gaps().decode()


@dataclass(frozen=True, eq=False)
class Transformed:
    """Blocks of weights as rounded cosine coefficients, Huffman coded (CNNpack: DCT, quantise, code).

    Kernels of a convolution are transformed in their own axes, matrices in blocks of `block` weights of a row.
    A coefficient is `step` times (symbol - offset).
    """

    shape: Shape
    block: int
    step: float
    offset: int
    symbols: Stream

    @classmethod
    def encode(cls, dense: Array, step: float, block: int = 8) -> "Transformed":
        if not step > 0 or block < 1:
            raise InputError(f"step {step} and block {block} must be above 0")
        levels = np.rint(_forward(dense.astype(np.float64), block) / step).ravel()
        if levels.size and np.abs(levels).max() > 1 << 20:
            raise InputError(f"step {step} gives more than {1 << 21} levels")
        offset = int(-levels.min(initial=0))
        symbols = levels.astype(np.int64) + offset
        return cls(dense.shape, block, float(step), offset, Stream.encode(symbols, int(symbols.max(initial=0)) + 1))

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        rows, size = (*self.shape, 0)[0], prod(self.shape[1:])
        whole = len(self.shape) > 2 and prod(self.shape[2:]) > 1
        if self.block < 1 or min(self.shape, default=0) < 1 or not 0 < self.step < float("inf"):
            raise InputError(f"shape {self.shape}, block {self.block} and step {self.step} are not above 0")
        wanted = rows * (size if whole else -(-size // self.block) * self.block)
        if self.symbols.count != wanted:
            raise InputError(f"{self.symbols.count} coefficients do not fit shape {self.shape}")
        self.symbols.decode()

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        return {"coefficients": self.symbols.bits(), "scalars": 64}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        levels = (self.symbols.decode() - self.offset) * self.step
        return _backward(levels, self.shape, self.block).astype(np.float32)


def _forward(dense: Array, block: int) -> Array:
    if dense.ndim > 2 and prod(dense.shape[2:]) > 1:
        return np.asarray(scipy.fft.dctn(dense, axes=range(2, dense.ndim), norm="ortho"))
    rows = dense.reshape(len(dense), -1)
    padded = np.pad(rows, [(0, 0), (0, -rows.shape[1] % block)]).reshape(-1, block)
    return np.asarray(scipy.fft.dct(padded, axis=1, norm="ortho"))


def _backward(levels: Array, shape: Shape, block: int) -> Array:
    if len(shape) > 2 and prod(shape[2:]) > 1:
        return np.asarray(scipy.fft.idctn(levels.reshape(shape), axes=range(2, len(shape)), norm="ortho"))
    values = scipy.fft.idct(levels.reshape(-1, block), axis=1, norm="ortho").reshape(shape[0], -1)
    return np.asarray(values[:, : prod(shape[1:])].reshape(shape))


def code_lengths(counts: Array) -> Array:
    """Length of every symbol's code, uint8; 0 for symbols that do not occur, 1 for a single one that does."""
    lengths = np.zeros(len(counts), dtype=np.uint8)
    present = np.flatnonzero(counts)
    if len(present) == 1:
        lengths[present] = 1
    heap = [(int(counts[symbol]), int(symbol)) for symbol in present]
    heapq.heapify(heap)
    parents: dict[int, int] = {}
    node = len(counts)
    while len(heap) > 1:
        (first, a), (second, b) = heapq.heappop(heap), heapq.heappop(heap)
        parents[a] = parents[b] = node
        heapq.heappush(heap, (first + second, node))
        node += 1
    depth = {node - 1: 0}
    for inner in sorted(parents, reverse=True):
        depth[inner] = depth[parents[inner]] + 1
    for symbol in present if len(present) > 1 else ():
        lengths[symbol] = depth[int(symbol)]
    return lengths


def _codes(lengths: Array) -> Array:
    """Canonical code of every symbol, its first bit lowest; uint64."""
    codes = np.zeros(len(lengths), dtype=np.uint64)
    code, last = 0, 0
    for symbol in np.lexsort((np.arange(len(lengths)), lengths)):
        length = int(lengths[symbol])
        if length:
            code <<= length - last
            codes[symbol] = int(format(code, f"0{length}b")[::-1], 2)
            code, last = code + 1, length
    return codes


@numba.njit(cache=True)
def _write(symbols: Array, lengths: Array, codes: Array, packed: Array) -> None:
    at = 0
    for symbol in symbols:
        code = codes[symbol]
        for _ in range(lengths[symbol]):
            if code & np.uint64(1):
                packed[at >> 3] |= np.uint8(1 << (at & 7))
            code >>= np.uint64(1)
            at += 1


@numba.njit(cache=True)
def _read(packed: Array, order: Array, counts: Array, symbols: Array) -> bool:
    """Decode bit by bit: `order` lists symbols by code, `counts[n]` codes have n bits. False for bits that are no code."""
    at, end = 0, 8 * len(packed)
    for index in range(len(symbols)):
        code, first, start = 0, 0, 0
        length = 1
        while True:
            if at >= end or length >= len(counts):
                return False
            code |= (packed[at >> 3] >> (at & 7)) & 1
            at += 1
            count = counts[length]
            if code - first < count:
                symbols[index] = order[start + code - first]
                break
            start += count
            first = (first + count) << 1
            code <<= 1
            length += 1
    return True
