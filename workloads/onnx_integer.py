"""ONNX operators of integer networks: products of integers, and those that quantise on the way in and out.

Integer products stay exact. QLinear operators are computed with the real numbers that their integers stand for, rounded
at the end as they say; that can differ from an integer engine in the last place, and is listed as approximated.
"""

from math import prod

import numpy as np
from onnx import TensorProto

from workloads import elementwise, ops
from workloads.onnx_layers import _batched, _space, _window
from workloads.onnx_model import Node, Value
from workloads.read_onnx import Handler, Importer, NotTaken, constant, given, required, shape_of
from workloads.tensor import Array, Shape


def conv_integer(net: Importer, node: Node) -> None:
    x = required(node, 0)
    weight = _centred(constant(node, 1, "weights"), node, 3)
    source = _shifted(net, node, _batched(net, x), x, 2)
    net.put(node, _conv(node, x, weight, False), [source], {"weight": weight})


def matmul_integer(net: Importer, node: Node) -> None:
    x, weight = required(node, 0), _matrix(_centred(constant(node, 1, "weights"), node, 3))
    source = _shifted(net, node, net.holder(x), x, 2)
    net.put(node, ops.Linear(weight.shape[1], False), [source], {"weight": weight.T})


def qlinear(net: Importer, node: Node) -> None:
    """QLinearConv and QLinearMatMul: real values in between."""
    x = required(node, 0)
    step, weight_step = constant(node, 1, "a scale"), constant(node, 4, "a scale").astype(np.float32)
    integers = _centred(constant(node, 3, "weights"), node, 5)
    source = _shifted(net, node, net.holder(x), x, 2)
    source = net.add(f"{node.name}_real", _scale(float(step.reshape(()))), [source], shape_of(x))
    name = f"{node.name}_product"
    if node.op == "QLinearConv":
        weight = integers * weight_step.reshape(-1, *[1] * (integers.ndim - 1))
        bias = {}
        if given(node, 8) is not None:
            bias["bias"] = (constant(node, 8, "a bias") * (weight_step * float(step.reshape(())))).astype(np.float32)
            bias["bias"] = np.broadcast_to(bias["bias"], len(weight))
        op: ops.Op = _conv(node, x, weight, bool(bias))
        params = {"weight": weight.astype(np.float32), **bias}
    else:
        weight = _matrix(integers * weight_step)
        op, params = ops.Linear(weight.shape[1], False), {"weight": weight.T.astype(np.float32)}
    made = net.add(name, op, [source], shape_of(node.outputs[0]), params=params)
    net.approximate(node, "computed in real numbers, then rounded")
    _rounded(net, node, made, float(constant(node, 6, "a scale").reshape(())), constant(node, 7, "a zero point"))


def dynamic_quantise(net: Importer, node: Node) -> None:
    """Scale and zero point from the input's own range (with zero in it), then the rounded input."""
    x = net.holder(required(node, 0))
    axes = tuple(range(len(net.shapes[x])))

    def add(part: str, op: ops.Op, sources: list[str], shape: Shape = ()) -> str:
        return net.add(f"{node.name}_{part}", op, sources, shape)

    def function(part: str, name: str, sources: list[str], *values: float, shape: Shape = ()) -> str:
        return add(part, elementwise.Elementwise(name, values), sources, shape)

    low = function("low", "clip", [add("min", elementwise.Reduce("min", axes, False), [x])], -np.inf, 0.0)
    high = function("high", "clip", [add("max", elementwise.Reduce("max", axes, False), [x])], 0.0, np.inf)
    step = function("step", "scale", [function("range", "sub", [high, low])], 1 / 255)
    ratio = function("ratio", "div", [function("down", "neg", [low]), step])
    zero = function("zero", "clip", [function("nearest", "round", [ratio])], 0.0, 255.0)
    whole = shape_of(node.outputs[0])
    scaled = function("rounded", "round", [function("scaled", "div", [x, step], shape=whole)], shape=whole)
    shifted = function("shifted", "add", [scaled, zero], shape=whole)
    made = function("clipped", "clip", [shifted], 0.0, 255.0, shape=whole)
    for output, name in zip(node.outputs, (made, step, zero), strict=False):
        net.holders[output.name] = name


def _conv(node: Node, x: Value, weight: Array, bias: bool) -> ops.Conv:
    kernel = tuple(weight.shape[2:])
    stride, dilation, padding = _window(node, kernel, _space(x))
    return ops.Conv(len(weight), kernel, stride, padding, node.attribute("group", 1), dilation, bias)


def _centred(weight: Array, node: Node, index: int) -> Array:
    """Integer weights without their zero point."""
    zero = constant(node, index, "a zero point").astype(np.int64) if given(node, index) is not None else np.zeros(1)
    if zero.size > 1 and node.op in ("ConvInteger", "QLinearConv"):
        zero = zero.reshape(-1, *[1] * (weight.ndim - 1))
    return weight.astype(np.int64) - zero.astype(np.int64)


def _shifted(net: Importer, node: Node, source: str, x: Value, index: int) -> str:
    """The input without its zero point."""
    zero = given(node, index)
    if zero is None or (zero.const is not None and not zero.const.any()):
        return source
    if prod(shape_of(zero)) > 1:
        raise NotTaken("a zero point for every row")
    held = net.holder(zero)
    if zero.const is not None:
        centre = Value(f"{node.name}_zero", (), TensorProto.INT64, zero.const.astype(np.int64).reshape(()))
        held = net.holder(centre)
    return net.add(f"{node.name}_centred", elementwise.Elementwise("sub"), [source, held], shape_of(x))


def _rounded(net: Importer, node: Node, source: str, step: float, zero: Array) -> None:
    info, shape = np.iinfo(zero.dtype), shape_of(node.outputs[0])
    centre = Value(f"{node.name}_offset", (), TensorProto.FLOAT, zero.astype(np.float32).reshape(()))
    ratio = net.add(f"{node.name}_ratio", _scale(1 / step), [source], shape)
    nearest = net.add(f"{node.name}_nearest", elementwise.Elementwise("round"), [ratio], shape)
    moved = net.add(f"{node.name}_moved", elementwise.Elementwise("add"), [nearest, net.holder(centre)], shape)
    net.put(node, elementwise.Elementwise("clip", (float(info.min), float(info.max))), [moved])


def _scale(factor: float) -> elementwise.Elementwise:
    return elementwise.Elementwise("scale", (factor,))


def _matrix(weight: Array) -> Array:
    if prod(weight.shape[:-2]) != 1 or weight.ndim < 2:
        raise NotTaken(f"weights of shape {weight.shape}")
    return weight.reshape(weight.shape[-2:])


HANDLERS: dict[str, Handler] = {
    "ConvInteger": conv_integer, "MatMulInteger": matmul_integer, "QLinearConv": qlinear, "QLinearMatMul": qlinear,
    "DynamicQuantizeLinear": dynamic_quantise,
}  # fmt: skip
