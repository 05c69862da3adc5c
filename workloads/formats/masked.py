"""Pruned tensors with their values kept: which blocks stay, one bit each, and the values of those that do."""

from dataclasses import dataclass
from math import ceil, log2, prod

import numpy as np

from sim.errors import InputError
from workloads.tensor import MAX_VALUES, Array, Shape, Tensor, decode, stored_bits


@dataclass(frozen=True, eq=False)
class Masked:
    """`kept` (bool) says of every block whether it is there, `values` [blocks kept, block size] holds them in order
    (an array, or itself encoded).

    `block` is the block's extent along every axis: ones for single weights, (1, ci, kh, kw) for whole filters. Shapes
    that blocks do not divide are padded with zeros at the end.
    """

    shape: Shape
    block: Shape
    kept: Array
    values: Tensor

    @classmethod
    def encode(cls, dense: Array, block: Shape | None = None) -> "Masked":
        """Keep the blocks that hold a non-zero."""
        block = block or (1,) * dense.ndim
        blocks = blocked(dense, block)
        kept = np.asarray(blocks.any(axis=1))
        return cls(dense.shape, block, kept, blocks[kept])

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        fits = len(self.block) == len(self.shape) and min(self.block, default=0) > 0 and prod(self.shape) <= MAX_VALUES
        if not fits or self.kept.shape != (prod(grid(self.shape, self.block)),):
            raise InputError(f"blocks {self.block} do not fit shape {self.shape}")
        if tuple(self.values.shape) != (int(np.count_nonzero(self.kept)), prod(self.block)):
            raise InputError(f"values {self.values.shape} do not fit the blocks kept")

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        return {"mask": len(self.kept), "values": stored_bits(self.values)}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        values = decode(self.values)
        blocks = np.zeros((len(self.kept), prod(self.block)), dtype=values.dtype)
        blocks[self.kept.astype(bool)] = values
        return unblocked(blocks, self.shape, self.block)


@dataclass(frozen=True, eq=False)
class NofM:
    """N of every M weights along the last axis: `values` [groups, n] and their `places` inside the group, uint8.

    The tensor is read row by row in groups of `m`, the end of each row padded with zeros.
    """

    shape: Shape
    m: int
    values: Tensor
    places: Array

    @classmethod
    def encode(cls, dense: Array, n: int, m: int) -> "NofM":
        """The `n` greatest magnitudes of every group, in place order; the rest is dropped."""
        if not 1 <= n <= m <= 256:
            raise InputError(f"{n} of {m} is outside 1 of 1 .. 256 of 256")
        groups = _groups(dense, m)
        places = np.sort(np.argsort(-np.abs(groups), axis=1, kind="stable")[:, :n], axis=1)
        return cls(dense.shape, m, np.take_along_axis(groups, places, axis=1), places.astype(np.uint8))

    def check(self) -> None:
        """Raise an InputError unless the parts fit each other; for tensors that come from files."""
        groups = self.shape[0] * -(-prod(self.shape[1:]) // max(1, self.m))
        if self.m < 1 or tuple(self.values.shape) != self.places.shape or len(self.places) != groups:
            raise InputError(f"groups of {self.m} do not fit shape {self.shape}")
        if self.places.size and self.places.max() >= self.m:
            raise InputError(f"places beyond groups of {self.m}")

    def items(self) -> dict[str, int]:
        """Stored bits by part."""
        return {"values": stored_bits(self.values), "places": int(self.places.size) * self.widths()["places"]}

    def widths(self) -> dict[str, int]:
        """Bits that one value of an array takes."""
        return {"places": ceil(log2(self.m)) if self.m > 1 else 0}

    def bits(self) -> int:
        return sum(self.items().values())

    def decode(self) -> Array:
        values = decode(self.values)
        groups = np.zeros((len(values), self.m), dtype=values.dtype)
        np.put_along_axis(groups, self.places.astype(np.int64), values, axis=1)
        rows = groups.reshape(self.shape[0], -1)[:, : prod(self.shape[1:])]
        return rows.reshape(self.shape)


def grid(shape: Shape, block: Shape) -> Shape:
    """Number of blocks along every axis."""
    return tuple(-(-size // extent) for size, extent in zip(shape, block, strict=True))


def blocked(dense: Array, block: Shape) -> Array:
    """[blocks, block size] of a tensor, zeros where blocks reach over its end."""
    if len(block) != dense.ndim or min(block) < 1:
        raise InputError(f"a block {block} does not fit shape {dense.shape}")
    counts = grid(dense.shape, block)
    edges = [(0, n * extent - size) for n, extent, size in zip(counts, block, dense.shape, strict=True)]
    split = np.pad(dense, edges).reshape([part for pair in zip(counts, block, strict=True) for part in pair])
    axes = (*range(0, 2 * dense.ndim, 2), *range(1, 2 * dense.ndim, 2))
    return split.transpose(axes).reshape(prod(counts), prod(block))


def unblocked(blocks: Array, shape: Shape, block: Shape) -> Array:
    """The inverse of `blocked`."""
    counts = grid(shape, block)
    rank = len(shape)
    axes = [axis for pair in zip(range(rank), range(rank, 2 * rank), strict=True) for axis in pair]
    whole = blocks.reshape(*counts, *block).transpose(axes)
    return whole.reshape([n * extent for n, extent in zip(counts, block, strict=True)])[tuple(map(slice, shape))]


def _groups(dense: Array, m: int) -> Array:
    rows = dense.reshape(len(dense), -1)
    return np.pad(rows, [(0, 0), (0, -rows.shape[1] % m)]).reshape(-1, m)
