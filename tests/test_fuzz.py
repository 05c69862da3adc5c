"""Is a spoilt input refused in one line, by every reader? A small slice of `make fuzz`, and what it found before."""

import gzip
import io
import json
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from reports import points, schema, stored
from sim.errors import InputError, SimError
from sim.result import SCHEMA_FILE
from tapeout.arguments import read_array
from tests.fuzz.loop import Watch, _put, _ring, check
from tests.fuzz.targets import TARGETS, TINY
from workloads.compress.steps import parse_step
from workloads.load import load
from workloads.table import table

INPUTS = 1500
pytestmark = pytest.mark.filterwarnings("ignore")  # numbers made from noise overflow


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.mark.parametrize("name", TARGETS)
def test_every_reader_takes_or_refuses(
    name: str, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, share = TARGETS[name]
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGPROF, _ring)
    for number in range(-(-INPUTS * share // sum(share for _, share in TARGETS.values()))):
        case = make(Random(f"{name}/test/{number}"))
        _put(tmp_path, case.files)
        outcome = check(case, watch, number % 25 == 24 and name not in ("energy YAML", "folding JSON", "input .npy"))
        assert outcome in ("taken", "refused"), f"{name} test {number}: {outcome}"
    signal.signal(signal.SIGPROF, before)


words = st.text(st.sampled_from("prunesharquti(){}[]=:,.\"'0123456789-+e \n\x00\u2028*&!#%@é²"), max_size=40)


@settings(max_examples=200, deadline=None)
@given(words)
def test_any_text_is_a_step_or_one_line(text: str) -> None:
    for given_text in (text, f"prune({text})"):
        try:
            parse_step(given_text)
        except SimError as error:
            assert len(str(error).splitlines()) == 1


def refused(read: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        read()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def model(tmp_path: Path, nodes: list[onnx.NodeProto], constants: list[TensorProto], **more: object) -> Path:
    shapes = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(
        nodes, "g", shapes, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants
    )
    opsets = [
        helper.make_opsetid(domain, version)
        for domain, version in (("", 13), ("local", 1), ("qonnx.custom_op.general", 1))
    ]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    return tmp_path / "m.onnx"


def test_a_function_that_calls_itself(tmp_path: Path) -> None:
    call = helper.make_node("F", ["x"], ["y"], domain="local")
    own = helper.make_function("local", "F", ["x"], ["y"], [call], [helper.make_opsetid("", 13)])
    assert "functions" in refused(lambda: load(str(model(tmp_path, [call], [], functions=[own]))))


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize(
    "facts",
    [
        {"location": "../secret"}, {"location": "/etc/passwd"}, {"location": "a" * 5000},
        {"location": "m.onnx", "offset": "²"}, {},
    ],
)  # fmt: skip
def test_external_data_stays_beside_the_model(tmp_path: Path, facts: dict[str, str], quantised: bool) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(1 << 10))
    outside = TensorProto(name="w", dims=[4, 2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in facts.items():
        outside.external_data.add(key=key, value=value)
    nodes = [helper.make_node("MatMul", ["q" if quantised else "x", "w"], ["y"])]
    half = numpy_helper.from_array(np.float32(0.5), "half")
    if quantised:
        nodes.insert(0, helper.make_node("BipolarQuant", ["x", "half"], ["q"], domain="qonnx.custom_op.general"))
    assert "external data" in refused(lambda: load(str(model(tmp_path / "in", nodes, [outside, half]))))


def test_an_if_without_inputs(tmp_path: Path) -> None:
    empty = helper.make_graph([], "b", [], [])
    node = helper.make_node("If", [], ["y"], then_branch=empty, else_branch=empty)
    refused(lambda: load(str(model(tmp_path, [node], []))))


def test_a_quantiser_of_many_bits(tmp_path: Path) -> None:
    numbers = [numpy_helper.from_array(np.float32(v), n) for n, v in (("s", 1), ("z", 0), ("b", 2.0**53))]
    node = helper.make_node(
        "Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general", rounding_mode="ROUND"
    )
    work = load(str(model(tmp_path, [node], numbers)))  # read without it, and said so
    assert [name for _, name in work.unsupported] == ["Quant"]


@pytest.mark.parametrize(
    "layer",
    [
        {"op": "tile", "repeats": [2]}, {"op": "pad", "before": [1], "after": [1]}, {"op": "broadcast", "shape": [3]},
        {"op": "slice", "starts": [0], "counts": [1], "steps": [1]},
        {"op": "linear", "outputs": 2, "bits": {"weight": -1}, "density": {"weight": 0.5}},
    ],
)  # fmt: skip
def test_layers_that_do_not_fit(tmp_path: Path, layer: dict[str, object]) -> None:
    tree = {"name": "n", "inputs": {"x": [4, 4]}, "layers": [{"name": "a", **layer}]}
    (tmp_path / "n.yaml").write_text(json.dumps(tree))
    refused(lambda: load(str(tmp_path / "n.yaml")))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"format": "huffman"', '"format": {}'), ('"name": "fc", ', ""), ('"shape": [16, 24]', '"shape": 7'),
        ('"codes": {', '"codes": "x", "x": {'), ('"codebook": {', '"codebook": 3, "x": {'),
    ],
)  # fmt: skip
def test_a_saved_tensor_with_other_parts(tmp_path: Path, before: str, after: str) -> None:
    from tests.fuzz.targets import _saved

    files = next(
        f for f in _saved() if b'"format": "huffman"' in f["network.yaml"] and b'"name": "fc"' in f["network.yaml"]
    )
    text = files["network.yaml"].decode()
    assert before in text
    (tmp_path / "tensors.safetensors").write_bytes(files["tensors.safetensors"])
    (tmp_path / "network.yaml").write_text(text.replace(before, after, 1))
    refused(lambda: load(str(tmp_path)))


def test_an_archive_s_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "lfcW1A1.tar.gz").write_bytes(b"no archive at all")
    refused(lambda: load(str(tmp_path / "lfcW1A1.tar.gz")))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("lfcW1A1/0-0-weights.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    refused(lambda: load(str(tmp_path / "a.tar.gz")))


@pytest.mark.parametrize(
    "text",
    [
        "%%MatrixMarket matrix array real skew-symmetric\n2 3\n1\n2\n3\n4\n5\n6\n",
        "%%MatrixMarket matrix coordinate pattern skew-symmetric\n3 3 2\n2 1\n3 1\n",
        "%%MatrixMarket matrix array real general\n20000 20000\n" + "1\n" * 1000,
    ],
)
def test_matrices_that_crash_or_fill_the_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.mtx").write_text(text)
    refused(lambda: load(str(tmp_path / "m.mtx")))


def test_a_matrix_that_unpacks_without_end(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(1 << 24), 9)
    (tmp_path / "m.mtx.gz").write_bytes(zeros * 17)
    assert "more than" in refused(lambda: load(str(tmp_path / "m.mtx.gz")))


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,), }",
    ],
)
def test_an_array_whose_head_lies(tmp_path: Path, head: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(16))
    refused(lambda: read_array(str(path)))
    long = io.BytesIO()
    np.lib.format.write_array_header_1_0(long, {"descr": "<f4", "fortran_order": False, "shape": (1 << 60,)})
    path.write_bytes(long.getvalue() + bytes(16))
    refused(lambda: read_array(str(path)))


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a" * 5000, "a\x00b", "²"])
def test_names_of_no_workload(name: str) -> None:
    refused(lambda: load(name))


def test_a_topology_of_superscripts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("head\nc, ², 8, 3, 3, 1, 1, 1,\n")
    refused(lambda: load(str(tmp_path / "t.csv")))


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": NaN}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", "[" * 100_000, "{}"]
)
def test_stored_results_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    refused(lambda: stored.load(tmp_path / "result.json"))
    (tmp_path / "study.json").write_text(text)
    (tmp_path / "points.csv").write_text("key,arch\n")
    refused(lambda: points.read(tmp_path))


def test_our_validator_agrees_with_a_full_one() -> None:
    import jsonschema

    from tests.fuzz.mutate import spoil_tree
    from tests.fuzz.targets import _result

    rules = json.loads(SCHEMA_FILE.read_text())
    full = jsonschema.Draft202012Validator(rules)
    for number in range(150):
        data = spoil_tree(Random(number), _result())
        assert full.is_valid(data) == (next(schema.mistakes(data, rules), None) is None), f"tree {number}"


def test_the_tiny_network_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    found = load(str(tmp_path / "tiny.yaml"))
    assert table(found.network)["total"]["macs"] == 48
