"""The same numbers by plain numpy over whole maps: no tiles, no buffers, nothing of the datapath.

In float32 a convolution adds its products in the machine's order (kernel row, kernel column, input map), so both must
agree to the last bit. `blas` takes matrix products instead, in whatever order they sum.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from archs.fused.arithmetic import Arithmetic
from archs.fused.stack import Node, Stack
from workloads import ops
from workloads.execute import forward
from workloads.tensor import Array

BAND_VALUES = 1 << 14
"""Sums are taken for about this many values at a time, which stay in a core's cache."""


def reference(
    found: Stack, arithmetic: Arithmetic, entries: Mapping[str, Array], blas: bool = False
) -> dict[str, Array]:
    """Every map of the stack from `entries` [images, maps, rows, columns], as the machine stores them."""
    values = dict(entries)
    for unit in found.units:
        for node in unit:
            operands = [np.concatenate([values[name] for name in names], axis=1) for names in node.operands]
            values[node.name] = _layer(node, operands, arithmetic, blas)
    return {node.name: values[node.name] for unit in found.units for node in unit}


def _layer(node: Node, operands: list[Array], arithmetic: Arithmetic, blas: bool) -> Array:
    op = node.layer.op
    if arithmetic.bits:
        return _fixed(node, operands, arithmetic)
    if isinstance(op, ops.Conv) and operands[0].dtype == np.float32 and not blas:
        weight = node.layer.array("weight").astype(np.float32)
        sums = np.stack([in_order(op, weight, image) for image in operands[0]])
        return (
            sums + node.layer.array("bias").astype(np.float32)[:, None, None] if "bias" in node.layer.params else sums
        )
    params = {name: node.layer.array(name).astype(arithmetic.dtype) for name in node.layer.params}
    return forward(op, params, operands).astype(arithmetic.dtype)


def in_order(op: ops.Conv, weight: Array, image: Array) -> Array:
    """A convolution of one image that adds product after product: kernel row, kernel column, input map."""
    top, left, bottom, right = op.padding
    padded = np.pad(image, [(0, 0), (top, bottom), (left, right)])
    maps, rows, columns = op.output(image.shape)
    out = np.zeros((maps, rows, columns), image.dtype)
    outputs, inputs = maps // op.groups, weight.shape[1]
    band = max(1, BAND_VALUES // max(1, outputs * columns))
    for group in range(op.groups):
        mine = slice(group * outputs, (group + 1) * outputs)
        for first in range(0, rows, band):
            last = min(rows, first + band)
            total = np.zeros((outputs, last - first, columns), image.dtype)
            product = np.empty_like(total)
            for i, j in np.ndindex(*op.kernel):
                down, right_ = i * op.dilation[0] + first * op.stride[0], j * op.dilation[1]
                seen = padded[
                    group * inputs : (group + 1) * inputs,
                    down : down + (last - first - 1) * op.stride[0] + 1 : op.stride[0],
                    right_ : right_ + (columns - 1) * op.stride[1] + 1 : op.stride[1],
                ]
                for n in range(inputs):
                    np.multiply(weight[mine, n, i, j][:, None, None], seen[n], out=product)
                    np.add(total, product, out=total)
            out[mine, first:last] = total
    return out


def _fixed(node: Node, operands: list[Array], arithmetic: Arithmetic) -> Array:
    """Fixed point over whole maps, written with floor division instead of shifts."""
    op, numbers, x = node.layer.op, arithmetic.layers[node.name], operands[0].astype(np.int64)
    limit = 1 << (arithmetic.bits - 1)
    match op:
        case ops.Conv():
            sums = forward(replace(op, bias=False), {"weight": _unarranged(node, numbers.weight)}, [x])
            sums = sums if numbers.bias is None else sums + numbers.bias[:, None, None]
            found = _divided(sums, numbers.shift)
        case ops.BatchNorm():
            assert numbers.gain is not None and numbers.offset is not None
            found = _divided(x * numbers.gain[:, None, None] + numbers.offset[:, None, None], numbers.shift)
        case ops.Add():
            found = sum(operand.astype(np.int64) for operand in operands)  # type: ignore[assignment]
        case ops.Pool(mode="avg"):
            found = _rounded_mean(op, forward(op, {}, [x.astype(np.float64)]))
        case ops.Lrn():
            real = forward(op, {}, [operands[0].astype(np.float32) * np.float32(numbers.source_scale)])
            found = np.floor(real / np.float32(numbers.scale) + np.float32(0.5))
        case _:
            found = forward(op, {}, [x])
    return np.minimum(np.maximum(found, -limit), limit - 1).astype(arithmetic.dtype)


def _rounded_mean(op: ops.Pool, exact: Array) -> Array:
    """Means rounded half up; less than half of the smallest step absorbs the rounding of the division."""
    steps = 4.0 * op.kernel[0] * op.kernel[1]
    return np.floor(exact + 0.5 + 1 / steps).astype(np.int64)


def _divided(sums: Array, shift: int) -> Array:
    if shift <= 0:
        return sums * (1 << -shift)
    divided: Array = np.floor_divide(sums + (1 << (shift - 1)), 1 << shift)
    return divided


def _unarranged(node: Node, weight: Array | None) -> Array:
    """The kernel's weight back in the network's order."""
    assert weight is not None
    op = node.layer.op
    assert isinstance(op, ops.Conv)
    if weight.ndim == 3:
        return weight.transpose(2, 0, 1)[:, None].astype(np.int64)
    return weight.transpose(0, 4, 3, 1, 2).reshape(op.outputs, -1, *op.kernel).astype(np.int64)
