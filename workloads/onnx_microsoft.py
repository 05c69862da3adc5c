"""Operators of onnxruntime's own domain, com.microsoft, written out in ONNX's: what its optimiser and quantiser put in.

Quantised ones become their real operator between DequantizeLinear and QuantizeLinear, which is what they compute but for
rounding in the last place; the recurrent one keeps its inputs in real numbers. Others stay, to be listed by name.
"""

from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

DOMAIN = "com.microsoft"
REAL_INPUTS = "its inputs are not quantised on the way"


class Spelling:
    """The nodes that stand for one node, in order; names of values come from its first output."""

    def __init__(self, node: NodeProto, ranks: Mapping[str, int]) -> None:
        self.node, self.made, self.ranks = node, list[NodeProto](), ranks
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def input(self, index: int) -> str:
        """The name of an input, empty where it was left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One node; the name of its result. A Cast or Constant needs nothing else."""
        name = f"{self.node.output[0]}/{len(self.made)}"
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.made.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def number(self, value: float) -> str:
        return self.add("Constant", value=numpy_helper.from_array(np.array(value, np.float32)))

    def real(self, at: int, axis: int = 1) -> str:
        """Inputs `at`, `at` + 1 and `at` + 2 are integers, their scale and their zero point."""
        return self.add("DequantizeLinear", self.input(at), self.input(at + 1), self.input(at + 2), axis=axis)

    def rounded(self, name: str, at: int) -> str:
        """Quantised with the scale and zero point that are inputs `at` and `at` + 1."""
        return self.add("QuantizeLinear", name, self.input(at), self.input(at + 1))

    def activated(self, name: str) -> str:
        """With the activation that was fused in."""
        kind = self.attributes.get("activation", b"").decode()
        params = list(self.attributes.get("activation_params", ()))
        if kind == "Clip":
            return self.add("Clip", name, *map(self.number, params))
        names = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}.get(kind, ())
        params = params or [self.attributes[f"activation_{n}"] for n in names if f"activation_{n}" in self.attributes]
        return self.add(kind, name, **dict(zip(names, params, strict=False))) if kind else name

    def others(self, *left_out: str) -> dict[str, Any]:
        """The attributes that ONNX's operator has too."""
        return {k: v for k, v in self.attributes.items() if k not in left_out and not k.startswith("activation")}


def fused_conv(s: Spelling) -> str:
    made = s.add("Conv", s.input(0), s.input(1), s.input(2), **s.others())
    return s.activated(s.add("Add", made, s.input(3)) if s.input(3) else made)


def fused_gemm(s: Spelling) -> str:
    return s.activated(s.add("Gemm", s.input(0), s.input(1), s.input(2), **s.others()))


def fused_matmul(s: Spelling) -> str:
    if s.attributes.get("transBatchA", 0) or s.attributes.get("transBatchB", 0):
        return ""
    turned = [bool(s.attributes.get(key, 0)) for key in ("transA", "transB")]
    names = [s.input(0), s.input(1)]
    for at, name in enumerate(names):
        rank = s.ranks.get(name, 0)
        if turned[at] and rank > 1:
            names[at], turned[at] = s.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2]), False
    if any(turned):  # activations, whose number of axes is not known here
        letters = "ji" if turned[0] else "ij", "kj" if turned[1] else "jk"
        made = s.add("Einsum", *names, equation="...{},...{}->...ik".format(*letters))
    else:
        made = s.add("MatMul", *names)
    alpha = float(s.attributes.get("alpha", 1.0))
    return made if alpha == 1.0 else s.add("Mul", made, s.number(alpha))


def gelu(s: Spelling) -> str:
    x = s.add("Add", s.input(0), s.input(1)) if s.input(1) else s.input(0)
    return _gelu(s, x, s.add("Erf", s.add("Mul", x, s.number(sqrt(0.5)))))


def fast_gelu(s: Spelling) -> str:
    x = s.add("Add", s.input(0), s.input(1)) if s.input(1) else s.input(0)
    cube = s.add("Mul", s.add("Mul", s.add("Mul", x, x), x), s.number(0.044715))
    return _gelu(s, x, s.add("Tanh", s.add("Mul", s.add("Add", x, cube), s.number(sqrt(2 / pi)))))


def _gelu(s: Spelling, x: str, bent: str) -> str:
    return s.add("Mul", s.add("Mul", x, s.number(0.5)), s.add("Add", bent, s.number(1.0)))


def quick_gelu(s: Spelling) -> str:
    scaled = s.add("Mul", s.input(0), s.number(float(s.attributes.get("alpha", 1.702))))
    return s.add("Mul", s.input(0), s.add("Sigmoid", scaled))


def skip_layer_norm(s: Spelling) -> str:
    if any(s.node.output[1:]):
        return ""
    total = s.add("Add", s.input(0), s.input(1))
    total = s.add("Add", total, s.input(4)) if s.input(4) else total
    epsilon = float(s.attributes.get("epsilon", 1e-12))
    return s.add("LayerNormalization", total, s.input(2), s.input(3), axis=-1, epsilon=epsilon)


def quantised_pair(s: Spelling) -> str:
    return s.rounded(s.add(s.node.op_type.removeprefix("QLinear"), s.real(0), s.real(3)), 6)


def quantised_one(s: Spelling) -> str:
    """Activations, softmax and pooling of one input."""
    if s.attributes.get("channels_last", 0):
        return ""
    return s.rounded(s.add(s.node.op_type.removeprefix("QLinear"), s.real(0), **s.others("channels_last", "opset")), 3)


def quantised_concat(s: Spelling) -> str:
    parts = [s.real(at) for at in range(2, len(s.node.input), 3)]
    return s.rounded(s.add("Concat", *parts, **s.others()), 0)


def quantised_gemm(s: Spelling) -> str:
    b = s.real(3, axis=0 if s.attributes.get("transB", 0) else 1)
    c = s.input(6)
    if c:
        c = s.add("Mul", s.add("Cast", c, to=TensorProto.FLOAT), s.add("Mul", s.input(1), s.input(4)))
    made = s.add("Gemm", s.real(0), b, c, **s.others())
    return s.rounded(made, 7) if s.input(7) else made


def dynamic_matmul(s: Spelling) -> str:
    """Inputs quantised by their own range; weights by `b_scale`."""
    name = s.add("Identity", s.input(0))
    parts = [f"{name}/{part}" for part in ("q", "s", "z")]
    s.made.append(helper.make_node("DynamicQuantizeLinear", [name], parts, f"{name}/DynamicQuantizeLinear"))
    return _integer_matmul(s, (parts[0], parts[2], s.input(1), s.input(3)), (parts[1], s.input(2)), s.input(4))


def matmul_to_float(s: Spelling) -> str:
    whole = (s.input(0), s.input(4), s.input(1), s.input(5))
    return _integer_matmul(s, whole, (s.input(2), s.input(3)), s.input(6))


def _integer_matmul(s: Spelling, whole: tuple[str, str, str, str], scales: tuple[str, str], bias: str) -> str:
    a, a_zero, b, b_zero = whole
    made = s.add("Cast", s.add("MatMulInteger", a, b, a_zero, b_zero), to=TensorProto.FLOAT)
    made = s.add("Mul", s.add("Mul", made, scales[0]), scales[1])
    return s.add("Add", made, bias) if bias else made


def dynamic_lstm(s: Spelling) -> str:
    """Weights [directions, inputs, 4 units], quantised by direction."""
    made = []
    for at, scale in ((1, 8), (2, 10)):
        real = s.add("DequantizeLinear", s.input(at), s.input(scale), s.input(scale + 1), axis=0)
        made.append(s.add("Transpose", real, perm=[0, 2, 1]))
    rest = [s.input(at) for at in range(3, 8)]
    outputs, name = list(s.node.output), s.node.name or s.node.output[0]
    s.made.append(helper.make_node("LSTM", [s.input(0), *made, *rest], outputs, name, REAL_INPUTS, **s.attributes))
    return str(outputs[0])


RULES: dict[str, Callable[[Spelling], str]] = {
    "FusedConv": fused_conv, "FusedGemm": fused_gemm, "FusedMatMul": fused_matmul, "TransposeMatMul": fused_matmul,
    "Gelu": gelu, "BiasGelu": gelu, "FastGelu": fast_gelu, "QuickGelu": quick_gelu,
    "SkipLayerNormalization": skip_layer_norm, "QGemm": quantised_gemm, "QLinearConcat": quantised_concat,
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), quantised_pair),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearGlobalAveragePool",
                     "QLinearAveragePool"), quantised_one),
    "DynamicQuantizeMatMul": dynamic_matmul, "MatMulIntegerToFloat": matmul_to_float, "DynamicQuantizeLSTM": dynamic_lstm,
}  # fmt: skip
"""Operator -> the name of its result; empty where it has a form that is not written out."""


def approximated(model: ModelProto) -> dict[str, str]:
    """Nodes of a model written out that compute something else now, and what."""
    return {node.name: node.doc_string for node in model.graph.node if node.doc_string == REAL_INPUTS}


def spelt(model: ModelProto) -> ModelProto:
    """The model with the operators of RULES written out."""
    if not any(node.domain == DOMAIN and node.op_type in RULES for node in model.graph.node):
        return model
    nodes: list[NodeProto] = []
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        nodes += _spelt(node, ranks) if node.domain == DOMAIN and node.op_type in RULES else [node]
    found = ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    found.graph.node.extend(nodes)
    return found


def _spelt(node: NodeProto, ranks: Mapping[str, int]) -> list[NodeProto]:
    spelling = Spelling(node, ranks)
    result = RULES[node.op_type](spelling)
    if result and result != node.output[0]:
        spelling.made.append(helper.make_node("Identity", [result], [node.output[0]]))
    return spelling.made if result else [node]
