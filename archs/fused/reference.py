"""The same numbers by plain numpy over whole maps: no tiles, no buffers, nothing of the datapath.

In float32 a convolution adds its products in the machine's order (`ordered`), so both must agree to the last bit. `blas`
takes matrix products instead, in whatever order they sum.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from archs.fused import ordered
from archs.fused.arithmetic import Arithmetic
from archs.fused.stack import Node, Stack
from workloads import ops
from workloads.execute import forward
from workloads.tensor import Array


def reference(
    found: Stack, arithmetic: Arithmetic, entries: Mapping[str, Array], blas: bool = False
) -> dict[str, Array]:
    """Every map of the stack from `entries` [images, maps, rows, columns], as the machine stores them."""
    values = dict(entries)
    for unit in found.units:
        for node in unit:
            operands = [_joined([values[name] for name in names]) for names in node.operands]
            values[node.name] = _layer(node, operands, arithmetic, blas)
    return {node.name: values[node.name] for unit in found.units for node in unit}


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _layer(node: Node, operands: list[Array], arithmetic: Arithmetic, blas: bool) -> Array:
    op = node.layer.op
    if arithmetic.bits:
        return _fixed(node, operands, arithmetic)
    params = {name: node.layer.array(name).astype(arithmetic.dtype, copy=False) for name in node.layer.params}
    if not isinstance(op, ops.Conv) or operands[0].dtype != np.float32 or blas:
        return forward(op, params, operands).astype(arithmetic.dtype, copy=False)
    sums = [ordered.convolve(op, params["weight"], image) for image in operands[0]]
    total = sums[0][None] if len(sums) == 1 else np.stack(sums)
    if "bias" in params:
        total += params["bias"][:, None, None]
    return total


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
