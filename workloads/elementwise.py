"""Layer kinds that compute on values without weights: functions of each value, softmax, reductions, normalisations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np
import scipy

from sim.errors import InputError, nearest
from workloads.execute import _forward, sigmoid
from workloads.ops import Op
from workloads.tensor import Array, Shape

Function = Callable[..., Array]


def _divide(a: Array, b: Array) -> Array:
    """Integers divide toward zero, as ONNX has it."""
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
        quotient: Array = a / b
        return quotient
    return np.asarray((np.sign(a) * np.sign(b) * (np.abs(a) // np.maximum(np.abs(b), 1))).astype(a.dtype))


def _gelu(x: Array, tanh: float = 0) -> Array:
    inner = np.tanh(0.7978845608 * (x + 0.044715 * x**3)) if tanh else scipy.special.erf(x * 0.7071067811865476)
    return np.asarray(0.5 * x * (1 + inner.astype(x.dtype)))


UNARY: dict[str, Function] = {
    "abs": np.abs, "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "floor": np.floor,
    "ceil": np.ceil, "round": np.rint, "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "sigmoid": sigmoid, "not": np.logical_not, "isnan": np.isnan,
    "isinf": np.isinf,
    "reciprocal": lambda x: 1 / x,
    "erf": lambda x: scipy.special.erf(x).astype(x.dtype),
    "gelu": _gelu,
    "softplus": lambda x: np.logaddexp(x, np.zeros((), x.dtype)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hardsigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "swish": lambda x, alpha=1.0: x * sigmoid(alpha * x),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, np.zeros((), x.dtype))),
    "clip": np.clip,
    "scale": lambda x, factor: factor * x,  # an integer x becomes real: see `_forward`
    "leakyrelu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "selu": lambda x, alpha, gamma: gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "celu": lambda x, alpha: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    "thresholdedrelu": lambda x, alpha: np.where(x > alpha, x, 0),
    "shrink": lambda x, bias, lambd: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)),
    "to_int64": lambda x: np.trunc(x).astype(np.int64), "to_float32": lambda x: x.astype(np.float32),
    "to_bool": lambda x: x != 0,
}  # fmt: skip
"""Functions of one value and of constants that follow it."""

BINARY: dict[str, Function] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": _divide, "pow": np.power, "fmod": np.fmod,
    "mod": np.mod, "max": np.maximum, "min": np.minimum, "equal": np.equal, "less": np.less, "greater": np.greater,
    "lessorequal": np.less_equal, "greaterorequal": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor,
    "prelu": lambda x, slope: np.where(x < 0, slope * x, x),
}  # fmt: skip
"""Functions of two tensors, or of more by folding from the left."""

REDUCE: dict[str, Callable[..., Any]] = {
    "sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod, "argmax": np.argmax,
    "argmin": np.argmin,
    "l1": lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims),
    "l2": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
    "sumsquare": lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
    "logsum": lambda x, axis, keepdims: np.log(np.sum(x, axis=axis, keepdims=keepdims)),
    "logsumexp": lambda x, axis, keepdims: scipy.special.logsumexp(x, axis=axis, keepdims=keepdims),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Elementwise(Op):
    """A function of each value: of one input and constant `values`, or of several inputs broadcast like numpy's."""

    function: str
    values: tuple[float, ...] = ()
    kind: ClassVar[str] = "elementwise"
    arity: ClassVar[tuple[int, int]] = (1, 1 << 30)

    def output(self, *inputs: Shape) -> Shape:
        if self.function not in {*UNARY, *BINARY, "where"}:
            raise InputError(f"unknown function {self.function}, {nearest(self.function, {*UNARY, *BINARY})}")
        try:
            return tuple(np.broadcast_shapes(*inputs))
        except ValueError:
            raise InputError(f"shapes {' and '.join(map(str, inputs))} do not broadcast") from None


@dataclass(frozen=True, slots=True)
class Softmax(Op):
    """exp(x) / sum of exp(x) along `axis`, or its logarithm."""

    axis: int
    log: bool = False
    kind: ClassVar[str] = "softmax"


@dataclass(frozen=True, slots=True)
class Reduce(Op):
    """Sum, mean, max ... along `axes`, which stay as size 1 where `keep` is true."""

    function: str
    axes: tuple[int, ...]
    keep: bool = True
    kind: ClassVar[str] = "reduce"

    def output(self, *inputs: Shape) -> Shape:
        if self.function not in REDUCE:
            raise InputError(f"unknown reduction {self.function}, {nearest(self.function, REDUCE)}")
        kept = [
            1 if axis in self.axes else size
            for axis, size in enumerate(inputs[0])
            if self.keep or axis not in self.axes
        ]
        return tuple(kept) or (1,)


@dataclass(frozen=True, slots=True)
class Normalise(Op):
    """(x - mean) / sqrt(variance + epsilon) along `axes`; without `centre`, x / sqrt(mean of x^2 + epsilon)."""

    axes: tuple[int, ...]
    epsilon: float = 1e-5
    centre: bool = True
    kind: ClassVar[str] = "normalise"


@_forward.register
def _(op: Elementwise, params: Mapping[str, Array], *arrays: Array) -> Array:
    rank = max(array.ndim for array in arrays)
    level = [array.reshape(len(array), *[1] * (rank - array.ndim), *array.shape[1:]) for array in arrays]
    with np.errstate(all="ignore"):
        if op.function == "where":
            return np.where(*level)
        if len(level) == 1 and op.function in UNARY:
            x = level[0].astype(np.float32) if op.function == "scale" and level[0].dtype.kind != "f" else level[0]
            values = [
                np.asarray(value, x.dtype) if np.isfinite(value) or x.dtype.kind == "f" else None for value in op.values
            ]
            return np.asarray(UNARY[op.function](x, *values))
        return reduce(BINARY[op.function], level)


@_forward.register
def _(op: Softmax, params: Mapping[str, Array], x: Array) -> Array:
    result: Array = (scipy.special.log_softmax if op.log else scipy.special.softmax)(x, axis=op.axis + 1)
    return result


@_forward.register
def _(op: Reduce, params: Mapping[str, Array], x: Array) -> Array:
    axes = tuple(axis + 1 for axis in op.axes)
    axis: Any = axes[0] if op.function.startswith("arg") else axes
    result = np.asarray(REDUCE[op.function](x, axis=axis, keepdims=op.keep))
    return result.reshape(len(x), *op.output(x.shape[1:]))


@_forward.register
def _(op: Normalise, params: Mapping[str, Array], x: Array) -> Array:
    axes = tuple(axis + 1 for axis in op.axes)
    centred = x - x.mean(axis=axes, keepdims=True) if op.centre else x
    result: Array = centred / np.sqrt((centred * centred).mean(axis=axes, keepdims=True) + op.epsilon)
    return result
