"""Operators of onnxruntime's own domain against onnxruntime, and nodes of one name."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads.execute import execute
from workloads.network import Array
from workloads.read_onnx import read_onnx

RNG = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*shape: int) -> Array:
    return RNG.integers(-90, 90, shape).astype(np.int8)


def node(op: str, *inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), domain="com.microsoft", name="one", **attributes)


STEPS = {"s": np.float32(0.05), "z": np.uint8(120), "t": np.float32(0.07), "u": np.uint8(131)}
BYTES = [
    helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
    helper.make_node("QuantizeLinear", ["x", "t", "u"], ["r"]),
]
BACK = helper.make_node("DequantizeLinear", ["o", "t", "u"], ["y"])
CASES: dict[str, tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Array], int]] = {
    "FusedConv": ([node("FusedConv", "x", "w", "b", activation="Relu", pads=[1, 1, 1, 1])], (1, 3, 6, 6),
                  {"w": normal(4, 3, 3, 3), "b": normal(4)}, 3888),
    "FusedGemm": ([node("FusedGemm", "x", "w", "b", activation="LeakyRelu", activation_alpha=0.2, transB=1)], (1, 6),
                  {"w": normal(4, 6), "b": normal(4)}, 24),
    "FusedMatMul": ([node("FusedMatMul", "x", "w", transB=1, alpha=0.5)], (1, 5, 6), {"w": normal(4, 6)}, 120),
    "FusedMatMul of activations": ([node("FusedMatMul", "x", "x", transA=1)], (1, 5, 6), {}, 180),
    "Gelu": ([node("Gelu", "x")], (1, 6), {}, 0),
    "BiasGelu": ([node("BiasGelu", "x", "b")], (1, 6), {"b": normal(6)}, 0),
    "FastGelu": ([node("FastGelu", "x", "b")], (1, 6), {"b": normal(6)}, 0),
    "QuickGelu": ([node("QuickGelu", "x", alpha=1.5)], (1, 6), {}, 0),
    "SkipLayerNormalization": ([node("SkipLayerNormalization", "x", "k", "g", "b", "c", epsilon=1e-5)], (1, 5, 6),
                               {"k": normal(1, 5, 6), "g": normal(6), "b": normal(6), "c": normal(6)}, 0),
    "MatMulIntegerToFloat": ([BYTES[0], node("MatMulIntegerToFloat", "q", "w", "s", "ws", "z", "wz", "b")], (1, 6),
                             {**STEPS, "w": whole(6, 4), "ws": np.float32(0.02), "wz": np.int8(3), "b": normal(4)}, 24),
    "DynamicQuantizeMatMul": ([node("DynamicQuantizeMatMul", "x", "w", "ws", "wz", "b")], (1, 6),
                              {"w": whole(6, 4), "ws": np.float32(0.02), "wz": np.int8(3), "b": normal(4)}, 24),
    "QGemm": ([BYTES[0], node("QGemm", "q", "s", "z", "w", "ws", "wz", "c", "t", "u", outputs=("o",), transB=1), BACK],
              (1, 6),
              {**STEPS, "w": whole(4, 6), "ws": np.float32(0.02), "wz": np.int8(0), "c": np.arange(4, dtype=np.int32)}, 24),
    "QLinearAdd": ([*BYTES, node("QLinearAdd", "q", "s", "z", "r", "t", "u", "t", "u", outputs=("o",)), BACK],
                   (1, 6), STEPS, 0),
    "QLinearGlobalAveragePool": (
        [BYTES[0], node("QLinearGlobalAveragePool", "q", "s", "z", "t", "u", outputs=("o",)), BACK], (1, 3, 6, 6), STEPS, 0),
    "QLinearConcat": ([*BYTES, node("QLinearConcat", "t", "u", "q", "s", "z", "r", "t", "u", outputs=("o",), axis=1), BACK],
                      (1, 3, 6), STEPS, 0),
}  # fmt: skip


def write(path: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...], constants: dict[str, Array]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=domains)
    made.ir_version = 8
    onnx.save(made, path)
    return path


@pytest.mark.parametrize("case", CASES)
def test_they_compute_what_onnxruntime_does(tmp_path: Path, case: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    nodes, shape, constants, macs = CASES[case]
    path, x = write(tmp_path / "m.onnx", nodes, shape, constants), normal(*shape)
    want = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found = read_onnx(path)
    assert not found.unsupported
    assert sum(found.network.macs(layer.name) for layer in found.network.layers) == macs
    got = execute(found.network, {"x": x.reshape(1, *shape[1:])})[found.outputs["y"]].reshape(want.shape)
    assert np.allclose(
        got, want, atol=0.071 if case.startswith("Q") else 1e-5
    )  # one step, where a tie may go either way


def test_nodes_of_one_name_keep_their_own_constants(tmp_path: Path) -> None:
    twins = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], name="twin"),
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"], name="twin"),
        helper.make_node("QuantizeLinear", ["b", "t", "u"], ["o"], name="twin"),
        BACK,
    ]
    path, x = write(tmp_path / "m.onnx", twins, (1, 6), STEPS), normal(1, 6)
    found = read_onnx(path)
    once = 0.05 * (np.clip(np.rint(x / np.float32(0.05)) + 120, 0, 255) - 120)
    twice = 0.07 * (np.clip(np.rint(once / np.float32(0.07)) + 131, 0, 255) - 131)
    assert np.allclose(execute(found.network, {"x": x})[found.outputs["y"]], twice, atol=1e-5)


def test_a_form_that_is_not_written_out_stays_a_listed_row(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [node("FusedMatMul", "x", "w", transBatchA=1)], (1, 5, 6), {"w": normal(6, 4)})
    assert [op for _, op in read_onnx(path).unsupported] == ["FusedMatMul"]
