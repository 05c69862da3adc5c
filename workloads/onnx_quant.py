"""QONNX's quantisers (Quant, BipolarQuant, Trunc) and FINN's MultiThreshold on real numbers.

For quantised networks that are no chain of whole-number layers (`read_qonnx`): joined streams, resizing, padding of a
tensor with a zero point. What their nodes compute stays exact; what falls away is that it is written in integers.
"""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, TensorProto, helper

from workloads import elementwise, ops
from workloads.onnx_model import Foreign, Node, Value
from workloads.quantised import Threshold
from workloads.read_onnx import Handler, Importer, NotTaken, constant, leads, required, shape_of
from workloads.read_qonnx import constant_of, level_range
from workloads.tensor import Array, Shape


def result(proto: NodeProto, inputs: tuple[Value | None, ...]) -> list[Shape | Array] | None:
    """Quantised constants as numbers, everything else in the shape of its input."""
    first = inputs[0]
    if first is None or first.shape is None:
        return None
    numbers = [value.const if value is not None else None for value in inputs]
    if any(array is None for array in numbers) or proto.op_type not in ("Quant", "BipolarQuant"):
        return [first.shape]
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    return [constant_of(proto.op_type, numbers, attributes).astype(np.float32)]


def quant(net: Importer, node: Node) -> None:
    """scale * (clip(round(x / scale + zero), low, high) - zero)."""
    bits = int(constant(node, 3, "a bit width").reshape(-1)[0])
    low, high = level_range(bits, node.attribute("signed", 1), node.attribute("narrow", 0))
    rounding = _rounding(node, {"ROUND": "round", "FLOOR": "floor", "CEIL": "ceil"})
    _levels(net, node, 1.0, rounding, (low, high))


def trunc(net: Importer, node: Node) -> None:
    """The lowest bits of x / scale + zero dropped: floor(z / 2^(in - out)) 2^(in - out)."""
    had, kept = (int(constant(node, index, "a bit width").reshape(-1)[0]) for index in (3, 4))
    rounding = _rounding(node, {"FLOOR": "floor"}, "FLOOR")
    _levels(net, node, 2.0 ** (had - kept), rounding, (-float("inf"), float("inf")))


def _levels(net: Importer, node: Node, unit: float, rounding: str, limits: tuple[float, float]) -> None:
    scale, zero = _held(net, node, 1, "scale"), _held(net, node, 2, "zero")

    def step(part: str, name: str, source: str, *others: str, values: tuple[float, ...] = ()) -> str:
        return net.add(f"{node.name}_{part}", elementwise.Elementwise(name, values), [source, *others], shape)

    shape = shape_of(node.outputs[0])
    moved = step("moved", "add", step("scaled", "div", net.holder(required(node, 0)), scale), zero)
    if unit != 1.0:
        moved = step("unit", "scale", moved, values=(1 / unit,))
    whole = step("clipped", "clip", step("rounded", rounding, moved), values=limits)
    if unit != 1.0:
        whole = step("back", "scale", whole, values=(unit,))
    net.put(node, elementwise.Elementwise("mul"), [step("centred", "sub", whole, zero), scale])


def bipolar(net: Importer, node: Node) -> None:
    """scale * (+1 where x >= 0, else -1)."""
    signs = net.add(f"{node.name}_sign", ops.Sign(), [net.holder(required(node, 0))], shape_of(node.outputs[0]))
    net.put(node, elementwise.Elementwise("mul"), [signs, _held(net, node, 1, "scale")])


def multithreshold(net: Importer, node: Node) -> None:
    """out_scale * (thresholds not above x) + out_bias; channels first."""
    x, limits = required(node, 0), constant(node, 1, "thresholds")
    layout = node.attribute("data_layout", b"NCHW")
    if not leads(shape_of(x)) or (layout in (b"NHWC", "NHWC") and len(shape_of(x)) > 2):
        raise NotTaken("channels last")
    channels = shape_of(x)[1]
    rule = Threshold(limits.shape[1], 0, 1, strict=False)
    each = {"thresholds": np.broadcast_to(limits, (channels, limits.shape[1]))}
    shape = shape_of(node.outputs[0])
    made = net.add(f"{node.name}_count", rule, [net.holder(x)], shape, params=each)
    made = net.add(
        f"{node.name}_scaled",
        elementwise.Elementwise("scale", (float(node.attribute("out_scale", 1.0)),)),
        [made],
        shape,
    )
    bias = Value(f"{node.name}_bias", (), TensorProto.FLOAT, np.full((), node.attribute("out_bias", 0.0), np.float32))
    net.put(node, elementwise.Elementwise("add"), [made, net.holder(bias)])


def _held(net: Importer, node: Node, index: int, what: str) -> str:
    """The layer of a scale or zero point, of one value or one for every channel."""
    array = constant(node, index, f"a {what}").astype(np.float32)
    return net.holder(Value(f"{node.name}_{what}", array.shape, TensorProto.FLOAT, array))


def _rounding(node: Node, known: Mapping[str, str], default: str = "ROUND") -> str:
    name = node.attribute("rounding_mode", default)
    name = name.decode() if isinstance(name, bytes) else name
    if name.upper() not in known:
        raise NotTaken(f"rounding {name}")
    return known[name.upper()]


HANDLERS: dict[str, Handler] = {
    "Quant": quant, "IntQuant": quant, "BipolarQuant": bipolar, "Trunc": trunc, "MultiThreshold": multithreshold,
}  # fmt: skip
FOREIGN: dict[str, Foreign] = dict.fromkeys(HANDLERS, result)
