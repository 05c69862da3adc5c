"""ONNX operators without weights: functions of values, reductions, and everything that only moves values."""

from math import prod

import numpy as np
from onnx import TensorProto

from workloads import elementwise, ops, shaping
from workloads.onnx_layers import _batched, _text, fold_bias
from workloads.onnx_model import Node, Value
from workloads.read_onnx import (
    Handler,
    Importer,
    NotTaken,
    constant,
    given,
    integers,
    leads,
    required,
    shape_of,
    stripped,
)
from workloads.tensor import Shape

FUNCTIONS = (
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos",
    "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh", "Sigmoid", "Erf", "Reciprocal", "Softplus",
    "Softsign", "HardSwish", "Mish", "Not", "IsNaN", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Equal", "Less",
    "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "PRelu", "Where",
)  # fmt: skip
"""Operators that are one function of their inputs, without attributes."""

SETTINGS: dict[str, tuple[str, tuple[tuple[str, float], ...]]] = {
    "LeakyRelu": ("leakyrelu", (("alpha", 0.01),)),
    "Elu": ("elu", (("alpha", 1.0),)),
    "Selu": ("selu", (("alpha", 1.6732632423543772), ("gamma", 1.0507009873554805))),
    "Celu": ("celu", (("alpha", 1.0),)),
    "ThresholdedRelu": ("thresholdedrelu", (("alpha", 1.0),)),
    "HardSigmoid": ("hardsigmoid", (("alpha", 0.2), ("beta", 0.5))),
    "Shrink": ("shrink", (("bias", 0.0), ("lambd", 0.5))),
    "Swish": ("swish", (("alpha", 1.0),)),
}
"""Operators of one input with numbers as attributes, and their defaults."""

REDUCTIONS = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceProd": "prod",
    "ReduceL1": "l1", "ReduceL2": "l2", "ReduceSumSquare": "sumsquare", "ReduceLogSum": "logsum",
    "ReduceLogSumExp": "logsumexp",
}  # fmt: skip


def function(net: Importer, node: Node) -> None:
    values = [required(node, index) for index in range(len(node.inputs))]
    if len(values) == 1 and node.op in ("Max", "Min"):
        net.alias(node, values[0])
        return
    net.put(node, elementwise.Elementwise(node.op.lower()), [net.holder(value) for value in values])


def with_settings(net: Importer, node: Node) -> None:
    name, settings = SETTINGS[node.op]
    values = tuple(float(node.attribute(key, default)) for key, default in settings)
    net.put(node, elementwise.Elementwise(name, values), [net.holder(required(node, 0))])


def relu(net: Importer, node: Node) -> None:
    net.put(node, ops.Relu(), [net.holder(required(node, 0))])


def gelu(net: Importer, node: Node) -> None:
    tanh = _text(node, "approximate", "none") == "tanh"
    net.put(node, elementwise.Elementwise("gelu", (1.0,) if tanh else ()), [net.holder(required(node, 0))])


def clip(net: Importer, node: Node) -> None:
    limits = [float(node.attribute(name, default)) for name, default in (("min", -np.inf), ("max", np.inf))]
    sides = [(value, name) for index, name in ((1, "max"), (2, "min")) if (value := given(node, index)) is not None]
    if any(value.const is None for value, _ in sides):
        made, shape = net.holder(required(node, 0)), shape_of(node.outputs[0])
        for value, name in sides:
            made = net.add(node.name, elementwise.Elementwise(name), [made, net.holder(value)], shape)
        net.holders[node.outputs[0].name] = made
        return
    for index in (1, 2):
        if given(node, index) is not None:
            limits[index - 1] = float(constant(node, index, "a limit").reshape(()))
    x = net.holder(required(node, 0))
    if limits == [0.0, np.inf]:
        net.put(node, ops.Relu(), [x])
    elif limits == [-np.inf, np.inf]:
        net.alias(node, required(node, 0))
    else:
        net.put(node, elementwise.Elementwise("clip", tuple(limits)), [x])


def add(net: Importer, node: Node) -> None:
    """A bias where it can be one, a residual sum where shapes are equal, else a broadcast sum."""
    values = [required(node, index) for index in range(len(node.inputs))]
    if node.op == "Add" and fold_bias(net, node):
        return
    if len(values) == 1:
        net.alias(node, values[0])
        return
    same = len({shape_of(value) for value in values}) == 1 and all(value.const is None for value in values)
    op: ops.Op = ops.Add() if same else elementwise.Elementwise("add")
    net.put(node, op, [net.holder(value) for value in values])


def mean(net: Importer, node: Node) -> None:
    names = [net.holder(required(node, index)) for index in range(len(node.inputs))]
    shape = shape_of(node.outputs[0])
    total = net.add(f"{node.name}_sum", elementwise.Elementwise("add"), names, shape) if len(names) > 1 else names[0]
    count = Value(f"{node.name}_count", (), TensorProto.FLOAT, np.asarray(len(names), np.float32))
    net.put(node, elementwise.Elementwise("div"), [total, net.holder(count)])


def modulo(net: Importer, node: Node) -> None:
    name = "fmod" if node.attribute("fmod", 0) else "mod"
    net.put(node, elementwise.Elementwise(name), [net.holder(required(node, 0)), net.holder(required(node, 1))])


def cast(net: Importer, node: Node) -> None:
    """Between floats nothing changes but precision, which is not followed; to integers values are cut."""
    x, to = required(node, 0), int(node.attribute("to", TensorProto.FLOAT))
    whole = (TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT8)
    floats = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if to == TensorProto.BOOL:
        net.put(node, elementwise.Elementwise("to_bool"), [net.holder(x)])
    elif to in whole:
        net.put(node, elementwise.Elementwise("to_int64"), [net.holder(x)])
    elif to in floats and x.element in floats:
        if {to, x.element} & {TensorProto.FLOAT16, TensorProto.BFLOAT16}:
            net.approximate(node, "half precision is computed in full")
        net.alias(node, x)
    elif to in floats:
        net.put(node, elementwise.Elementwise("to_float32"), [net.holder(x)])
    else:
        raise NotTaken("a cast to another kind of value")


def softmax(net: Importer, node: Node) -> None:
    """Before version 13 the axes from `axis` on are one; later `axis` stands alone."""
    x, log = required(node, 0), node.op == "LogSoftmax"
    shape = shape_of(x)
    axis = int(node.attribute("axis", -1 if node.version >= 13 else 1))
    axis = axis % max(1, len(shape))
    if node.version >= 13 or prod(shape[axis + 1 :]) == 1:
        name, axes = net.along(x, [axis])
        net.put(node, elementwise.Softmax(axes[0], log), [name])
        return
    rows = (prod(shape[:axis]), prod(shape[axis:]))
    flat = net.add(f"{node.name}_rows", shaping.Reshape(rows), [net.holder(x)], rows, True)
    net.put(node, elementwise.Softmax(1, log), [flat])


def reduction(net: Importer, node: Node) -> None:
    x = required(node, 0)
    rank = len(shape_of(x))
    axes = integers(node, 1, "axes")
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            net.alias(node, x)
            return
        axes = list(range(rank))
    if leads(shape_of(x)):
        axes = [axis for axis in (a % rank for a in axes) if axis]
    name, along = net.along(x, axes) if axes else (net.holder(x), ())
    net.put(node, elementwise.Reduce(REDUCTIONS[node.op], along), [name])


def arg(net: Importer, node: Node) -> None:
    if node.attribute("select_last_index", 0):
        raise NotTaken("the last of equal values")
    name, axes = net.along(required(node, 0), [int(node.attribute("axis", 0))])
    net.put(node, elementwise.Reduce(node.op.lower(), axes), [name])


def layer_norm(net: Importer, node: Node) -> None:
    """Normalisation over the last axes, then gain and offset."""
    x = required(node, 0)
    rank = len(shape_of(x))
    axis = int(node.attribute("axis", -1)) % rank
    name, axes = net.along(x, list(range(axis, rank)))
    op = elementwise.Normalise(axes, float(node.attribute("epsilon", 1e-5)), node.op == "LayerNormalization")
    _affine(net, node, net.add(f"{node.name}_norm", op, [name], shape_of(x)), given(node, 1), given(node, 2))


def instance_norm(net: Importer, node: Node) -> None:
    """Per image and channel (or group of channels), then gain and offset of each channel."""
    x = required(node, 0)
    shape, source = stripped(shape_of(x)), _batched(net, required(node, 0))
    groups = int(node.attribute("num_groups", 0)) if node.op == "GroupNormalization" else shape[0]
    split = (groups, shape[0] // max(1, groups) * prod(shape[1:]))
    flat = net.add(f"{node.name}_groups", shaping.Reshape(split), [source], split, True)
    op = elementwise.Normalise((1,), float(node.attribute("epsilon", 1e-5)))
    made = net.add(f"{node.name}_norm", op, [flat], shape_of(x))
    wide = (shape[0], *[1] * (len(shape) - 1))
    sides = []
    for index, default in ((1, 1.0), (2, 0.0)):
        side = (
            constant(node, index, "a gain or offset") if given(node, index) is not None else np.full(shape[0], default)
        )
        if side.size != shape[0]:
            raise NotTaken("a gain for every group")
        sides.append(Value(f"{node.name}_{index}", wide, TensorProto.FLOAT, side.reshape(wide).astype(np.float32)))
    _affine(net, node, made, sides[0], sides[1])


def _affine(net: Importer, node: Node, name: str, gain: Value | None, offset: Value | None) -> None:
    shape = shape_of(node.outputs[0])
    if gain is not None:
        name = net.add(f"{node.name}_gain", elementwise.Elementwise("mul"), [name, net.holder(gain)], shape)
    if offset is not None:
        name = net.add(f"{node.name}_offset", elementwise.Elementwise("add"), [name, net.holder(offset)], shape)
    net.holders[node.outputs[0].name] = name


def quantise(net: Importer, node: Node) -> None:
    """clip(round(x / scale) + zero) or (x - zero) scale, per tensor or per channel."""
    x, scale = required(node, 0), constant(node, 1, "a scale").astype(np.float32)
    zero = constant(node, 2, "a zero point") if given(node, 2) is not None else np.zeros((), np.uint8)
    if x.const is not None or node.attribute("block_size", 0):
        raise NotTaken("a form that is not read")
    rank, axis = len(shape_of(x)), int(node.attribute("axis", 1))
    wide = tuple(scale.size if index == axis % rank else 1 for index in range(rank)) if scale.size > 1 else ()
    step = Value(f"{node.name}_scale", wide, TensorProto.FLOAT, scale.reshape(wide))
    mid = Value(f"{node.name}_zero", wide if zero.size > 1 else (), TensorProto.FLOAT,
                zero.astype(np.float32).reshape(wide if zero.size > 1 else ()))  # fmt: skip
    shape = shape_of(node.outputs[0])

    def apply(part: str, name: str, sources: list[str], values: tuple[float, ...] = ()) -> str:
        return net.add(f"{node.name}_{part}", elementwise.Elementwise(name, values), sources, shape)

    if node.op == "DequantizeLinear":
        centred = apply("centred", "sub", [net.holder(x), net.holder(mid)])
        net.put(node, elementwise.Elementwise("mul"), [centred, net.holder(step)])
        return
    info = np.iinfo(zero.dtype)
    rounded = apply("rounded", "round", [apply("scaled", "div", [net.holder(x), net.holder(step)])])
    shifted = apply("shifted", "add", [rounded, net.holder(mid)])
    net.put(node, elementwise.Elementwise("clip", (float(info.min), float(info.max))), [shifted])


def same_values(net: Importer, node: Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: the same values in memory order."""
    x, shape = required(node, 0), shape_of(node.outputs[0])
    if node.op == "Flatten" and leads(shape) and len(shape) == 2:
        net.put(node, ops.Flatten(), [net.holder(x)])
    else:
        net.alias(node, x)


def transpose(net: Importer, node: Node) -> None:
    x = required(node, 0)
    rank = len(shape_of(x))
    axes = [int(a) for a in node.attribute("perm", None) or range(rank)[::-1]]
    if leads(shape_of(x)) and axes[0] == 0:
        net.put(node, shaping.Transpose(tuple(axis - 1 for axis in axes[1:])), [net.holder(x)])
    else:
        net.put(node, shaping.Transpose(tuple(axes)), [net.whole(x)])


def concat(net: Importer, node: Node) -> None:
    values = [v for v in (required(node, i) for i in range(len(node.inputs))) if prod(shape_of(v))]
    rank = len(shape_of(node.outputs[0]))
    axis = int(node.attribute("axis", 1)) % rank
    if len(values) == 1:
        net.alias(node, values[0])
        return
    inside = axis > 0 and all(leads(shape_of(value)) for value in values)
    names = [net.holder(value) if inside else net.whole(value) for value in values]
    net.put(node, ops.Concat(axis - 1 if inside else axis), names)


def split(net: Importer, node: Node) -> None:
    x, at = required(node, 0), 0
    rank = len(shape_of(x))
    axis = int(node.attribute("axis", 0)) % rank
    for index, value in enumerate(node.outputs):
        count = shape_of(value)[axis]
        op, name = _cut(net, x, {axis: (at, count, 1)})
        net.put(node, op, [name], name=f"{node.name}:{index}" if index else "", index=index)
        at += count


def slice_(net: Importer, node: Node) -> None:
    x = required(node, 0)
    shape = shape_of(x)
    starts, ends = integers(node, 1, "starts") or [], integers(node, 2, "ends") or []
    axes = integers(node, 3, "axes") or list(range(len(starts)))
    steps = integers(node, 4, "steps") or [1] * len(starts)
    cuts = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        places = range(*slice(start, end, step).indices(shape[axis]))
        if not places:
            raise NotTaken("an empty result")
        cuts[axis % len(shape)] = (places[0], len(places), step)
    op, name = _cut(net, x, cuts)
    net.put(node, op, [name])


def _cut(net: Importer, x: Value, cuts: dict[int, tuple[int, int, int]]) -> tuple[shaping.Slice, str]:
    """A Slice for `{ONNX axis: (start, count, step)}`, and the layer it cuts."""
    shape = shape_of(x)
    whole = [cuts.get(axis, (0, size, 1)) for axis, size in enumerate(shape)]
    inner = leads(shape) and whole[0] == (0, 1, 1)
    rows = whole[1:] if inner else whole
    op = shaping.Slice(*(tuple(row[part] for row in rows) for part in range(3)))
    return op, net.holder(x) if inner else net.whole(x)


def pad(net: Importer, node: Node) -> None:
    x = required(node, 0)
    shape, pads = shape_of(x), integers(node, 1, "pads") or []
    rank = len(shape)
    axes = integers(node, 3, "axes") or list(range(rank))
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis % rank], after[axis % rank] = pads[place], pads[len(axes) + place]
    value = float(node.attribute("value", 0.0))
    if given(node, 2) is not None:
        value = float(constant(node, 2, "a padding value").reshape(-1)[0])
    inner = leads(shape) and not before[0] and not after[0]
    mode = _text(node, "mode", "constant")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise NotTaken(f"mode {mode}")
    cut = 1 if inner else 0
    op = shaping.Pad(tuple(before[cut:]), tuple(after[cut:]), mode, value)  # type: ignore[arg-type]
    net.put(node, op, [net.holder(x) if inner else net.whole(x)])


def expand(net: Importer, node: Node) -> None:
    net.put(node, shaping.Broadcast(stripped(shape_of(node.outputs[0]))), [net.holder(required(node, 0))])


def tile(net: Importer, node: Node) -> None:
    x = required(node, 0)
    repeats = integers(node, 1, "repeats") or []
    inner = leads(shape_of(x)) and repeats[0] == 1
    op = shaping.Tile(tuple(repeats[1:] if inner else repeats))
    net.put(node, op, [net.holder(x) if inner else net.whole(x)])


def gather(net: Importer, node: Node) -> None:
    """Constant numbers pick slices; computed ones look rows up in a constant table."""
    x, numbers = required(node, 0), required(node, 1)
    axis = int(node.attribute("axis", 0)) % max(1, len(shape_of(x)))
    if numbers.const is not None:
        indices = np.atleast_1d(numbers.const.astype(np.int64))
        indices = np.where(indices < 0, indices + shape_of(x)[axis], indices)
        if indices.size and not 0 <= indices.min() <= indices.max() < shape_of(x)[axis]:
            raise NotTaken("numbers beyond the axis")
        name, axes = net.along(x, [axis])
        net.put(node, shaping.Gather(axes[0], indices.shape), [name], {"indices": indices})
        return
    if x.const is None or axis:
        raise NotTaken("numbers computed in the network")
    table = x.const if x.const.ndim > 1 else x.const[:, None]
    net.put(node, shaping.Embed(len(table), tuple(table.shape[1:])), [net.holder(numbers)], {"weight": table})


def depth_to_space(net: Importer, node: Node) -> None:
    x, block = required(node, 0), int(node.attribute("blocksize"))
    source, (c, h, w) = _batched(net, x), stripped(shape_of(x))
    if node.op == "SpaceToDepth":
        shape: Shape = (c, h // block, block, w // block, block)
        axes: Shape = (0, 2, 4, 1, 3) if _text(node, "mode", "DCR") == "CRD" else (2, 4, 0, 1, 3)
    elif _text(node, "mode", "DCR") == "CRD":
        shape, axes = (c // block**2, block, block, h, w), (0, 3, 1, 4, 2)
    else:
        shape, axes = (block, block, c // block**2, h, w), (2, 3, 0, 4, 1)
    parts = net.add(f"{node.name}_parts", shaping.Reshape(shape), [source], shape, True)
    turned = tuple(shape[axis] for axis in axes)
    moved = net.add(f"{node.name}_moved", shaping.Transpose(axes), [parts], turned, True)
    net.put(node, shaping.Reshape(stripped(shape_of(node.outputs[0]))), [moved])


def resize(net: Importer, node: Node) -> None:
    x = required(node, 0)
    old, new = shape_of(x), shape_of(node.outputs[0])
    mode, coordinate = _text(node, "mode", "nearest"), _text(node, "coordinate_transformation_mode", "half_pixel")
    rounding = _text(node, "nearest_mode", "round_prefer_floor")
    scales = given(node, 1 if node.op == "Upsample" or node.version < 11 else 2)
    if node.op == "Upsample" or node.version < 11:
        coordinate, rounding = "asymmetric", "floor"
    if (
        mode not in ("nearest", "linear", "cubic")
        or coordinate == "tf_crop_and_resize"
        or node.attribute("antialias", 0)
    ):
        raise NotTaken(f"mode {mode}, {coordinate}")
    if node.attribute("exclude_outside", 0) or node.attribute("axes") is not None:
        raise NotTaken("axes or borders left out")
    factors = [n / o for n, o in zip(new, old, strict=True)]
    if scales is not None and scales.const is not None and scales.const.size == len(old):
        factors = [float(v) for v in scales.const]
    inner = leads(old) and leads(new)
    cut = 1 if inner else 0
    op = shaping.Resize(new[cut:], tuple(factors[cut:]), mode, coordinate, rounding,  # type: ignore[arg-type]
                        float(node.attribute("cubic_coeff_a", -0.75)))  # fmt: skip
    net.put(node, op, [net.holder(x) if inner else net.whole(x)])


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(FUNCTIONS, function), **dict.fromkeys(SETTINGS, with_settings),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), same_values),
    "Relu": relu, "Gelu": gelu, "Clip": clip, "Add": add, "Sum": add, "Mean": mean, "Mod": modulo, "Cast": cast,
    "CastLike": cast, "Softmax": softmax, "LogSoftmax": softmax, "ArgMax": arg, "ArgMin": arg,
    "LayerNormalization": layer_norm, "RMSNormalization": layer_norm, "InstanceNormalization": instance_norm,
    "GroupNormalization": instance_norm, "QuantizeLinear": quantise, "DequantizeLinear": quantise,
    "Transpose": transpose, "Concat": concat, "Split": split, "Slice": slice_, "Pad": pad, "Expand": expand,
    "Tile": tile, "Gather": gather, "DepthToSpace": depth_to_space, "SpaceToDepth": depth_to_space, "Resize": resize,
    "Upsample": resize,
}  # fmt: skip
