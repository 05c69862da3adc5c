"""The same numbers by plain matrix products and comparisons on decoded tensors; knows no word, fold or popcount."""

import numpy as np

from archs.finn.chain import Chain, Matrix, Pooling
from workloads.execute import forward
from workloads.ops import Linear, Pool
from workloads.tensor import Array, decode

CHUNK = 250
"""Images at a time."""
EXACT = 1 << 24
"""Whole numbers up to this are exact in single precision, and so are all partial sums below it."""


def run(chain: Chain, images: Array) -> dict[str, Array]:
    """Every unit's result by name, as the machine would hold it."""
    parts: dict[str, list[Array]] = {}
    for first in range(0, len(images), CHUNK):
        values = np.asarray(images[first : first + CHUNK])
        for layer in chain.host:
            values = forward(layer.op, layer.params, [values])
        for unit in chain.units:
            values = _pool(unit, values) if isinstance(unit, Pooling) else _matrix(unit, values)
            bits = unit is chain.units[-1] and unit.outgoing.bipolar
            parts.setdefault(unit.output, []).append((values > 0 if bits else values).astype(np.int32))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _pool(unit: Pooling, values: Array) -> Array:
    return forward(Pool("max", (unit.window,) * 2, (unit.window,) * 2), {}, [values])


def _matrix(unit: Matrix, values: Array) -> Array:
    assert unit.weight is not None
    if isinstance(unit.op, Linear):
        values = values.reshape(len(values), -1)
    weight = np.asarray(decode(unit.weight))
    largest = unit.columns * int(np.abs(weight).max(initial=1)) * (1 << unit.incoming.bits)
    real = np.float32 if largest < EXACT else np.float64
    sums = forward(unit.op, {"weight": weight.astype(real), "bias": np.zeros(unit.rows, real)}, [values.astype(real)])
    sums = sums.astype(np.int64)
    if unit.rule is None or unit.thresholds is None:
        return (sums + unit.columns) // 2 if unit.xnor else sums
    return forward(unit.rule, {"thresholds": _limits(unit)}, [sums])


def _limits(unit: Matrix) -> Array:
    """Thresholds on the plain sum, one row per channel."""
    assert unit.thresholds is not None
    limits = decode(unit.thresholds)
    return np.broadcast_to(limits, (unit.rows, limits.shape[1]))
