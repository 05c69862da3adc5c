"""QONNX, FINN-ONNX and QCDQ networks as whole-number layers: matrices of integers and thresholds between them.

The graph is walked once. What flows is an integer tensor with a pending `gain * z + offset` (scalar or per channel):
scales, batch norms and biases only change that, and the next quantiser turns it into thresholds on z. A negative gain
flips the rows of the matrix before it. So the result computes the same function without a single real number inside.

Operators: Quant, BipolarQuant, Trunc (QONNX), MultiThreshold (FINN), QuantizeLinear, Clip, DequantizeLinear (QCDQ), Conv,
MatMul, Gemm, BatchNormalization, Add, Sub, Mul, Div, Relu, MaxPool, shapes, and TopK or ArgMax at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.errors import InputError
from workloads.network import Layer, Network
from workloads.ops import BatchNorm, Conv, Flatten, Linear, Pool
from workloads.quantised import Threshold

Real = npt.NDArray[np.floating[Any]]
NEVER = float(1 << 40)
MOST_THRESHOLDS = 1 << 22
"""Of one layer: many times what any network has."""
QUANTISERS = ("Quant", "BipolarQuant", "Trunc", "MultiThreshold", "QuantizeLinear")
FREE = ("Identity", "Unsqueeze", "Squeeze", "TopK", "ArgMax", "Softmax", "Cast")
"""Operators that change nothing about the numbers of a chain; the last ones only rank them."""


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Quantiser levels `low..high` of x / scale + zero, still to be turned into thresholds (QCDQ spreads it over nodes)."""

    scale: float
    zero: float
    low: int
    high: int


@dataclass(frozen=True, eq=False, slots=True)
class Flow:
    """The tensor that runs through the network: layer `name` gives z; the value is gain * z + offset."""

    name: str
    shape: tuple[int, ...]
    gain: Real
    offset: Real
    whole: bool = False
    relu: bool = False
    steps: Steps | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Whole:
    """A constant of whole numbers times a scale that broadcasts."""

    numbers: npt.NDArray[np.int64]
    scale: Real


Value = Flow | Whole | npt.NDArray[Any]


def quantised(path: str | Path) -> bool:
    """Whether an ONNX file holds quantised operators of the kinds read here."""
    nodes = _model(path).graph.node
    return any(node.op_type in QUANTISERS or node.domain.startswith(("finn", "qonnx")) for node in nodes)


def read_qonnx(path: str | Path) -> Network:
    """The integer network of a quantised ONNX file; InputErrors name the node."""
    return _Reader(path).read()


def _model(path: str | Path) -> Any:
    from workloads.onnx_model import load_model

    try:
        return load_model(Path(path))
    except InputError as error:
        raise InputError(error.message, where=str(path), setting=error.setting) from None


class _Reader:
    def __init__(self, path: str | Path) -> None:
        from onnx import numpy_helper

        self.path, self.model = str(path), _model(path)
        graph = self.model.graph
        self.values: dict[str, Value] = {}
        for tensor in graph.initializer:
            self.values[tensor.name] = np.asarray(numpy_helper.to_array(tensor))
        entries = [entry for entry in graph.input if entry.name not in self.values]
        if len(entries) != 1:
            raise InputError(f"{len(entries)} inputs; allowed: one", where=self.path)
        sizes = [d.dim_value for d in entries[0].type.tensor_type.shape.dim]
        if len(sizes) < 2 or min(sizes[1:]) < 1:
            raise InputError(f"the input has shape {sizes}; allowed: sizes that are known", where=self.path)
        self.shape = tuple(sizes[1:])
        self.layers: list[Layer] = []
        self.notes: list[str] = []
        self.values[entries[0].name] = Flow("x", self.shape, np.array(1.0), np.array(0.0))

    def read(self) -> Network:
        from onnx import helper

        for node in self.model.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [self.values.get(name) if name else None for name in node.input]
            try:
                results = self._node(node.op_type, inputs, attributes)
            except InputError as error:
                named = node.name or (node.output[0] if node.output else "?")
                raise InputError(error.message, where=self.path, setting=f"{node.op_type} {named}") from None
            for name in node.output:
                self.values[name] = results
        return self._finished()

    def _finished(self) -> Network:
        last = self.values[self.model.graph.output[-1].name]
        if (
            isinstance(last, Flow)
            and last.gain.size == 1
            and last.offset.size == 1
            and (last.gain != 1 or last.offset.any())
        ):
            unit = f"{float(last.gain):g} times the whole numbers"
            self.notes.append(f"outputs are {unit}" + (f", {float(last.offset):+g}" if last.offset.any() else ""))
        if isinstance(last, Flow) and (last.gain.size > 1 or last.offset.size > 1 or (last.gain < 0).any()):
            ones = np.ones(last.shape[0])
            scale = {"gamma": ones * last.gain, "beta": ones * last.offset, "mean": 0 * ones, "var": ones}
            self.layers.append(Layer("scores", BatchNorm(0.0), (last.name,), scale))
        if not any(isinstance(layer.op, Linear | Conv) for layer in self.layers):
            raise InputError("no matrix", where=self.path)
        return Network(Path(self.path).stem, {"x": self.shape}, self.layers, notes=tuple(self.notes))

    def _node(self, op: str, inputs: list[Any], at: dict[str, Any]) -> Any:
        flows = [value for value in inputs if isinstance(value, Flow)]
        if len(flows) > 1:
            raise InputError("joins two streams; allowed: chains of layers")
        if op == "Shape" and flows:
            return np.array([1, *flows[0].shape])
        if not flows:
            return _constant(op, inputs, at)
        take: Callable[..., Value] | None = getattr(self, f"_{op.lower()}", None)
        if op in FREE:
            return flows[0]
        if take is None:
            raise InputError("an operator outside the set; allowed: " + ", ".join(sorted(OPERATORS)))
        return take(inputs, at)

    def _reshape(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        return self._flat(inputs[0])

    def _flatten(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        return self._flat(inputs[0])

    def _flat(self, flow: Flow) -> Flow:
        if len(flow.shape) == 1:
            return flow
        if flow.gain.size > 1 or flow.offset.size > 1:
            raise InputError("a reshape between a scale per channel and its quantiser")
        name = self.append(Layer(self._new("flatten"), Flatten(), (flow.name,)))
        return replace(flow, name=name, shape=(int(np.prod(flow.shape)),))

    def _transpose(self, inputs: list[Any], at: dict[str, Any]) -> Any:
        if list(at.get("perm", ())) != list(range(len(inputs[0].shape) + 1)):
            raise InputError("a transpose of activations")
        return inputs[0]

    def _mul(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow, by = _split(inputs)
        return _affine(flow, by, np.array(0.0))

    def _div(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        if not isinstance(inputs[0], Flow):
            raise InputError("a division by activations")
        return _affine(inputs[0], 1.0 / _vector(inputs[1]), np.array(0.0))

    def _add(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow, by = _split(inputs)
        return _affine(flow, np.array(1.0), by)

    def _sub(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow, by = _split(inputs)
        if isinstance(inputs[0], Flow):
            return _affine(flow, np.array(1.0), -by)
        return _affine(flow, np.array(-1.0), by)

    def _batchnormalization(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        gamma, beta, mean, var = (_vector(value) for value in inputs[1:5])
        gain = gamma / np.sqrt(var + at.get("epsilon", 1e-5))
        return _affine(inputs[0], gain, beta - mean * gain)

    def _relu(self, inputs: list[Any], at: dict[str, Any]) -> Any:
        return replace(inputs[0], relu=True)

    def _bipolarquant(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        """scale * (+1 where x >= 0, else -1)."""
        flow, scale = inputs[0], _scalar(inputs[1])
        name, flow = self._thresholds(flow, np.array([0.0]), np.array([True]), -1, 2)
        return Flow(name, flow.shape, np.array(scale), np.array(0.0), True)

    def _quant(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow, scale, zero, bits = inputs[0], _scalar(inputs[1]), _scalar(inputs[2]), int(_scalar(inputs[3]))
        if at.get("rounding_mode", b"ROUND").upper() != b"ROUND":
            raise InputError(f"rounding {at['rounding_mode'].decode()}; allowed: ROUND")
        return self._quantise(flow, Steps(scale, zero, *level_range(bits, at.get("signed", 1), at.get("narrow", 0))))

    def _quantise(self, flow: Flow, steps: Steps) -> Flow:
        """clip(round(x / scale + zero)), ties to even, as thresholds."""
        marks = np.arange(*_levels(steps.low, steps.high))
        crossings = (marks - 0.5 - steps.zero) * steps.scale
        if steps.scale <= 0:
            raise InputError(f"scale {steps.scale}; allowed: above 0")
        name, flow = self._thresholds(flow, crossings, marks % 2 == 0, steps.low, 1)
        return Flow(name, flow.shape, np.array(steps.scale), np.array(-steps.scale * steps.zero), True)

    def _trunc(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        """Drops the lowest bits: floor(z / 2**(in - out))."""
        flow, scale, zero, had, keeps = (inputs[0], *(_scalar(value) for value in inputs[1:5]))
        step = 2.0 ** (had - keeps)
        low, high = level_range(int(keeps), at.get("signed", 1), 0)
        marks = np.arange(*_levels(low, high))
        crossings = (marks * step - zero) * scale
        name, flow = self._thresholds(flow, crossings, np.ones(len(marks), np.bool_), low, 1)
        return Flow(name, flow.shape, np.array(scale * step), np.array(-scale * zero), True)

    def _multithreshold(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        """out_scale * (thresholds not above x) + out_bias."""
        flow, limits = inputs[0], np.asarray(inputs[1], np.float64)
        scale, bias = float(at.get("out_scale", 1.0)), float(at.get("out_bias", 0.0))
        plain = scale.is_integer() and bias.is_integer() and scale > 0
        base, step = (int(bias), int(scale)) if plain else (0, 1)
        inclusive = np.ones(limits.shape[1], np.bool_)
        name, flow = self._thresholds(flow, limits, inclusive, base, step)
        gain, offset = (1.0, 0.0) if plain else (scale, bias)
        return Flow(name, flow.shape, np.array(gain), np.array(offset), True)

    def _quantizelinear(self, inputs: list[Any], at: dict[str, Any]) -> Any:
        zero = np.asarray(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else np.array(0, np.uint8)
        kind = np.iinfo(zero.dtype)
        return replace(inputs[0], steps=Steps(_scalar(inputs[1]), float(zero), int(kind.min), int(kind.max)))

    def _clip(self, inputs: list[Any], at: dict[str, Any]) -> Any:
        flow, limits = inputs[0], [_scalar(value) for value in inputs[1:3]]
        if flow.steps is None or len(limits) < 2:
            raise InputError("a clip that does not stand between QuantizeLinear and DequantizeLinear")
        steps = replace(flow.steps, low=max(flow.steps.low, int(limits[0])), high=min(flow.steps.high, int(limits[1])))
        return replace(flow, steps=steps)

    def _dequantizelinear(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow = inputs[0]
        if flow.steps is None:
            raise InputError("a DequantizeLinear without its QuantizeLinear")
        return self._quantise(replace(flow, steps=None), flow.steps)

    def _matmul(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        if not isinstance(inputs[0], Flow):
            raise InputError("weights on the left")
        weight = _whole(inputs[1])
        return self._matrix(inputs[0], Whole(weight.numbers.T, weight.scale.T), None)

    def _gemm(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        weight = _whole(inputs[1])
        if at.get("transA", 0) or at.get("alpha", 1.0) != 1.0:
            raise InputError("transA or alpha")
        if not at.get("transB", 0):
            weight = Whole(weight.numbers.T, weight.scale.T)
        return self._matrix(inputs[0], weight, inputs[2] if len(inputs) > 2 else None)

    def _matrix(self, flow: Flow, weight: Whole, bias: Any) -> Flow:
        flow = self._flat(flow)
        name = self._new("fc")
        self.append(Layer(name, Linear(len(weight.numbers), bias=False), (flow.name,), {"weight": weight.numbers},
                              {"weight": _bits(weight.numbers)}))  # fmt: skip
        return _product(flow, name, (len(weight.numbers),), weight, weight.numbers.sum(axis=1), bias)

    def _conv(self, inputs: list[Any], at: dict[str, Any]) -> Flow:
        flow, weight = inputs[0], _whole(inputs[1])
        rank = weight.numbers.ndim - 2
        pads, strides = tuple(at.get("pads", (0,) * 2 * rank)), tuple(at.get("strides", (1,) * rank))
        op = Conv(len(weight.numbers), weight.numbers.shape[2:], strides, pads, at.get("group", 1),
                  tuple(at.get("dilations", (1,) * rank)), bias=False)  # fmt: skip
        if any(pads) and flow.offset.any():
            raise InputError("padding of an input with a zero point")
        name = self._new("conv")
        self.append(Layer(name, op, (flow.name,), {"weight": weight.numbers}, {"weight": _bits(weight.numbers)}))
        sums = weight.numbers.reshape(len(weight.numbers), -1).sum(axis=1)
        return _product(flow, name, op.output(flow.shape), weight, sums, inputs[2] if len(inputs) > 2 else None)

    def _maxpool(self, inputs: list[Any], at: dict[str, Any]) -> Any:
        flow, kernel = inputs[0], tuple(at["kernel_shape"])
        if (flow.gain < 0).any():
            raise InputError("max pooling of a tensor with a negative scale")
        op = Pool(
            "max", kernel, tuple(at.get("strides", (1,) * len(kernel))), tuple(at.get("pads", (0,) * 2 * len(kernel)))
        )
        name = self.append(Layer(self._new("pool"), op, (flow.name,)))
        return replace(flow, name=name, shape=op.output(flow.shape))

    def _thresholds(
        self, flow: Flow, crossings: Real, inclusive: npt.NDArray[np.bool_], base: int, step: int
    ) -> tuple[str, Flow]:
        """A threshold layer where gain * z + offset meets `crossings` ([T] or [channels, T]); its name."""
        channels = flow.shape[0]
        if channels * np.shape(crossings)[-1] > MOST_THRESHOLDS:
            raise InputError(f"{channels} channels of {np.shape(crossings)[-1]} thresholds; allowed: {MOST_THRESHOLDS}")
        gain, offset = np.broadcast_to(flow.gain, channels), np.broadcast_to(flow.offset, channels)
        flow = self._upright(flow, gain)
        marks = np.broadcast_to(np.atleast_2d(crossings), (channels, np.shape(crossings)[-1]))
        size = np.abs(gain)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            real = (marks - offset[:, None]) / size
        always = (offset[:, None] >= marks) if (size == 0).any() else np.zeros_like(marks, np.bool_)
        real = np.where(size == 0, np.where(always, -NEVER, NEVER), real)
        if flow.relu:
            real = np.where((marks < 0) | ((marks == 0) & inclusive), -NEVER, real)
        real = np.clip(real, -NEVER, NEVER)
        if flow.whole:
            limits = np.where(inclusive, np.ceil(real) - 1, np.floor(real)).astype(np.int64)
        else:
            limits = np.where(inclusive, np.nextafter(real, -np.inf), real)
        name = self._new("threshold")
        rule = Threshold(limits.shape[1], base, step)
        return self.append(Layer(name, rule, (flow.name,), {"thresholds": limits})), flow

    def _upright(self, flow: Flow, gain: Real) -> Flow:
        """Rows of the matrix before are flipped where the gain is negative, so that all tests are 'greater'."""
        if not (gain < 0).any():
            return flow
        if not self.layers or self.layers[-1].name != flow.name or not isinstance(self.layers[-1].op, Linear | Conv):
            raise InputError("a negative scale that no matrix can take")
        layer = self.layers[-1]
        weight = layer.array("weight")
        signs = np.where(gain < 0, -1, 1).reshape(-1, *[1] * (weight.ndim - 1))
        self.layers[-1] = replace(layer, params={"weight": weight * signs})
        return flow

    def _new(self, kind: str) -> str:
        return f"{kind}{sum(layer.name.startswith(kind) for layer in self.layers)}"

    def append(self, layer: Layer) -> str:
        """Add a layer; its name."""
        self.layers.append(layer)
        return layer.name


OPERATORS = {*QUANTISERS, *FREE, "Clip", "DequantizeLinear", "Conv", "MatMul", "Gemm", "BatchNormalization", "Add", "Sub",
             "Mul", "Div", "Relu", "MaxPool", "Reshape", "Flatten", "Transpose"}  # fmt: skip


def _product(flow: Flow, name: str, shape: tuple[int, ...], weight: Whole, sums: Any, bias: Any) -> Flow:
    """What gain and offset become behind a matrix."""
    if flow.gain.size > 1 or flow.offset.size > 1:
        raise InputError("a scale per channel in front of a matrix")
    if flow.relu or flow.steps is not None or not flow.whole:
        raise InputError("its input is not quantised")
    scale = weight.scale.reshape(-1)
    if scale.size not in (1, len(weight.numbers)):
        raise InputError(f"a weight scale of shape {weight.scale.shape}; allowed: one, or one per output")
    offset = flow.offset * scale * sums if flow.offset.any() else np.array(0.0)
    if bias is not None:
        offset = offset + _vector(bias)
    return Flow(name, shape, flow.gain * (scale if scale.size > 1 else scale[0]), np.asarray(offset), True)


def _affine(flow: Flow, gain: Real, offset: Real) -> Flow:
    if flow.relu or flow.steps is not None:
        raise InputError("arithmetic between an activation and its quantiser")
    return replace(flow, gain=np.asarray(flow.gain * gain), offset=np.asarray(flow.offset * gain + offset))


def _split(inputs: list[Any]) -> tuple[Flow, Real]:
    flow = inputs[0] if isinstance(inputs[0], Flow) else inputs[1]
    return flow, _vector(inputs[1] if flow is inputs[0] else inputs[0])


def _vector(value: Any) -> Real:
    """A constant as a scalar or one value per channel."""
    if isinstance(value, Whole):
        value = value.numbers * value.scale
    if value is None:
        raise InputError("an input that is neither a constant nor the stream")
    flat = np.asarray(value, np.float64).reshape(-1)
    return flat[0].reshape(()) if flat.size == 1 else flat


def _scalar(value: Any) -> float:
    vector = _vector(value)
    if vector.size != 1:
        raise InputError(f"{vector.size} values; allowed: one for all activations")
    return float(vector)


def _levels(low: int, high: int) -> tuple[int, int]:
    """From where to where thresholds count: one below every level but the lowest."""
    if high - low > 1 << 12:
        raise InputError(f"{high - low} levels; allowed: up to {1 << 12}")
    return low + 1, high + 1


def level_range(bits: int, signed: int, narrow: int) -> tuple[int, int]:
    """Lowest and highest whole number of a quantiser."""
    if not 0 < bits <= 53:
        raise InputError(f"{bits} bits; allowed: 1 to 53")
    return (-(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1 - narrow)


def _bits(numbers: npt.NDArray[np.int64]) -> int:
    """Bits that hold all weights: one where all are -1 or +1, else two's complement."""
    if np.isin(numbers, (-1, 1)).all():
        return 1
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    return max(2, (-low - 1).bit_length() + 1, high.bit_length() + 1)


def _whole(value: Any) -> Whole:
    """Weights as whole numbers times a scale."""
    if isinstance(value, Whole):
        return value
    array = np.asarray(value, np.float64)
    if (array != np.rint(array)).any():
        raise InputError("weights that are not quantised")
    return Whole(array.astype(np.int64), np.array(1.0))


def constant_of(op: str, inputs: list[Any], at: dict[str, Any]) -> Real:
    """What a quantiser makes of a constant, as real numbers."""
    return _dense(_constant(op, inputs, at))


def _constant(op: str, inputs: list[Any], at: dict[str, Any]) -> Any:
    """Constants are worked out as the graph is read; quantised ones keep numbers and scale apart."""
    if any(value is None for value in inputs[:2]):
        raise InputError("an input that is not known before the run")
    real = [np.asarray(value, np.float64) if isinstance(value, np.ndarray) else value for value in inputs]
    match op:
        case "BipolarQuant":
            return Whole(np.where(_dense(real[0]) >= 0, 1, -1), np.asarray(real[1]))
        case "Quant":
            low, high = level_range(int(_scalar(inputs[3])), at.get("signed", 1), at.get("narrow", 0))
            scaled = np.clip(np.rint(_dense(real[0]) / real[1] + real[2]), low, high) - real[2]
            return Whole(scaled.astype(np.int64), np.asarray(real[1]))
        case "QuantizeLinear":
            zero = np.asarray(inputs[2]) if len(inputs) > 2 else np.array(0, np.uint8)
            kind, axis, rank = np.iinfo(zero.dtype), at.get("axis", 1), np.ndim(inputs[0])
            scaled = np.rint(_dense(real[0]) / _along(real[1], axis, rank)) + _along(zero, axis, rank)
            return np.clip(scaled, kind.min, kind.max).astype(zero.dtype)
        case "DequantizeLinear":
            zero = np.asarray(inputs[2], np.int64) if len(inputs) > 2 and inputs[2] is not None else np.array(0)
            axis, rank = at.get("axis", 1), np.ndim(inputs[0])
            numbers = np.asarray(inputs[0], np.int64) - _along(zero, axis, rank)
            return Whole(numbers, _along(real[1], axis, rank))
        case "Transpose":
            order = at.get("perm")
            if isinstance(inputs[0], Whole):
                scale = inputs[0].scale
                return Whole(inputs[0].numbers.transpose(order), scale.transpose(order) if scale.ndim > 1 else scale)
            return inputs[0].transpose(order)
        case "Clip":
            return np.clip(inputs[0], *(np.asarray(value) for value in inputs[1:3]))
        case "Pow":
            return np.power(real[0], real[1])
        case "Add" | "Sub" | "Mul" | "Div":
            work = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[op]
            return np.asarray(work(_dense(real[0]), _dense(real[1])))
        case "Gather":
            return np.take(inputs[0], np.asarray(inputs[1], np.int64), axis=at.get("axis", 0))
        case "Unsqueeze" | "Squeeze" | "Concat" | "Reshape" | "Identity" | "Cast":
            if op == "Concat":
                return np.concatenate([np.atleast_1d(value) for value in inputs], axis=at.get("axis", 0))
            return np.atleast_1d(inputs[0]) if op == "Unsqueeze" else inputs[0]
        case "Constant":
            from onnx import numpy_helper

            return np.asarray(numpy_helper.to_array(at["value"]))
    raise InputError("an operator outside the set on constants")


def _along(value: Any, axis: int, rank: int) -> Any:
    """A scale or zero point of every slice of an axis, in a shape that broadcasts over `rank` axes."""
    vector = np.asarray(value)
    if vector.ndim != 1 or vector.size < 2:
        return vector
    return vector.reshape(tuple(-1 if index == axis % rank else 1 for index in range(rank)))


def _dense(value: Any) -> Real:
    return value.numbers * value.scale if isinstance(value, Whole) else np.asarray(value, np.float64)
