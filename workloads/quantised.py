"""Layer kinds of quantised networks: thresholds that count, and the rounding that turns real inputs into integers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sim.errors import InputError
from workloads.execute import _forward
from workloads.ops import Op
from workloads.tensor import Array, Shape


@dataclass(frozen=True, slots=True)
class Threshold(Op):
    """base + step * (number of the channel's `levels` thresholds that x exceeds); `strict` is x > t, else x >= t."""

    levels: int
    base: int = -1
    step: int = 2
    strict: bool = True
    kind: ClassVar[str] = "threshold"

    def parameters(self, *inputs: Shape) -> Mapping[str, Shape]:
        return {"thresholds": (inputs[0][0], self.levels)}


@dataclass(frozen=True, slots=True)
class Quantise(Op):
    """clip(floor(gain * x + offset + 0.5), low, high); `channels_last` input becomes channels first."""

    gain: float
    offset: float
    low: int
    high: int
    channels_last: bool = False
    kind: ClassVar[str] = "quantise"

    def output(self, *inputs: Shape) -> Shape:
        if self.channels_last and len(inputs[0]) != 3:
            raise InputError(f"channels last needs (rows, columns, channels), not {inputs[0]}")
        return (inputs[0][2], *inputs[0][:2]) if self.channels_last else inputs[0]


@_forward.register
def _(op: Threshold, params: Mapping[str, Array], x: Array) -> Array:
    limits = params["thresholds"].reshape(-1, op.levels, *[1] * (x.ndim - 2))
    count = np.zeros(x.shape, np.int32)
    for level in range(op.levels):
        count += x > limits[:, level] if op.strict else x >= limits[:, level]
    return op.base + op.step * count


@_forward.register
def _(op: Quantise, params: Mapping[str, Array], x: Array) -> Array:
    whole = np.clip(np.floor(op.gain * x.astype(np.float64) + op.offset + 0.5), op.low, op.high).astype(np.int32)
    return np.moveaxis(whole, -1, 1) if op.channels_last else whole
