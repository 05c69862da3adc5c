"""Small ONNX and QONNX models, made at random, and ways to spoil them inside the protobuf."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fuzz.mutate import WORDS, number, spoil_bytes

Shape = tuple[int, ...]


class _Chain:
    """A graph that grows at its end."""

    def __init__(self, rng: Random, shape: Shape) -> None:
        self.rng, self.shape, self.last = rng, shape, "x"
        self.numbers = np.random.default_rng(rng.randrange(2**32))
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.given = shape

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.numbers.integers(-3, 4, shape))

    def add(self, op: str, *more: str, shape: Shape | None = None, domain: str = "", **attributes: Any) -> None:
        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, [self.last, *more], [name], name=f"n{name}", domain=domain, **attributes)
        )
        self.last, self.shape = name, self.shape if shape is None else shape

    def model(self, opset: int, domains: Sequence[str] = ()) -> ModelProto:
        graph = helper.make_graph(
            self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.given)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)], self.constants,
        )  # fmt: skip
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def _conv(g: _Chain) -> None:
    out, k = g.rng.choice([1, 4]), g.rng.choice([1, 3])
    _, c, h, w = g.shape
    shape = (1, out, h, w)
    bias = [g.random(out)] if g.rng.random() < 0.5 else []
    g.add("Conv", g.random(out, c, k, k), *bias, shape=shape, kernel_shape=[k, k], pads=[k // 2] * 4, strides=[1, 1])


def _grow(g: _Chain) -> None:
    _, c, h, w = g.shape
    g.add("ConvTranspose", g.random(c, 2, 2, 2), shape=(1, 2, 2 * h, 2 * w), strides=[2, 2])


def _pool(g: _Chain) -> None:
    _, c, h, w = g.shape
    op = g.rng.choice(["MaxPool", "AveragePool"])
    g.add(op, shape=(1, c, max(1, h // 2), max(1, w // 2)), kernel_shape=[min(2, h), min(2, w)], strides=[2, 2])


def _norm(g: _Chain) -> None:
    c = g.shape[1]
    ones = [g.constant(np.ones(c)) for _ in range(2)]
    g.add("BatchNormalization", g.random(c), g.random(c), *ones)


def _resize(g: _Chain) -> None:
    _, c, h, w = g.shape
    empty, scales = g.constant([]), g.constant([1, 1, 2, 2])
    g.add("Resize", empty, scales, shape=(1, c, 2 * h, 2 * w), mode=g.rng.choice(["nearest", "linear", "cubic"]))


def _flatten(g: _Chain) -> None:
    g.add("Flatten", shape=(1, int(np.prod(g.shape[1:]))))


IMAGES: list[Callable[[_Chain], None]] = [
    _conv, _conv, _grow, _pool, _norm, _resize, _flatten,
    lambda g: g.add("GlobalAveragePool", shape=(*g.shape[:2], 1, 1)),
    lambda g: g.add("Transpose", shape=(1, *g.shape[2:], g.shape[1]), perm=[0, 2, 3, 1]),
    lambda g: g.add("DepthToSpace", blocksize=1),
    lambda g: g.add("LRN", size=3),
    lambda g: g.add("InstanceNormalization", g.random(g.shape[1]), g.random(g.shape[1])),
]  # fmt: skip


def _linear(g: _Chain) -> None:
    out = g.rng.choice([3, 8])
    weight = g.random(g.shape[-1], out)
    if g.rng.random() < 0.5:
        g.add("MatMul", weight, shape=(*g.shape[:-1], out))
    elif len(g.shape) == 2:
        g.add("Gemm", weight, g.random(out), shape=(1, out))


def _lstm(g: _Chain) -> None:
    size = g.shape[-1]
    g.add("Unsqueeze", g.constant([0], np.int64), shape=(1, *g.shape))
    g.add("LSTM", g.random(1, 12, size), g.random(1, 12, 3), shape=(1, 1, 1, 3), hidden_size=3)
    g.add("Squeeze", g.constant([0, 1], np.int64), shape=(1, 3))


def _split(g: _Chain) -> None:
    half = g.shape[-1] // 2
    if half:
        names = [f"s{len(g.nodes)}", f"t{len(g.nodes)}"]
        sizes = g.constant([half, g.shape[-1] - half], np.int64)
        g.nodes.append(helper.make_node("Split", [g.last, sizes], names, axis=-1))
        g.last = names[0]
        g.shape = (*g.shape[:-1], half)
        g.add("Concat", names[1], shape=(*g.shape[:-1], 2 * half), axis=len(g.shape) - 1)


def _quantise(g: _Chain) -> None:
    scale, zero = g.constant(0.5), g.constant(3, np.uint8)
    g.add("QuantizeLinear", scale, zero)
    g.add("DequantizeLinear", scale, zero)


def _branch(g: _Chain) -> None:
    outputs = [helper.make_tensor_value_info(f"b{len(g.nodes)}{side}", TensorProto.FLOAT, g.shape) for side in "te"]
    graphs = [helper.make_graph([helper.make_node(op, [g.last], [o.name])], "b", [], [o])
              for op, o in zip(("Relu", "Neg"), outputs, strict=True)]  # fmt: skip
    name = f"v{len(g.nodes)}"
    g.nodes.append(helper.make_node("If", [g.constant(g.rng.random() < 0.5, np.bool_)], [name],
                                    then_branch=graphs[0], else_branch=graphs[1]))  # fmt: skip
    g.last = name


def _reshape(g: _Chain) -> None:
    size = int(np.prod(g.shape))
    g.add("Reshape", g.constant([1, -1], np.int64), shape=(1, size))


def _gather(g: _Chain) -> None:
    g.add("Gather", g.constant([0], np.int64), shape=(*g.shape[:-1], 1), axis=len(g.shape) - 1)


ANY: list[Callable[[_Chain], None]] = [
    _quantise, _branch, _reshape, _gather, _split,
    *(lambda g, op=op: g.add(op) for op in ("Relu", "Sigmoid", "Tanh", "Softmax", "Exp", "Identity", "LeakyRelu", "Shape")),
    lambda g: g.add("Add", g.last),
    lambda g: g.add("Mul", g.random(1)),
    lambda g: g.add("Clip", g.constant(0.0), g.constant(6.0)),
    lambda g: g.add("Cast", to=g.rng.choice([1, 6, 7, 9, 10, 11])),
    lambda g: g.add("Pad", g.constant([0] * (2 * len(g.shape)), np.int64)),
    lambda g: g.add("Expand", g.constant(g.shape, np.int64)),
    lambda g: g.add("Tile", g.constant([1] * len(g.shape), np.int64)),
    lambda g: g.add("Slice", g.constant([0], np.int64), g.constant([9], np.int64), g.constant([len(g.shape) - 1], np.int64)),
    lambda g: g.add("ReduceMean", keepdims=1, shape=(1,) * len(g.shape)),
    lambda g: g.add("ArgMax", axis=len(g.shape) - 1, shape=(*g.shape[:-1], 1)),
    lambda g: g.add("LayerNormalization", g.random(g.shape[-1])),
    lambda g: g.add("Where", g.last, g.last),
    lambda g: g.add("Dropout"),
]  # fmt: skip


def onnx_model(rng: Random) -> ModelProto:
    """A chain of up to nine operators on a small image or vector."""
    g = _Chain(rng, rng.choice([(1, 2, 6, 6), (1, 3, 4, 4), (1, 10)]))
    for _ in range(rng.randrange(1, 10)):
        own = IMAGES if len(g.shape) == 4 else [_linear, _linear, _lstm] if len(g.shape) == 2 else [_linear]
        rng.choice(own if rng.random() < 0.6 else ANY)(g)
    return g.model(rng.choice([17, 13, 11]))


def qonnx_model(rng: Random) -> ModelProto:
    """Quantised matrices with batch norms and quantisers between them, in one of the three spellings."""
    style = rng.choice(["qonnx", "finn", "qcdq"])
    g = _Chain(rng, (1, 2, 5, 5) if rng.random() < 0.4 else (1, 6))
    _steps(g, style)
    for _ in range(rng.randrange(1, 4)):
        if len(g.shape) == 4 and rng.random() < 0.7:
            _, c, h, w = g.shape
            g.add("Conv", _weight(g, style, (3, c, 3, 3)), shape=(1, 3, h, w), kernel_shape=[3, 3], pads=[1] * 4)
        else:
            if len(g.shape) == 4:
                _flatten(g)
            g.add("MatMul", _weight(g, style, (g.shape[-1], 4)), shape=(1, 4))
        if rng.random() < 0.5:
            _norm(g)
        rng.choice(
            [
                lambda: g.add("Relu"),
                lambda: g.add("Mul", g.constant(0.5)),
                lambda: g.add("Add", g.random(1)),
                lambda: None,
            ]
        )()
        _steps(g, style)
    if rng.random() < 0.3:
        g.add("TopK", g.constant([1], np.int64))
    return g.model(13, ("qonnx.custom_op.general", "finn.custom_op.general"))


def _weight(g: _Chain, style: str, shape: Shape) -> str:
    """A matrix: whole numbers, or numbers through a quantiser of constants."""
    name = g.random(*shape)
    if style == "finn":
        return name
    keep, g.last = g.last, name
    if style == "qcdq":
        g.last = g.constant(g.numbers.integers(-3, 4, shape), np.int8)
        g.add("DequantizeLinear", g.constant(0.25), g.constant(0, np.int8), shape=g.shape)
    else:
        _quant(g)
    made, g.last = g.last, keep
    return made


def _quant(g: _Chain) -> None:
    general = "qonnx.custom_op.general"
    if g.rng.random() < 0.3:
        g.add("BipolarQuant", g.constant(0.5), domain=general)
    else:
        bits = g.constant(float(g.rng.choice([2, 4])))
        g.add(
            "Quant", g.constant(0.5), g.constant(0.0), bits, domain=general, signed=1, narrow=0, rounding_mode="ROUND"
        )


def _steps(g: _Chain, style: str) -> None:
    if style == "finn":
        g.add(
            "MultiThreshold",
            g.constant(np.sort(g.numbers.integers(-4, 5, (g.shape[1], 3)))),
            domain="finn.custom_op.general",
        )
    elif style == "qcdq":
        _quantise(g)
    else:
        _quant(g)


OPERATORS = ["Conv", "MatMul", "Gemm", "Reshape", "Resize", "LSTM", "If", "Loop", "Scan", "Concat", "Shape", "Quant", "Trunc",
             "MultiThreshold", "BipolarQuant", "ConstantOfShape", "Range", "Expand", "Tile", "NonZero", "Einsum", "GatherND",
             "Constant", "Split", "Pad", "OneHot", "TopK", "Clip", "Pow", "Transpose", "Cast", "QLinearConv"]  # fmt: skip
ATTRIBUTES = ["axis", "perm", "kernel_shape", "pads", "strides", "dilations", "group", "to", "value", "hidden_size", "signed",
              "alpha", "equation", "blocksize", "out_scale", "rounding_mode", "axes"]  # fmt: skip


def spoil_model(rng: Random, model: ModelProto) -> bytes:
    """One to three changes inside the protobuf; one model in five is then spoilt as bytes, one in twelve only so."""
    if rng.random() > 1 / 12:
        for _ in range(rng.choice([1, 1, 2, 3])):
            rng.choice(CHANGES)(rng, model)
    else:
        return spoil_bytes(rng, model.SerializeToString())
    data: bytes = model.SerializeToString()
    return spoil_bytes(rng, data) if rng.random() < 0.2 else data


def _node(rng: Random, graph: GraphProto) -> NodeProto:
    return rng.choice(graph.node) if graph.node else graph.node.add()


def _tensor(rng: Random, graph: GraphProto) -> TensorProto:
    return rng.choice(graph.initializer) if graph.initializer else graph.initializer.add()


def _dims(rng: Random, model: ModelProto) -> None:
    """Sizes of an initialiser or an input: negative, huge, one more, one less, an axis more."""
    if rng.random() < 0.5:
        dims = _tensor(rng, model.graph).dims
        if dims and rng.random() < 0.8:
            dims[rng.randrange(len(dims))] = _int64(number(rng, 4))
        else:
            dims.append(_int64(number(rng, 4)))
        return
    axes = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else []
    if not len(axes) or rng.random() < 0.2:
        return
    axis = rng.choice(axes)
    if rng.random() < 0.2:
        axis.dim_param = "n"
    else:
        axis.dim_value = _int64(number(rng, axis.dim_value))


def _int64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _types(rng: Random, model: ModelProto) -> None:
    kind = rng.randrange(-1, 26)
    if rng.random() < 0.6:
        _tensor(rng, model.graph).data_type = kind
    elif model.graph.input:
        model.graph.input[0].type.tensor_type.elem_type = kind


def _missing(rng: Random, model: ModelProto) -> None:
    """An initialiser, node, input, output or operator set left out."""
    graph = model.graph
    part = rng.choice([graph.initializer, graph.initializer, graph.node, graph.input, graph.output, model.opset_import])
    if len(part):
        del part[rng.randrange(len(part))]


def _wires(rng: Random, model: ModelProto) -> None:
    """A node's input or output renamed: to its own result, another's, one that is not there, or none."""
    node = _node(rng, model.graph)
    other = _node(rng, model.graph)
    names = [*node.output, *other.output, "x", "c0", "", "nowhere"]
    side = node.input if rng.random() < 0.7 else node.output
    if len(side):
        side[rng.randrange(len(side))] = rng.choice(names)
    elif rng.random() < 0.5:
        side.append(rng.choice(names))


def _arity(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model.graph)
    side = node.input if rng.random() < 0.6 else node.output
    if len(side) and rng.random() < 0.5:
        del side[-1]
    else:
        side.append(rng.choice(["", "x", "c0", "extra"]))


def _attributes(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model.graph)
    if len(node.attribute) and rng.random() < 0.7:
        found = rng.choice(node.attribute)
        if found.type == AttributeProto.INTS and len(found.ints) and rng.random() < 0.6:
            found.ints[rng.randrange(len(found.ints))] = _int64(number(rng, 2))
        elif found.type == AttributeProto.INT and rng.random() < 0.7:
            found.i = _int64(number(rng, found.i))
        elif rng.random() < 0.3:
            node.attribute.remove(found)
        elif rng.random() < 0.3:
            found.name = rng.choice(ATTRIBUTES)
        else:
            found.type = rng.randrange(0, 15)
        return
    name = rng.choice(ATTRIBUTES)
    value = rng.choice(
        [_int64(number(rng)), [_int64(number(rng)) for _ in range(rng.randrange(1, 7))], float("nan"), "ij,jk->ik"]
    )
    node.attribute.append(helper.make_attribute(name, value))


def _operators(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model.graph)
    node.op_type = rng.choice(OPERATORS)
    if rng.random() < 0.3:
        node.domain = rng.choice(["", "ai.onnx.ml", "qonnx.custom_op.general", "finn.x", "com.microsoft", "other"])


def _versions(rng: Random, model: ModelProto) -> None:
    if len(model.opset_import):
        rng.choice(model.opset_import).version = rng.choice([0, 1, 5, 7, 9, 10, 12, 13, 18, 21, 99, -1, 2**40])
    model.ir_version = rng.choice([0, 3, 8, 99, 2**40])


def _values(rng: Random, model: ModelProto) -> None:
    """Numbers of an initialiser: cut, longer, not finite, huge (they may be shapes)."""
    tensor = _tensor(rng, model.graph)
    raw = bytes(tensor.raw_data)
    match rng.randrange(4):
        case 0:
            tensor.raw_data = raw[: rng.randrange(len(raw) + 1)]
        case 1:
            tensor.raw_data = raw + bytes(rng.choice([1, 4, 8]))
        case 2:
            tensor.raw_data = spoil_bytes(rng, raw) if raw else b"1"
        case _:
            value = rng.choice(
                [np.int64(_int64(number(rng))).tobytes(), np.float32(np.nan).tobytes(), np.float32(1e38).tobytes()]
            )
            tensor.raw_data = value * max(1, len(raw) // len(value))


def _external(rng: Random, model: ModelProto) -> None:
    tensor = _tensor(rng, model.graph)
    tensor.data_location = TensorProto.EXTERNAL
    facts = {"location": rng.choice(["../../etc/passwd", "/etc/passwd", "m.onnx", "", ".", *WORDS]),
             "offset": rng.choice(["0", "-1", "²", str(number(rng))]), "length": rng.choice(["4", "-1", "", str(number(rng))])}  # fmt: skip
    for key, value in facts.items():
        if rng.random() < 0.8:
            tensor.external_data.add(key=key, value=value.replace("\x00", ""))


def _names(rng: Random, model: ModelProto) -> None:
    node = _node(rng, model.graph)
    node.name = rng.choice([*WORDS, *(other.name for other in model.graph.node)])
    if rng.random() < 0.3:
        model.graph.name = rng.choice(WORDS)


def _order(rng: Random, model: ModelProto) -> None:
    nodes = list(model.graph.node)
    if not nodes:
        return
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes if rng.random() < 0.7 else [*nodes, nodes[0]])


def _deep(rng: Random, model: ModelProto) -> None:
    """A graph in a graph in a graph, or a function that calls itself."""
    if rng.random() < 0.5:
        call = helper.make_node("F", ["x"], ["y"], domain="local")
        made = helper.make_function("local", "F", ["x"], ["y"], [call], [helper.make_opsetid("", 13)])
        model.functions.append(made)
        model.opset_import.append(helper.make_opsetid("local", 1))
        node = _node(rng, model.graph)
        node.op_type, node.domain = "F", "local"
        return
    inner = helper.make_graph([], "inner", [], [])
    for _ in range(rng.choice([3, 12])):
        node = helper.make_node(
            "If", ["x"], ["y"], then_branch=inner, else_branch=inner if rng.random() < 0.05 else None
        )
        inner = helper.make_graph([node], "inner", [], [helper.make_tensor_value_info("y", 1, None)])
    model.graph.node.append(helper.make_node("If", ["x"], ["deep"], then_branch=inner, else_branch=inner))


CHANGES: list[Callable[[Random, ModelProto], None]] = [
    _dims, _dims, _types, _missing, _missing, _wires, _wires, _arity, _attributes, _attributes, _operators, _versions,
    _values, _values, _external, _names, _order, _deep,
]  # fmt: skip
