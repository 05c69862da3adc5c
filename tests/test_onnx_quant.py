"""Quantised ONNX networks: in whole numbers where they are a chain of them, else in real ones, with the same answers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workloads import onnx_quant
from workloads.execute import execute
from workloads.load import load
from workloads.network import Array
from workloads.read_onnx import read_onnx
from workloads.read_qonnx import read_qonnx

RNG = np.random.default_rng(3)


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*shape: int) -> Array:
    return RNG.integers(-127, 128, shape).astype(np.int8)


def write(path: Path, nodes: list[onnx.NodeProto], shape: list[int], constants: dict[str, Array]) -> Path:
    """A QDQ network from x to y: x quantised to xd, then `nodes`, then quantised."""
    ends = {"xs": np.float32(0.05), "xz": np.uint8(128), "ys": np.float32(0.1)}
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
            helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
            *nodes,
            helper.make_node("QuantizeLinear", ["out", "ys", "xz"], ["yq"]),
            helper.make_node("DequantizeLinear", ["yq", "ys", "xz"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (ends | constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def runtime(path: Path, x: Array) -> Array:
    ort = pytest.importorskip("onnxruntime")
    ort.set_default_logger_severity(3)
    return np.asarray(ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0])


@pytest.mark.parametrize("op", ["MatMul", "Gemm", "GemmT"])
def test_scales_of_every_output_stand_on_their_axis(tmp_path: Path, op: str) -> None:
    turned = op == "GemmT"
    axis, shape = (0, (6, 8)) if turned else (1, (8, 6))
    attributes = {"transB": 1} if turned else {}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=axis),
        helper.make_node(op.removesuffix("T"), ["xd", "wd"], ["out"], **attributes),
    ]
    constants = {"w": whole(*shape), "ws": np.abs(normal(6)) * 0.01 + 0.001, "wz": np.zeros(6, np.int8)}
    path, x = write(tmp_path / "m.onnx", nodes, [1, 8], constants), normal(1, 8)
    loaded = load(str(path))
    assert not loaded.approximated
    scores = execute(loaded.network, {"x": x})[loaded.network.outputs[-1]]
    assert np.allclose(0.1 * (scores - 128), runtime(path, x), atol=1e-6)


def test_a_padded_convolution_with_a_zero_point_and_a_shortcut_is_computed_in_real_numbers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "xd"], ["out"]),
    ]
    constants = {"w": whole(3, 3, 3, 3), "ws": np.abs(normal(3)) * 0.01, "wz": np.zeros(3, np.int8)}
    path, x = write(tmp_path / "m.onnx", nodes, [1, 3, 6, 6], constants), normal(1, 3, 6, 6)
    loaded = load(str(path))
    assert not loaded.unsupported
    assert any("zero point" in why for why in loaded.approximated.values())
    assert np.allclose(
        execute(loaded.network, {"x": x})["y"], runtime(path, x), atol=0.11
    )  # a tie may round either way


@pytest.mark.parametrize("name", ["TFC_1W2A", "TFC_2W2A", "TFC_1W1A"])
def test_real_and_whole_numbers_give_the_same_classes(data: Path, name: str) -> None:
    path = data / "qonnx" / f"{name}.onnx"
    real = read_onnx(path, {}, onnx_quant.HANDLERS, onnx_quant.FOREIGN)
    ints, entry = read_qonnx(path), next(iter(real.network.inputs))
    for x in RNG.random((5, 1, 1, 28, 28)).astype(np.float32):
        one = execute(real.network, {entry: x.reshape(1, *real.network.inputs[entry])})
        two = execute(ints, {"x": x})[ints.outputs[-1]]
        assert np.argmax(one[next(iter(real.outputs.values()))]) == np.argmax(two)


def test_a_network_that_is_no_chain_is_imported_all_the_same(data: Path) -> None:
    found = load(str(data / "qonnx" / "espcn_nn_resize_quant.onnx"))
    assert not found.unsupported
    assert sum(found.network.macs(layer.name) for layer in found.network.layers) == 1_041_235_968
