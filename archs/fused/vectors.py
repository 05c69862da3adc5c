"""The innermost loop of the convolution in vector registers, written in LLVM's own vector types.

A loop compiled from Python keeps its sums in memory and fetches them again for every few products. Here the sums of a few
pixels and many output maps stay in registers over all their products. Each sum still takes one product after another:
lanes are different output maps, and no multiply-add is fused, so results do not depend on the width of the registers.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

INDEX = ir.IntType(64)
PIXELS = 6
"""Pixels at a time: with `VECTORS` their sums fill most of the registers."""


def _registers() -> tuple[int, int]:
    """(bytes of a vector, vectors of output maps at a time) of this computer."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 4
    return (32, 2) if features.get("avx2") else (16, 4)


BYTES, VECTORS = _registers()


def _add_products(
    typing: Any, pixels: Any, vectors: Any, x: Any, starts: Any, at: Any, offsets: Any, first: Any, last: Any,
    weight: Any, column: Any, sums: Any, place: Any,
) -> tuple[Any, Callable[..., Any]] | None:  # fmt: skip
    """sums[p, place + m] += x[starts[p] + offsets[k]] * weight[k, column + m] for k from `first` to before `last`, in order.

    `pixels` of them from p = `at` on, and lanes * `vectors` of m, both literal. All arrays are contiguous, x, weight
    [products, maps] and sums [pixels, maps] of one type; starts and offsets are int64.
    """
    if not isinstance(pixels, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None
    size, kind = (pixels.literal_value, vectors.literal_value), weight.dtype
    signature = types.void(pixels, vectors, x, starts, at, offsets, first, last, weight, column, sums, place)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def array(number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, args[number])

        weights, sums = Rows(builder, array(8), INDEX(0), args[9]), Rows(builder, array(10), args[4], args[11])
        starts = builder.gep(array(3).data, [args[4]])
        _block(builder, kind, size, array(2).data, starts, array(5).data, args[6], args[7], weights, sums)
        return context.get_dummy_value()

    return signature, generate


add_products: Any = intrinsic(prefer_literal=True)(_add_products)
"""What compiled code calls, without `typing`."""


class Rows:
    """Vectors of a contiguous matrix, from a row and a column on."""

    def __init__(self, builder: ir.IRBuilder, array: Any, row: Any, column: Any) -> None:
        self.builder, self.step = builder, builder.extract_value(array.shape, 1)
        self.data = builder.gep(array.data, [builder.add(builder.mul(row, self.step), column)])

    def place(self, row: Any, lane: int, vector: ir.VectorType) -> Any:
        """Where the vector from `lane` on of a row is."""
        element = self.builder.add(self.builder.mul(row, self.step), INDEX(lane))
        return self.builder.bitcast(self.builder.gep(self.data, [element]), vector.as_pointer())


def _block(
    b: ir.IRBuilder, kind: Any, size: tuple[int, int], x: Any, starts: Any, offsets: Any, first: Any, last: Any,
    weights: Rows, sums: Rows,
) -> None:  # fmt: skip
    """The loop over k with all sums in registers."""
    lanes, width = BYTES * 8 // kind.bitwidth, kind.bitwidth // 8
    vector = ir.VectorType(x.type.pointee, lanes)
    pixels = [b.gep(x, [b.load(b.gep(starts, [INDEX(p)]))]) for p in range(size[0])]
    places = [sums.place(INDEX(p), v * lanes, vector) for p in range(size[0]) for v in range(size[1])]
    before = [b.load(place, align=width) for place in places]
    entry, loop, end = b.block, b.append_basic_block("products"), b.append_basic_block("done")
    b.branch(loop)
    b.position_at_end(loop)
    k, held = b.phi(INDEX), [b.phi(vector) for _ in places]
    row = [b.load(weights.place(k, v * lanes, vector), align=width) for v in range(size[1])]
    offset = b.load(b.gep(offsets, [k]))
    values = [_spread(b, b.load(b.gep(pixel, [offset])), vector) for pixel in pixels]
    pairs = [(value, weight) for value in values for weight in row]
    after = [_added(b, kind, total, *pair) for total, pair in zip(held, pairs, strict=True)]
    following = b.add(k, INDEX(1))
    for phi, start, step in zip((k, *held), (first, *before), (following, *after), strict=True):
        phi.add_incoming(start, entry)
        phi.add_incoming(step, loop)
    b.cbranch(b.icmp_signed("<", following, last), loop, end)
    b.position_at_end(end)
    for value, place in zip(after, places, strict=True):
        b.store(value, place, align=width)


def _spread(b: ir.IRBuilder, value: Any, vector: ir.VectorType) -> Any:
    """One value in every lane."""
    nothing, number = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    one = b.insert_element(nothing, value, number(0))
    return b.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(number, vector.count), [0] * vector.count))


def _added(b: ir.IRBuilder, kind: Any, total: Any, value: Any, weight: Any) -> Any:
    """total + value * weight, rounded twice as two instructions do."""
    if isinstance(kind, types.Float):
        return b.fadd(total, b.fmul(value, weight))
    return b.add(total, b.mul(value, weight))
