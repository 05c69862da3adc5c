"""One target per reader: makes a spoilt input, and reads it. Every seed is made here, or comes with tapeout.

A target is a function (generator) -> Case. The files are put into an empty folder, which one stands in; `read` reads
them as the library does, `words` is a command line that reads the same.
"""

import contextlib
import csv
import gzip
import io
import json
import re
import struct
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

import archs
from sim.config import read_yaml
from sim.errors import InputError
from tests.fuzz.models import onnx_model, qonnx_model, spoil_model
from tests.fuzz.mutate import FLOATS, NUMBERS, plain, scalar, spoil_bytes, spoil_text, spoil_tree, written
from workloads import load as loading
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear, Relu

Files = Mapping[str, bytes]
MOST_DRAWN = 1 << 22
"""Networks with more values than this are read but not filled: seeded tensors are as large as was asked for."""


@dataclass(frozen=True, slots=True)
class Case:
    """An input: files, the command that reads them, and the reader itself."""

    files: Files
    words: tuple[str, ...]
    read: Callable[[], object]


ROOMS = Path(archs.__file__).parents[1]
TINY = {
    "name": "tiny",
    "inputs": {"x": [8]},
    "layers": [{"name": "fc", "op": "linear", "outputs": 6, "density": {"weight": 0.4}}],
}


def workload(name: str) -> None:
    """As `import` reads it: the network, its table, and seeded tensors where they are small."""
    from workloads.table import table

    path = Path(name)
    read = loading._read(path, {})
    loading._check_finite(read.network, path)
    table(read.network, read.approximated, read.unsupported)
    network = read.network
    sizes = [prod(s) for layer in network.layers for s in layer.op.parameters(*network.sources(layer.name)).values()]
    if sum(sizes) + sum(map(prod, network.shapes.values())) < MOST_DRAWN:
        loading.load(name)


def _imported(files: Files, name: str) -> Case:
    return Case(files, ("import", name, "--json"), lambda: workload(name))


# ---- networks


@cache
def _zoo() -> tuple[dict[str, Any], ...]:
    """Small networks of the zoo as trees, and one layer of every kind."""
    names = ("lenet-300-100", "lenet5", "neuraltalk-lstm", "alexnet-fc7", "tfc", "squeezenet1.1", "shufflenet-1x-g3")
    trees = [plain(read_yaml(loading.ZOO / f"{name}.yaml").data) for name in names]
    for tree in trees:
        tree["layers"] = tree["layers"][:12]
    return (TINY, *trees, KINDS, KINDS)


KINDS: dict[str, Any] = {
    "name": "kinds",
    "inputs": {"x": [2, 8, 8], "v": [4, 6], "i": [3]},
    "layers": [
        {"name": "a", "op": "conv", "inputs": ["x"], "outputs": 4, "kernel": 3, "stride": 1, "padding": 1, "groups": 2},
        {"name": "b", "op": "batchnorm"}, {"name": "c", "op": "relu"}, {"name": "d", "op": "add", "inputs": ["c", "a"]},
        {"name": "e", "op": "pool", "mode": "max", "kernel": [2, 2], "stride": [2, 2]}, {"name": "f", "op": "lrn"},
        {"name": "g", "op": "shuffle", "groups": 2}, {"name": "h", "op": "concat", "inputs": ["g", "e"], "axis": 0},
        {"name": "j", "op": "convtranspose", "outputs": 2, "kernel": 2, "stride": 2}, {"name": "k", "op": "softmax", "axis": 0},
        {"name": "l", "op": "reduce", "function": "reducemean", "axes": [1]}, {"name": "m", "op": "transpose", "axes": [1, 0]},
        {"name": "n", "op": "slice", "starts": [0, 0], "sizes": [2, 2], "steps": [1, 1]},
        {"name": "o", "op": "pad", "before": [1, 1], "after": [0, 0]}, {"name": "p", "op": "tile", "repeats": [2, 1]},
        {"name": "q", "op": "flatten"}, {"name": "r", "op": "linear", "outputs": 5, "bias": True, "density": {"weight": 0.5}},
        {"name": "s", "op": "lstm", "inputs": ["v"], "hidden": 4}, {"name": "t", "op": "gru", "inputs": ["v"], "hidden": 4},
        {"name": "u", "op": "threshold", "inputs": ["r"], "levels": 3}, {"name": "w", "op": "reshape", "inputs": ["v"], "shape": [24]},
        {"name": "y", "op": "matmul", "inputs": ["v", "z0"]}, {"name": "zz", "op": "einsum", "inputs": ["v", "v"], "equation": "ij,ij->i"},
        {"name": "z1", "op": "resize", "inputs": ["x"], "shape": [2, 16, 16], "scales": [1.0, 2.0, 2.0]},
        {"name": "z2", "op": "elementwise", "inputs": ["x"], "function": "sigmoid"}, {"name": "z3", "op": "embed", "inputs": ["i"], "entries": 9, "shape": [2]},
        {"name": "z4", "op": "rnn", "inputs": ["v"], "hidden": 4}, {"name": "z5", "op": "normalise", "inputs": ["v"], "axes": [1]},
        {"name": "z6", "op": "unroll", "inputs": ["x"], "kernel": [2, 2]}, {"name": "z7", "op": "quantise", "inputs": ["x"]},
        {"name": "z8", "op": "unsupported", "inputs": ["x"], "why": "?", "shape": [3]},
        {"name": "z9", "op": "broadcast", "inputs": ["i"], "shape": [4, 3]}, {"name": "z10", "op": "constant", "inputs": [], "shape": [4, 3]},
    ],
}  # fmt: skip


def network_yaml(rng: Random) -> Case:
    tree = plain(rng.choice(_zoo()))
    if tree["name"] == "kinds":  # few layers at a time, so that one mistake does not hide the others
        tree["layers"] = sorted(rng.sample(tree["layers"], 3), key=lambda layer: layer["name"])
        for n, layer in enumerate(tree["layers"]):
            sources = layer.get("inputs", ["x"])
            layer["inputs"] = [s if s in tree["inputs"] else rng.choice(["x", "v"]) for s in sources]
            layer["name"] = f"{layer['name']}{n}"
    if rng.random() < 0.1:
        text = (loading.ZOO / "lenet5.yaml").read_bytes()
        variant = {
            "name": "v",
            "base": "lenet5",
            "layers": {"fc1": {"density": {"weight": 0.1}, "bits": {"weight": 4}}},
        }
        return _imported({"lenet5.yaml": text, "n.yaml": written(rng, spoil_tree(rng, variant))}, "n.yaml")
    return _imported({"n.yaml": written(rng, spoil_tree(rng, tree))}, "n.yaml")


def onnx_file(rng: Random) -> Case:
    return _imported({"m.onnx": spoil_model(rng, onnx_model(rng))}, "m.onnx")


def qonnx_file(rng: Random) -> Case:
    return _imported({"m.onnx": spoil_model(rng, qonnx_model(rng))}, "m.onnx")


def _small() -> Network:
    rng = np.random.default_rng(0)
    layers = [
        Layer("conv", Conv(4, (3, 3), padding=(1, 1, 1, 1), bias=False), ("x",), {"weight": rng.standard_normal((4, 2, 3, 3))}),
        Layer("act", Relu(), ("conv",)),
    ]  # fmt: skip
    return Network("small", {"x": (2, 5, 5)}, layers)


def _vector() -> Network:
    rng = np.random.default_rng(0)
    weights = {"weight": rng.standard_normal((16, 24)).astype(np.float32), "bias": np.ones(16, np.float32)}
    return Network("small", {"x": (24,)}, [Layer("fc", Linear(16), ("x",), weights)])


STEPS = (
    "prune(density=0.3)", "prune(granularity=nm, n=2, m=4)", "prune(granularity=block, block=[2, 2], density=0.5)", "share(bits=3)",
    "share(bits=3, huffman=true)", "quantise(scheme=binary)", "quantise(scheme=xnor)", "quantise(scheme=ternary)", "quantise(scheme=pow2)",
    "quantise(bits=4)", "hash(ratio=0.25)", "hash(cosine=true)", "pq(words=4, length=2)", "lowrank(rank=2)", "lowrank(kind=tt)",
    "lowrank(kind=cp)", "lowrank(kind=tucker)", "lowrank(kind=kronecker)", "structured(kind=circulant, block=4)",
    "structured(kind=fastfood)", "structured(kind=acdc)", "dctcode(step=0.25)",
)  # fmt: skip


@cache
def _saved() -> tuple[Files, ...]:
    """Folders of networks compressed in every way that the steps above allow."""
    from workloads.compress.steps import compress, parse_step
    from workloads.save import save

    found = []
    with TemporaryDirectory() as folder:
        for network in (_vector(), _small()):
            for steps in ((), *((step,) for step in STEPS), (STEPS[0], STEPS[3]), (STEPS[0], STEPS[9])):
                try:
                    save(compress(network, [parse_step(step) for step in steps], 0).network, Path(folder))
                except InputError:
                    continue
                found.append({path.name: path.read_bytes() for path in Path(folder).iterdir()})
    return tuple(found)


def saved_folder(rng: Random) -> Case:
    """The YAML or the safetensors header as a tree, or either as bytes."""
    files = {f"net/{name}": data for name, data in rng.choice(_saved()).items()}
    if rng.random() < 0.6:
        tree = _lines(files["net/network.yaml"].decode())
        files["net/network.yaml"] = written(rng, spoil_tree(rng, tree))
    else:
        files["net/tensors.safetensors"] = _safetensors(rng, files["net/tensors.safetensors"])
    return _imported(files, "net")


def _lines(text: str) -> Any:
    """The tree that `save` wrote: a JSON value a line."""
    tree: dict[str, Any] = {"layers": []}
    for line in text.splitlines():
        if line.startswith("  - "):
            tree["layers"].append(json.loads(line[4:]))
        elif line != "layers:":
            key, _, value = line.partition(": ")
            tree[key] = json.loads(value)
    return tree


def _safetensors(rng: Random, data: bytes) -> bytes:
    if rng.random() < 0.3:
        return spoil_bytes(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    head = json.dumps(spoil_tree(rng, json.loads(data[8 : 8 + size]))).encode()
    length = len(head) if rng.random() < 0.9 else abs(rng.choice(NUMBERS)) % 2**64
    return struct.pack("<Q", length) + head + data[8 + size :]


# ---- published forms


def archive(rng: Random) -> Case:
    """A parameter archive of one or two binary layers, spoilt in its words, its members, or as bytes."""
    words = np.random.default_rng(rng.randrange(9)).integers(0, 2**32, 832 // 32 * 16, dtype=np.uint64)
    pes, members = 4, {}
    for pe in range(pes):
        members[f"lfcW1A1/0-{pe}-weights.bin"] = words.tobytes()
        members[f"lfcW1A1/0-{pe}-thres.bin"] = np.arange(16, dtype=np.int64).tobytes()
        members[f"lfcW1A1/1-{pe}-weights.bin"] = words[:32].tobytes()
    members["lfcW1A1/classes.txt"] = "\n".join(map(str, range(10))).encode()
    plainly = io.BytesIO()
    with tarfile.open(fileobj=plainly, mode="w", format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as tar:
        for name, data in members.items():
            _member(rng, tar, name, data, rng.random() < 0.12)
    raw = plainly.getvalue()
    raw = spoil_bytes(rng, raw) if rng.random() < 0.3 else raw
    packed = gzip.compress(raw, 1) if rng.random() < 0.9 else raw
    name = rng.choice(["lfcW1A1.tar.gz", "net.tgz"])
    return _imported({name: spoil_bytes(rng, packed) if rng.random() < 0.2 else packed}, name)


def _member(rng: Random, tar: tarfile.TarFile, name: str, data: bytes, spoilt: bool) -> None:
    info = tarfile.TarInfo(name)
    if spoilt:
        match rng.randrange(5):
            case 0:
                info.name = rng.choice(
                    [
                        "../../x",
                        "/tmp/x",
                        "a" * 300,
                        "lfcW9A9/0-0-weights.bin",
                        "cnvW1A1/0-9999-thres.bin",
                        "²-0-weights.bin",
                    ]
                )
            case 1:
                info.type = rng.choice(
                    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
                )
                info.linkname = rng.choice(["/etc/passwd", name, "../x"])
            case 2:
                data = spoil_bytes(rng, data)
            case 3:
                data = data[: rng.randrange(len(data) + 1)]
            case _:
                data = data * rng.choice([0, 2, 3])
    info.size = len(data) if info.type == tarfile.REGTYPE else 0
    tar.addfile(info, io.BytesIO(data))


@cache
def _net() -> bytes:
    """A compressed SqueezeNet of one entry a layer."""
    from workloads.read_deep_compression import BASE
    from workloads.read_yaml import read_network

    base = read_network(BASE).network
    layers = [layer for layer in base.layers if isinstance(layer.op, Conv)]
    parts = [np.full(len(layers), 3, "<u4").tobytes()]
    for layer in layers:
        codebook = np.arange(256, dtype="<f4").tobytes()
        bias = np.zeros(layer.op.parameters(*base.sources(layer.name))["bias"], "<f4").tobytes()
        parts.append(codebook + bias + bytes([1, 2, 0]) + bytes([0x21, 0x0F]))
    return b"".join(parts)


def net_file(rng: Random) -> Case:
    return _imported(
        {"n.net": spoil_bytes(rng, _net()) if rng.random() < 0.7 else spoil_bytes(rng, _net()[:104]) + _net()[104:]},
        "n.net",
    )


def matrix_market(rng: Random) -> Case:
    kind, value, shape = (
        rng.choice(w)
        for w in (
            ["coordinate", "array", "vector"],
            ["real", "integer", "pattern", "complex"],
            ["general", "symmetric", "skew-symmetric"],
        )
    )
    rows, columns, entries = (rng.choice(NUMBERS) if rng.random() < 0.08 else size for size in (3, 3, 4))
    sizes = f"{rows} {columns} {entries}" if kind == "coordinate" else f"{rows} {columns}"
    lines = [f"%%MatrixMarket matrix {kind} {value} {shape}", "% made here", sizes]
    for n in range(4 if kind == "coordinate" else 9):
        at = f"{n % 3 + 1} {n // 3 + 1} " if kind == "coordinate" else ""
        lines.append(
            at
            + (
                ""
                if value == "pattern"
                else str(
                    rng.choice(FLOATS)
                    if rng.random() < 0.05
                    else rng.choice([1, 2, -3] if value == "integer" else [1, 2.5, -3])
                )
            )
        )
    text = "\n".join(lines) + "\n"
    data = (spoil_text(rng, text) if rng.random() < 0.4 else text).encode("utf-8", "replace")
    data = spoil_bytes(rng, data) if rng.random() < 0.3 else data
    if rng.random() < 0.2:
        packed = gzip.compress(data, 1)
        return _imported({"m.mtx.gz": spoil_bytes(rng, packed) if rng.random() < 0.6 else packed}, "m.mtx.gz")
    return _imported({"m.mtx": data}, "m.mtx")


def scalesim(rng: Random) -> Case:
    rows = ["Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"]
    for n in range(rng.randrange(4)):
        rows.append(
            rng.choice(
                [
                    f"conv{n}, 8, 8, 3, 3, 2, 4, 1,",
                    f"fc{n}, 1, 1, 1, 1, 9, 4, 1,",
                    f"g{n}, 4, 5, 6,",
                    f"c{n}, 9, 9, 3, 3, 1, 1, 2, 2,",
                ]
            )
        )
    text = "\n".join(rows)
    text = spoil_text(rng, text) if rng.random() < 0.8 else text
    data = text.encode("utf-8", "replace")
    return _imported({"t.csv": spoil_bytes(rng, data) if rng.random() < 0.5 else data}, "t.csv")


def folding(rng: Random) -> Case:
    from workloads.folding import read_folding

    tree = {
        "Defaults": {},
        "MVAU_hls_0": {"PE": 2, "SIMD": 4, "ram_style": "block"},
        "MVAU_hls_1": {"PE": 1, "SIMD": 2},
        "Thresholding_0": {"PE": 1},
    }
    files = {"f.json": written(rng, spoil_tree(rng, tree)), "tiny.yaml": json.dumps(TINY).encode()}
    return Case(
        files,
        ("run", "finn", "tiny.yaml", "--set", "fold.file=f.json", "--timing-only"),
        lambda: read_folding("f.json"),
    )


# ---- settings


@cache
def _configs() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Every configuration of every accelerator, and all its defaults, as trees."""
    found = [
        (name, plain(read_yaml(archs.folder(name) / "config" / f"{config}.yaml").data))
        for name in archs.names()
        for config in archs.configs(name)
    ]
    found += [(name, json.loads(archs.settings(name).model_dump_json())) for name in archs.names()]
    return tuple((name, tree) for name, tree in found if tree)


def _machine(name: str, config: str | None, given: Mapping[str, str]) -> None:
    archs.find(name).machine(archs.settings(name, config, given))


def config_yaml(rng: Random) -> Case:
    name, tree = rng.choice(_configs())
    files = {"c.yaml": written(rng, spoil_tree(rng, tree)), "tiny.yaml": json.dumps(TINY).encode()}
    return Case(files, ("run", name, "absent.yaml", "--config", "c.yaml"), lambda: _machine(name, "c.yaml", {}))


def set_values(rng: Random) -> Case:
    name = rng.choice(archs.names())
    given = {}
    for _ in range(rng.choice([1, 1, 2])):
        key = rng.choice(list(archs.find(name).SPEC.model_fields)) + rng.choice(
            ["", "", "", ".x", ".0.pe", ".layers", ".target_fps"]
        )
        key = spoil_text(rng, key) if rng.random() < 0.1 else key
        default = getattr(archs.settings(name), key, 4)
        given[key] = rng.choice(
            [str(scalar(rng)), spoil_text(rng, str(default)), str(rng.choice(NUMBERS)), f"{rng.choice(NUMBERS)} MHz"]
        )
    return Case({}, ("run", name, "absent.yaml", *_set(given)), lambda: _machine(name, None, given))


def _set(given: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word.replace("\x00", "?") for key, value in given.items() for word in ("--set", f"{key}={value}"))


NEAR = [0, 1, 2, 3, 5, 7, 8, 16, 17, 64, 100, 4096, 10**6, 2**31, 2**62]


def whole_run(rng: Random) -> Case:
    """Settings that are each allowed, or nearly, on a tiny network: a run through, numbers and all."""
    from tapeout import session

    name = rng.choice(archs.names())
    own = archs.find(name).SPEC.model_fields
    given = {key: fitting(rng, own[key]) for key in rng.sample(list(own), rng.choice([1, 1, 2]))}
    tree = rng.choice([TINY, CONVS]) if rng.random() < 0.8 else spoil_tree(rng, TINY)
    case = ("run", name, "n.yaml", *_set(given))

    def read() -> None:
        from workloads.read_yaml import read_network

        network = read_network(Path("n.yaml")).network
        if (
            sum(map(prod, network.shapes.values())) + sum(network.macs(layer.name) for layer in network.layers)
            < 1 << 16
        ):
            session.run(name, "n.yaml", settings=given)

    return Case({"n.yaml": json.dumps(tree).encode()}, case if tree in (TINY, CONVS) else ("import", "n.yaml"), read)


CONVS = {
    "name": "convs", "inputs": {"x": [2, 8, 8]},
    "layers": [{"name": "conv1", "op": "conv", "outputs": 4, "kernel": 3, "padding": 1, "bias": False},
               {"name": "relu1", "op": "relu"}, {"name": "pool1", "op": "pool", "mode": "max", "kernel": [2, 2], "stride": [2, 2]},
               {"name": "conv2", "op": "conv", "outputs": 3, "kernel": 3, "bias": False}],
}  # fmt: skip


def warm() -> None:
    """Every machine once, on each of the tiny networks."""
    from tapeout import session

    with TemporaryDirectory() as folder:
        for tree in (TINY, CONVS):
            path = Path(folder) / f"{tree['name']}.yaml"
            path.write_text(json.dumps(tree))
            for name in archs.names():
                with contextlib.suppress(InputError):
                    session.run(name, path)


def energy_yaml(rng: Random) -> Case:
    name = rng.choice(archs.names())
    table = archs.folder(name) / "energy.yaml"
    tree = plain(read_yaml(table).data)
    for part in tree.values():
        for key in rng.sample(list(part), max(0, len(part) - 3)):
            del part[key]
    files = {"e.yaml": written(rng, spoil_tree(rng, tree)), "tiny.yaml": json.dumps(TINY).encode()}
    words = ("run", name, "tiny.yaml", "--timing-only", "--set", "energy=e.yaml")
    return Case(files, words, lambda: _prices(table))


def _prices(own: Path) -> None:
    from sim.energy import EnergyTable

    EnergyTable.load(own).override("e.yaml")
    EnergyTable.load("e.yaml")


def compress_steps(rng: Random) -> Case:
    from workloads.compress.steps import compress, parse_step

    texts = [
        spoil_text(rng, rng.choice(STEPS)) if rng.random() < 0.7 else _step(rng) for _ in range(rng.choice([1, 1, 2]))
    ]
    texts = [text.replace("\x00", "?") for text in texts]
    network = rng.choice([_vector, _small])()
    files = {"tiny.yaml": json.dumps(TINY).encode()}
    words = ("compress", "tiny.yaml", *(word for text in texts for word in ("--apply", text)))
    return Case(files, words, lambda: compress(network, [parse_step(text) for text in texts], 0))


def _step(rng: Random) -> str:
    """A family, with settings of its own at any value."""
    from workloads.compress.steps import FAMILIES

    family = rng.choice(list(FAMILIES))
    names = [*FAMILIES[family].settings.model_fields, "layers"]
    settings = rng.sample(names, rng.randrange(1, min(4, len(names) + 1)))
    return f"{family}({', '.join(f'{name}={_setting(rng, FAMILIES[family].settings, name)}' for name in settings)})"


def _setting(rng: Random, spec: Any, name: str) -> str:
    return (
        fitting(rng, spec.model_fields[name]) if name in spec.model_fields else rng.choice(['"*"', "fc", "conv", "1"])
    )


UNITS = {
    "Hz": "MHz",
    "s": "ms",
    "J": "pJ",
    "W": "mW",
    "V": "V",
    "m2": "mm2",
    "B": "KiB",
    "B/s": "GB/s",
    "J/bit": "pJ/bit",
}


def fitting(rng: Random, field: Any) -> str:
    """A value of the kind that a setting takes, near a border of it; now and then any value."""
    if rng.random() < 0.1:
        return str(scalar(rng))
    hint = f"{field.annotation} {field.metadata}"
    words = re.findall(r"Literal\[(.*?)\]", hint)
    if words:
        return rng.choice([word.strip("' ") for word in words[0].split(",")])
    if "bool" in hint:
        return rng.choice(["true", "false"])
    quantity = next((unit for unit in UNITS if f"'{unit}'" in hint), "")
    quantity = quantity or next((unit for unit, shown in UNITS.items() if _takes(field, f"1 {shown}")), "")
    value = rng.choice(NEAR if "int" in hint else [*NEAR, 0.1, 0.25, 0.5, 0.9])
    if quantity:
        return f"{value} {UNITS[quantity]}"
    return f"[{value}, {rng.choice(NEAR)}]" if "tuple" in hint and rng.random() < 0.7 else str(value)


def _takes(field: Any, text: str) -> bool:
    """Whether a setting takes `text` as a quantity."""
    try:
        TypeAdapter(Annotated[field.annotation, "", *field.metadata]).validate_python(text, context="text")
    except ValidationError:
        return False
    return "float" in str(field.annotation)


def workload_text(rng: Random) -> Case:
    text = rng.choice(
        ["alexnet-fc8", "lenet-300-100", "tiny.yaml", "absent", "tfc", "lenet5", "tiny.yaml#fc"]
    ) + rng.choice(
        [
            "",
            "#fc1",
            "#",
            "#conv1#",
            "@weight=0.1",
            "@weight=0.5,activation=0.2",
            "@weight=²",
            "@activation=1e400",
            "@",
            "#fc1@weight=0.1",
        ]
    )
    text = (spoil_text(rng, text) if rng.random() < 0.7 else text).replace("\x00", "?")
    shape = spoil_text(rng, "x=1,3,4,4").replace("\x00", "?")
    words = ("import", "--shape", shape, "--", text) if rng.random() < 0.3 else ("import", "--", text)
    return Case({"tiny.yaml": json.dumps(TINY).encode()}, words, lambda: loading.load(text))


def input_array(rng: Random) -> Case:
    from tapeout.arguments import read_array

    buffer = io.BytesIO()
    dtype = rng.choice(
        [np.float32, np.int8, np.bool_, np.complex64, np.float16, "<U3", "datetime64[s]", "V5", [("a", "i4")]]
    )
    np.save(buffer, np.zeros(rng.choice([(1, 8), (8,), (), (0, 8), (2, 3, 4)]), dtype), allow_pickle=False)
    files = {
        "x.npy": spoil_bytes(rng, buffer.getvalue()) if rng.random() < 0.8 else buffer.getvalue(),
        "tiny.yaml": json.dumps(TINY).encode(),
    }
    return Case(files, ("run", "eie", "tiny.yaml", "--input", "x.npy"), lambda: read_array("x.npy"))


# ---- studies, stores, stored results


@cache
def _studies() -> tuple[dict[str, Any], ...]:
    return tuple(plain(read_yaml(path).data) for path in sorted((ROOMS / "archs").glob("*/studies/*.yaml")))


def study_yaml(rng: Random) -> Case:
    from tapeout.explore import study

    files = {"s.yaml": written(rng, spoil_tree(rng, rng.choice(_studies())))}
    return Case(files, (), lambda: study.read("s.yaml"))


@cache
def _explored() -> Files:
    """The files of a small exploration: store and study."""
    from tapeout.explore import study, verb

    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(json.dumps(TINY))
        text = {"question": "?", "arch": "eie", "workload": str(folder / "tiny.yaml"), "parameters": {"pes": [1, 2], "queue_depth": [2, 4]},
                "objectives": [{"minimise": "time_s"}, {"minimise": "energy_j"}]}  # fmt: skip
        (folder / "s.yaml").write_text(json.dumps(text))
        _, made = verb.run(study.read(folder / "s.yaml"), folder / "out", 1, None, lambda *_: None)
        files = {
            f"store/{path.name}": path.read_bytes() for path in (folder / "out" / "store").iterdir() if path.is_file()
        }
        return files | {f"study/{name}": (made / name).read_bytes() for name in ("study.json", "points.csv")}


def store(rng: Random) -> Case:
    from tapeout.explore.store import Store

    files = {name: data for name, data in _explored().items() if name.startswith("store/")}
    name = rng.choice(list(files))
    if name.endswith(".json") and rng.random() < 0.7:
        files[name] = written(rng, spoil_tree(rng, json.loads(files[name])))
    else:
        files[name] = spoil_bytes(rng, files[name])
    if rng.random() < 0.2:
        files["store/x.parquet"] = spoil_bytes(rng, rng.choice(list(files.values())))

    def read() -> None:
        found = Store(Path("store"))
        found.done(["time_s"])
        for _ in found.rows({"key", "status"}, ["settings", "figures"]):
            pass

    return Case(files, (), read)


def study_folder(rng: Random) -> Case:
    from reports import page, points

    files = {name: data for name, data in _explored().items() if name.startswith("study/")}
    if rng.random() < 0.6:
        files["study/study.json"] = written(rng, spoil_tree(rng, json.loads(files["study/study.json"])))
    else:
        rows = list(csv.reader(io.StringIO(files["study/points.csv"].decode())))
        spoilt = spoil_tree(rng, rows) if rng.random() < 0.5 else rows
        lines = [
            ",".join(map(str, row)) if isinstance(row, list) else str(row)
            for row in (spoilt if isinstance(spoilt, list) else [])
        ]
        data = "\n".join(lines).encode("utf-8", "replace")
        files["study/points.csv"] = spoil_bytes(rng, data) if rng.random() < 0.5 else data
    return Case(files, ("report", "study", "--out", "out/p.html"), lambda: page.page([], [points.read(Path("study"))]))


@cache
def _result() -> dict[str, Any]:
    from tapeout import session

    with TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.yaml"
        path.write_text(json.dumps(TINY))
        found: dict[str, Any] = json.loads(session.run("eie", path).to_json())
        return found


def result_json(rng: Random) -> Case:
    from reports import diff, page, stored

    files = {"r/result.json": written(rng, spoil_tree(rng, _result())), "w/result.json": json.dumps(_result()).encode()}

    def read() -> None:
        found = stored.read("r")
        page.page([found], [])
        diff.table(diff.diff(found, stored.read("w")))

    return Case(files, ("diff", "r", "w") if rng.random() < 0.5 else ("report", "r", "--out", "out/p.html"), read)


TARGETS: Mapping[str, tuple[Callable[[Random], Case], int]] = {
    "arch configs": (config_yaml, 8),
    "--set values": (set_values, 8),
    "whole runs": (whole_run, 2),
    "energy YAML": (energy_yaml, 5),
    "studies": (study_yaml, 8),
    "network YAML": (network_yaml, 14),
    "ONNX": (onnx_file, 16),
    "QONNX": (qonnx_file, 10),
    "safetensors folders": (saved_folder, 8),
    "folding JSON": (folding, 6),
    "parameter archives": (archive, 4),
    "Deep Compression .net": (net_file, 2),
    "Matrix Market": (matrix_market, 6),
    "SCALE-Sim CSV": (scalesim, 6),
    "compress --apply": (compress_steps, 6),
    "workload names": (workload_text, 3),
    "input .npy": (input_array, 5),
    "explore stores": (store, 5),
    "study folders": (study_folder, 3),
    "stored results": (result_json, 3),
}
"""Reader -> (target, share of the inputs)."""
