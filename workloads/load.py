"""One way in for every workload: a zoo name, a .yaml, a .onnx, a folder that was saved, or a published archive."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from sim.errors import InputError, nearest
from workloads import generate, trained
from workloads.network import Array, Layer, Network, decode
from workloads.ops import Conv, Linear
from workloads.read_yaml import NetworkFile, Published, read_network
from workloads.shaping import Embed

ZOO = Path(__file__).parent / "zoo"
TRAINED = ZOO / "trained"
"""Networks with the tensors that our own training gave them; a name that stands in both places means this one."""


@dataclass(frozen=True, eq=False, slots=True)
class Workload:
    """A network and what to run it on. `inputs[name]` is `[images, *shape]`, by network input or by layer (the
    activations that enter it, where they are known better than by running the layers before it)."""

    name: str
    network: Network
    inputs: Mapping[str, Array]
    source: str
    sha256: str
    labels: Array | None = None
    published: tuple[Published, ...] = ()
    approximated: Mapping[str, str] = field(default_factory=dict)
    unsupported: tuple[tuple[str, str], ...] = ()


def names() -> list[str]:
    """All zoo names."""
    return sorted(
        {path.stem for path in ZOO.glob("*.yaml")} | {path.parent.name for path in TRAINED.glob("*/network.yaml")}
    )


def load(text: str, seed: int = 0, images: int = 1, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Workload:
    """The workload called `text`, or in the file or folder `text`.

    Layers whose density is known get seeded sparse tensors, inputs seeded activations; layers of which only shapes are
    known stay without tensors (`generate.fill` makes them). A network that was trained here gets the held-out images of
    its data set, with their labels. `shapes` pins open axes of an ONNX network's inputs. `WORKLOAD#LAYER` is the weight
    matrix of one layer alone, multiplied with one vector; `WORKLOAD@weight=0.05,activation=0.3` has these densities
    wherever tensors of known density are drawn; `WORKLOAD|prune(density=0.1)|share(bits=4)` is compressed so, as by
    `tapeout compress --apply`, and keeps the inputs and labels of the network it was made of.
    """
    text, given, part, steps = _asked(text)
    path = _path(text)
    read = _read(path, shapes or {})
    _check_finite(read.network, path)
    if part:
        read = replace(read, network=one_matrix(read.network, part))
    if given:
        read = replace(read, network=with_densities(read.network, given))
    network = _filled(read.network, seed)
    inputs, labels = _inputs(path, network, seed, images)
    network = compressed(network, steps, seed) if steps else network
    known = (read.published, read.approximated, read.unsupported)
    return Workload(network.name, network, inputs, read.source, _digest(path, given, part, steps), labels, *known)


def compressed(network: Network, texts: Sequence[str], seed: int) -> Network:
    """The network after these steps, layers without weights having seeded ones; its name tells the steps."""
    from workloads.compress.steps import compress, parse_step

    try:
        made = compress(generate.fill(network, seed), [parse_step(text) for text in texts], seed).network
    except InputError as error:
        raise InputError(error.message, where="|".join((network.name, *texts)), setting=error.setting) from None
    return Network("|".join((network.name, *texts)), made.inputs, made.layers, notes=made.notes)


_DENSITIES = re.compile(r"(.+)@((?:weight|activation)=[^,=@]+(?:,(?:weight|activation)=[^,=@]+)*)")


def _densities(text: str) -> tuple[str, dict[str, float]]:
    """`NAME@weight=0.05,activation=0.3` as NAME and {tensor: density}."""
    match = _DENSITIES.fullmatch(text)
    if not match:
        return text, {}
    given = {}
    for part in match[2].split(","):
        name, _, value = part.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            given[name] = -1.0
        if not 0 <= given[name] <= 1:
            raise InputError(f"found {value!r}; allowed: 0 to 1", where=text, setting=name)
    return match[1], given


def with_densities(network: Network, given: Mapping[str, float]) -> Network:
    """The network with other densities of tensors that are drawn; InputError where none is, or where it is given."""
    known = {layer.name: layer for layer in network.layers if layer.density}
    for name in given:
        if not any(name in (layer.density or {}) and name not in layer.params for layer in known.values()):
            raise InputError(f"no layer draws its {name}s at a density", where=network.name, setting=name)
    changed = {
        name: replace(layer, density={key: given.get(key, value) for key, value in (layer.density or {}).items()})
        for name, layer in known.items()
    }
    said = ",".join(f"{name}={value:g}" for name, value in given.items())
    return Network(
        f"{network.name}@{said}", network.inputs, [changed.get(x.name, x) for x in network.layers], notes=network.notes
    )


def digest(text: str) -> str:
    """The `sha256` that the workload called `text` will have, without loading it."""
    text, given, part, steps = _asked(text)
    return _digest(_path(text), given, part, steps)


def _asked(text: str) -> tuple[str, dict[str, float], str, list[str]]:
    """A workload's name or path, densities, layer and compression steps."""
    text, *steps = [part.strip() for part in text.split("|")] if "|" in text else [text]
    text, _, part = text.partition("#")
    return *_densities(text), part, steps


def _digest(path: Path, given: Mapping[str, float], part: str, steps: Sequence[str]) -> str:
    """Of the workload's bytes, and of what was asked of them."""
    whole = sha256(path)
    asked = "|".join((f"{whole} {part} {sorted(given.items())}", *steps))
    return hashlib.sha256(asked.encode()).hexdigest() if given or part or steps else whole


def sha256(path: Path) -> str:
    """Of a file's bytes, or of a folder's files in the order of their names; hidden ones (cut off by a kill) are none."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("[!.]*") if p.is_file()) if path.is_dir() else [path]:
        with open(file, "rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def _path(text: str) -> Path:
    """The file or folder that `text` means: a zoo name where there is one, else a path."""
    for path in (TRAINED / text, ZOO / f"{text}.yaml"):
        if Path(text).name == text and _exists(path) and text not in ("", ".", ".."):
            return path
    path = Path(text)
    if not text or not _exists(path):
        if path.suffix in SUFFIXES or len(path.parts) > 1:
            raise InputError("no such file", where=text)
        raise InputError(f"unknown workload; {nearest(text, names())}", where=text or "workload")
    return path


def _exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name that no file can have is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


SUFFIXES = (".yaml", ".yml", ".onnx", ".gz", ".tgz", ".net", ".mtx", ".csv")


def _read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> NetworkFile:
    """Read a file by its name's ending; readers with heavy imports are imported here."""
    name = path.name.lower()
    if path.is_dir():
        from workloads.save import read_saved

        return read_saved(path)
    if name.endswith((".yaml", ".yml")):
        return read_network(path)
    if name.endswith(".onnx"):
        return _read_onnx(path, shapes)
    if name.endswith((".tar.gz", ".tgz")):
        from workloads.read_bnn_pynq import read_bnn_pynq

        return _plain(read_bnn_pynq(path), path)
    if name.endswith(".net"):
        from workloads.read_deep_compression import read_deep_compression

        return _plain(read_deep_compression(path), path)
    if name.endswith((".mtx", ".mtx.gz")):
        from workloads.read_matrix_market import read_matrix_market

        return _plain(read_matrix_market(path), path)
    if name.endswith(".csv"):
        from workloads.read_scalesim import read_scalesim

        return _plain(read_scalesim(path), path)
    raise InputError(f"unknown kind of file; allowed: a folder or {', '.join(SUFFIXES)}", where=str(path))


def _read_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> NetworkFile:
    """A quantised network as whole-number layers where it is a chain of them, any other in real numbers."""
    from workloads.read_onnx import read_onnx
    from workloads.read_qonnx import quantised, read_qonnx

    notes = {}
    if not quantised(path):
        found = read_onnx(path, shapes)
    else:
        from workloads import onnx_quant

        try:
            return _plain(read_qonnx(path), path)
        except InputError as error:
            notes = {
                error.setting or path.stem: f"computed in real numbers, as no chain of whole numbers: {error.message}"
            }
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            text = " ".join(str(error).split())
            notes = {path.stem: f"computed in real numbers, since its whole numbers do not fit together: {text}"}
        found = read_onnx(path, shapes, onnx_quant.HANDLERS, onnx_quant.FOREIGN)
    return NetworkFile(found.network, str(path), (), notes | dict(found.approximated), found.unsupported)


def _check_finite(network: Network, path: Path) -> None:
    for layer in network.layers:
        for key, tensor in layer.params.items():
            if isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f" and layer.op.kind != "constant":
                value = tensor.flat[:1] if not any(tensor.strides) else tensor
                if not np.isfinite(value).all():
                    raise InputError("a parameter that is not finite", where=str(path), setting=f"{layer.name}.{key}")


def one_matrix(network: Network, name: str) -> Network:
    """One linear layer or ungrouped convolution as a matrix (outputs, everything else) times one vector `x`."""
    layer = network.layer(name)
    shapes = layer.op.parameters(*network.sources(name))
    if not isinstance(layer.op, Conv | Linear) or getattr(layer.op, "groups", 1) != 1:
        raise InputError(f"a {layer.op.kind} layer is no single matrix", where=network.name, setting=name)
    rows, columns = shapes["weight"][0], prod(shapes["weight"][1:])
    params = dict(layer.params)
    if "weight" in params and isinstance(layer.op, Conv):
        params["weight"] = decode(params["weight"]).reshape(rows, columns)
    alone = replace(layer, op=Linear(rows, "bias" in shapes), inputs=("x",), params=params)
    return Network(f"{network.name}#{name}", {"x": (columns,)}, [alone])


def _plain(network: Network, path: Path) -> NetworkFile:
    return NetworkFile(network, str(path))


def _filled(network: Network, seed: int) -> Network:
    """Seeded tensors for the layers whose weight density is known."""
    known = [layer for layer in network.layers if "weight" in (layer.density or {})]
    return network.replace({layer.name: generate.filled(network, layer, seed) for layer in known})


def _inputs(path: Path, network: Network, seed: int, images: int) -> tuple[dict[str, Array], Array | None]:
    """Inputs, and labels where they are known: of the data set that a record in the folder names, else seeded ones."""
    record = trained.read_record(path)
    if record is None:
        return _activations(network, seed, images), None
    return trained.examples(network, record, images, generate.generator(seed, "digits"))


def _activations(network: Network, seed: int, images: int) -> dict[str, Array]:
    """Seeded inputs of the network, and of every layer whose activation density is known."""
    inputs = {}
    for name, shape in network.inputs.items():
        users = [layer for layer in network.layers if name in layer.inputs]
        entries = [layer.op.entries for layer in users if isinstance(layer.op, Embed)]
        if entries:
            inputs[name] = generate.generator(seed, name).integers(0, min(entries), (images, *shape))
            continue
        density = next((d for layer in users if (d := _density(layer)) is not None), 1.0)
        inputs[name] = generate.activations(generate.generator(seed, name), shape, density, images)
    for layer in network.layers:
        if (found := _density(layer)) is not None and layer.inputs[0] not in network.inputs:
            rng = generate.generator(seed, f"{layer.name}.activation")
            inputs[layer.name] = generate.activations(rng, network.shapes[layer.inputs[0]], found, images)
    return inputs


def _density(layer: Layer) -> float | None:
    return (layer.density or {}).get("activation")
