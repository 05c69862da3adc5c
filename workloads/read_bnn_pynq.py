"""Parameter archives of the BNN-PYNQ networks: a .tar.gz of `L-P-weights.bin` and `L-P-thres.bin` per layer and PE.

The files hold words only; precision, folding and padding follow from the folder's name (`mnist_lfcW1A1`,
`cifar10_cnvW2A2`), the number of PEs and the file sizes. Source of the format: Xilinx/BNN-PYNQ, bnn/params (BSD-3).
"""

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sim.errors import InputError
from workloads.formats.bits import PeWords
from workloads.formats.thresholds import PeThresholds
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Op, Pool
from workloads.quantised import Quantise, Threshold

MEMBER = re.compile(r"(?:.*/)?(\d{1,3})-(\d{1,4})-(weights|thres)\.bin")
NAME = re.compile(r"(lfc|sfc|tfc|cnv).*?w(\d)a(\d)", re.IGNORECASE)
MAX_BYTES = 256 << 20
MAX_MEMBERS = 100_000
PAD = 64
"""Inputs of a binary first layer and rows of the last layer are padded to multiples of this."""
PIXELS = 28
CNV = (("conv", 0), ("conv", 2), ("conv", 0), ("conv", 2), ("conv", 0), ("conv", 0), ("fc", 0), ("fc", 0), ("fc", 0))
"""Layers of CNV, each with the pooling window that follows it; all convolutions are 3x3 without padding."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False, slots=True)
class Archive:
    """What the files say: words `[PE][word]` per layer, thresholds likewise, class names, name of the folder."""

    where: str
    name: str
    weights: Mapping[int, Words]
    thresholds: Mapping[int, npt.NDArray[np.int64]]
    classes: tuple[str, ...]

    def error(self, message: str, layer: int | None = None) -> InputError:
        """An InputError about one layer."""
        return InputError(message, where=self.where, setting="" if layer is None else f"layer {layer}")


def read_bnn_pynq(path: str | Path) -> Network:
    """The network of a parameter archive, tensors in the archive's own words.

    Inputs are raw pixels: 28 x 28 for fully connected networks, 32 x 32 x 3 (RGB) for CNV.
    """
    return network(read_archive(path))


def read_archive(path: str | Path) -> Archive:
    """All words of an archive, checked for completeness."""
    where = str(path)
    try:
        with tarfile.open(path, "r:*") as tar:
            files = dict(_members(tar, where))
    except OSError as error:
        raise InputError(error.strerror or "is not a parameter archive (.tar.gz)", where=where) from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"the archive is truncated or damaged: {error}", where=where) from None
    stem = next((name.split("/")[-2] for name in files if "/" in name), Path(path).name.split(".")[0])
    classes = next((data for name, data in files.items() if name.rpartition("/")[2] == "classes.txt"), b"")
    archive = Archive(
        where,
        stem if NAME.search(stem) else Path(path).name.split(".")[0],
        _gather(files, "weights", np.dtype("<u8"), where),
        _gather(files, "thres", np.dtype("<i8"), where),
        tuple(line for line in classes.decode("utf-8", "replace").splitlines() if line.strip()),
    )
    if not archive.weights or sorted(archive.weights) != list(range(len(archive.weights))):
        raise archive.error(f"weights of layers {sorted(archive.weights)}; allowed: 0, 1, 2, ... without gaps")
    return archive


def _members(tar: tarfile.TarFile, where: str) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files that matter; nothing is written anywhere."""
    size = 0
    for count, member in enumerate(tar):
        size += member.size
        if size > MAX_BYTES or count > MAX_MEMBERS:
            raise InputError(f"larger than {MAX_BYTES} bytes or {MAX_MEMBERS} files unpacked", where=where)
        if not member.isfile() or not (MEMBER.fullmatch(member.name) or member.name.endswith("classes.txt")):
            continue
        file = tar.extractfile(member)
        data = file.read() if file else b""
        if len(data) != member.size:
            raise InputError(f"the archive is truncated: {member.name} is cut off", where=where)
        yield member.name, data


def _gather(files: Mapping[str, bytes], kind: str, dtype: np.dtype, where: str) -> dict[int, npt.NDArray]:  # type: ignore[type-arg]
    """Arrays `[PE, word]` by layer."""
    found: dict[int, dict[int, npt.NDArray[np.generic]]] = {}
    for name, data in files.items():
        match = MEMBER.fullmatch(name)
        if match and match[3] == kind:
            if len(data) % 8 or not data:
                raise InputError(f"{name} has {len(data)} bytes; allowed: words of 8 bytes", where=where)
            found.setdefault(int(match[1]), {})[int(match[2])] = np.frombuffer(data, dtype)
    return {layer: _stack(layer, parts, kind, where) for layer, parts in found.items()}


def _stack(layer: int, parts: Mapping[int, npt.NDArray[np.generic]], kind: str, where: str) -> npt.NDArray[np.generic]:
    at = f"layer {layer}"
    if sorted(parts) != list(range(len(parts))):
        missing = min(set(range(max(parts) + 1)) - set(parts))
        raise InputError(f"{kind} of PE {missing} are missing", where=where, setting=at)
    sizes = {len(part) for part in parts.values()}
    if len(sizes) > 1:
        raise InputError(f"PEs hold {sorted(sizes)} words of {kind}; allowed: equally many", where=where, setting=at)
    rows = np.stack([parts[pe] for pe in sorted(parts)])
    return rows.astype(rows.dtype.newbyteorder("="))


def network(archive: Archive) -> Network:
    """The network that an archive's words stand for."""
    match = NAME.search(archive.name)
    if not match:
        raise archive.error(
            f"the name {archive.name} does not say what it holds; allowed: a folder or file named like "
            "mnist_lfcW1A1, mnist_sfcW1A2, cifar10_cnvW2A2"
        )
    family, weight_bits, bits = match[1].lower(), int(match[2]), int(match[3])
    if weight_bits not in (1, 2) or bits not in (1, 2):
        raise archive.error(f"W{weight_bits}A{bits}; allowed: 1 or 2 bits each")
    if family != "cnv":
        return _stack_of_fc(archive, weight_bits, bits)
    if len(archive.weights) != len(CNV):
        raise archive.error(f"{len(archive.weights)} layers; a CNV has {len(CNV)}")
    return _cnv(archive, weight_bits, bits)


def _stack_of_fc(archive: Archive, weight_bits: int, bits: int) -> Network:
    size = PIXELS * PIXELS
    pixels = Layer(
        "binarise", Threshold(1, strict=False), ("flatten",), {"thresholds": np.full((size, 1), 128)}, {"activation": 8}
    )
    layers = [Layer("flatten", Flatten(), ("x",)), pixels]
    source, shape = "binarise", (size,)
    for index in range(len(archive.weights)):
        made = _layer(archive, index, Op(), shape, source, weight_bits, 1 if index == 0 else bits)
        layers += made
        source, shape = made[-1].name, (made[0].params["weight"].shape[0],)
    return Network(archive.name, {"x": (PIXELS, PIXELS)}, layers)


def _cnv(archive: Archive, weight_bits: int, bits: int) -> Network:
    layers = [Layer("quantise", Quantise(256 / 255, -128.0, -128, 127, channels_last=True), ("x",))]
    source = "quantise"
    shape: tuple[int, ...] = (3, 32, 32)
    for index, (kind, pool) in enumerate(CNV):
        if kind == "fc" and layers[-1].op.kind != "flatten" and len(shape) == 3:
            layers.append(Layer("flatten", Flatten(), (source,)))
            source, shape = "flatten", (int(np.prod(shape)),)
        op = Conv(1, (3, 3), bias=False) if kind == "conv" else Op()
        made = _layer(archive, index, op, shape, source, weight_bits, 8 if index == 0 else bits)
        rows = made[0].params["weight"].shape[0]
        source, shape = made[-1].name, (rows, *(size - 2 for size in shape[1:]))
        layers += made
        if pool:
            layers.append(Layer(f"pool{index}", Pool("max", (pool, pool), (pool, pool)), (source,)))
            source, shape = f"pool{index}", (rows, *(size // pool for size in shape[1:]))
    return Network(archive.name, {"x": (32, 32, 3)}, layers)


def _layer(
    archive: Archive, index: int, op: Op, shape: tuple[int, ...], source: str, weight_bits: int, input_bits: int
) -> list[Layer]:
    """The matrix of layer `index` and, where it has any, its thresholds; `input_bits` 1 means bipolar."""
    words, last = archive.weights[index], index == len(archive.weights) - 1
    pe = len(words)
    columns = shape[0] * (9 if isinstance(op, Conv) else 1)
    width = -(-columns // PAD) * PAD if index == 0 and not isinstance(op, Conv) else columns
    height, simd = _folding(archive, index, width, weight_bits, last)
    rows = min(height, len(archive.classes)) if last and archive.classes else height
    kernel = (3, 3) if isinstance(op, Conv) else ()
    weight = PeWords(
        words.reshape(pe, -1, 1).astype(np.uint64), (rows, shape[0], *kernel), (height, width), simd, weight_bits
    )
    name = f"{'conv' if kernel else 'fc'}{index}"
    done: Op = Conv(rows, (3, 3), bias=False) if kernel else Linear(rows, bias=False)
    layers = [Layer(name, done, (source,), {"weight": weight}, {"weight": weight_bits, "activation": input_bits})]
    if index not in archive.thresholds:
        if not last:
            raise archive.error("its thresholds are missing; only the last layer may go without", index)
        return layers
    thresholds = _thresholds(archive, index, pe, height, rows, weight_bits, input_bits, (columns, width))
    levels = thresholds.shape[1]
    rule = Threshold(levels, step=2 if levels == 1 else 1)
    return [*layers, Layer(f"threshold{index}", rule, (name,), {"thresholds": thresholds})]


def _folding(archive: Archive, index: int, width: int, weight_bits: int, last: bool) -> tuple[int, int]:
    """(MH, SIMD) of a layer whose padded columns are known."""
    pe, count = archive.weights[index].shape
    if last and (archive.classes or index not in archive.thresholds):
        height = -(-max(1, len(archive.classes)) // PAD) * PAD
        folds, rest = divmod(height, pe)
    elif index in archive.thresholds:
        folds, rest = divmod(archive.thresholds[index].shape[1], _levels(archive))
        height = folds * pe
    else:
        raise archive.error("its thresholds are missing; only the last layer may go without", index)
    if rest or not folds or count % folds or width % (count // folds):
        raise archive.error(
            f"{pe} PEs with {count} weight words and {folds} rows each do not fold {width} columns", index
        )
    simd = width // (count // folds)
    if simd * weight_bits > 64:
        raise archive.error(f"SIMD {simd} at {weight_bits} bits does not fit a word of 64 bits", index)
    if simd * weight_bits < 64 and int(archive.weights[index].max()) >> (simd * weight_bits):
        raise archive.error(f"a weight word has bits above the {simd * weight_bits} of SIMD {simd}", index)
    return height, simd


def _levels(archive: Archive) -> int:
    """Thresholds per row of the inner layers: one for 1-bit activations, two for the values -1, 0, 1."""
    match = NAME.search(archive.name)
    return 1 if match and match[3] == "1" else 2


def _thresholds(
    archive: Archive,
    index: int,
    pe: int,
    height: int,
    rows: int,
    weight_bits: int,
    input_bits: int,
    wide: tuple[int, int],
) -> PeThresholds:
    """The thresholds of a layer, with the rule that ties them to the sum over its own columns."""
    raw = archive.thresholds[index]
    levels, rest = divmod(raw.shape[1] * pe, height)
    if len(raw) != pe or rest or not levels:
        raise archive.error(f"{len(raw)} x {raw.shape[1]} thresholds for {pe} PEs and {height} rows", index)
    words = np.ascontiguousarray(raw.reshape(pe, height // pe, levels))
    columns, width = wide
    if input_bits == 8:
        return PeThresholds(words, rows, mul=2, stored=24)
    if _levels(archive) == 1 and weight_bits == 1 and input_bits == 1:
        return PeThresholds(words, rows, add=columns, div=2)
    return PeThresholds(words, rows, add=columns - width)
