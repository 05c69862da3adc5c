"""Networks as folders: `network.yaml` (layers, and how each tensor is encoded) and `tensors.safetensors` (its arrays).

Encoded tensors stay encoded, and integer arrays are packed to the bits they need. A tensor's record lists the fields of
its format; an array `codes` of the weight of layer fc1 is stored as `fc1.weight.codes`.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from sim.config import Document
from sim.errors import InputError, nearest
from sim.files import replacing, write
from workloads import formats
from workloads.formats.packed import pack, unpack, width_of
from workloads.network import Layer, Network
from workloads.read_yaml import At, NetworkFile, document_at, read_network
from workloads.tensor import Array, Tensor

DTYPES = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)
NETWORK, TENSORS = "network.yaml", "tensors.safetensors"


def kinds() -> dict[str, type]:
    """Every format by its class's name in lower case, found by looking into workloads/formats/."""
    found: dict[str, type] = {}
    for entry in iter_modules(formats.__path__):
        module = import_module(f"{formats.__name__}.{entry.name}")
        classes = [v for v in vars(module).values() if isinstance(v, type) and v.__module__ == module.__name__]
        found |= {cls.__name__.lower(): cls for cls in classes if hasattr(cls, "decode")}
    return found


def save(network: Network, folder: Path, source: str = "") -> None:
    """Write the network into `folder` (made if need be).

    What stands there goes first and comes last: a folder whose writing was cut off has no network in it, not a wrong one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Array] = {}
    lines = [f"{key}: {json.dumps(value)}" for key, value in _head(network, source).items()]
    lines += ["layers:", *(f"  - {json.dumps(_record(layer, arrays))}" for layer in network.layers)]
    text = "\n".join(lines) + "\n"
    (folder / NETWORK).unlink(missing_ok=True)
    with replacing(folder / TENSORS) as temporary:
        try:
            save_file(arrays, temporary)
        except SafetensorError as error:  # a full disk, say: the library's own kind of error
            raise InputError(
                f"cannot be written: {' '.join(str(error).split())}", where=str(folder / TENSORS)
            ) from None
    write(folder / NETWORK, text)


def read_saved(folder: Path) -> NetworkFile:
    """The network that `save` wrote; every record and size is checked against the arrays that are there."""
    path = folder / TENSORS
    if not (folder / NETWORK).is_file():
        raise InputError(f"no {NETWORK} in it; allowed: a folder that tapeout wrote", where=str(folder))
    try:
        arrays = load_file(path) if path.exists() else {}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"not a safetensors file: {' '.join(str(error).split())}", where=str(path)) from None
    return read_network(folder / NETWORK, lambda document, at: _tensor(document, at, arrays, _key(document, at)))


def _head(network: Network, source: str) -> dict[str, Any]:
    inputs = {name: list(shape) for name, shape in network.inputs.items()}
    head: dict[str, Any] = {"name": network.name, "source": source or network.name, "inputs": inputs}
    return head | ({"notes": list(network.notes)} if network.notes else {})


def _record(layer: Layer, arrays: dict[str, Array]) -> dict[str, Any]:
    """A layer as plain data; its arrays go to `arrays`."""
    record: dict[str, Any] = {"name": layer.name, "op": layer.op.kind, "inputs": list(layer.inputs)}
    for field in fields(layer.op):
        value = getattr(layer.op, field.name)
        if field.default is MISSING or value != field.default:
            record[field.name] = list(value) if isinstance(value, tuple) else value
    for key in ("bits", "density"):
        if getattr(layer, key):
            record[key] = dict(getattr(layer, key))
    if layer.params:
        record["params"] = {key: describe(t, f"{layer.name}.{key}", arrays) for key, t in layer.params.items()}
    return record


def describe(value: Any, key: str, arrays: dict[str, Array], width: int | None = None) -> Any:
    """A tensor, or a field of one, as plain data; every array in it is put into `arrays` under a name from `key`.

    Integers take the `width` that their format says they have (more where they need it), else the least that holds all.
    """
    if isinstance(value, np.ndarray):
        bits = width_of(value) if width is None else _at_least(width, value)
        arrays[key] = np.ascontiguousarray(value) if bits is None else pack(value, bits)
        record = {"array": str(value.dtype), "shape": list(value.shape)}
        return record if bits is None else {**record, "bits": bits}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [describe(part, f"{key}.{index}", arrays) for index, part in enumerate(value)]
    widths = value.widths() if hasattr(value, "widths") else {}
    names = [field.name for field in fields(value) if field.init]
    inner = {name: describe(getattr(value, name), f"{key}.{name}", arrays, widths.get(name)) for name in names}
    return {"format": type(value).__name__.lower(), **inner}


def _at_least(width: int, array: Array) -> int | None:
    bits = max(width, int(array.max(initial=0)).bit_length())
    return bits if bits < 8 * array.itemsize and array.min(initial=0) >= 0 else None


def _key(document: Document, at: At) -> str:
    """The array name of the tensor whose record stands at ("layers", i, "params", name)."""
    return f"{document_at(document, at[:2]).get('name', '')}.{at[-1]}"


def _tensor(document: Document, at: At, arrays: Mapping[str, Array], key: str) -> Tensor:
    """The array or encoded tensor whose record stands at `at`."""
    value = document_at(document, at)
    if not isinstance(value, dict) or not {"array", "format"} & value.keys():
        raise document.error("found no record of a tensor: it needs `array` or `format`", at)
    tensor: Tensor = _restore(value, document, at, arrays, key)
    return tensor


def _restore(value: Any, document: Document, at: At, arrays: Mapping[str, Array], key: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_restore(part, document, (*at, i), arrays, f"{key}.{i}") for i, part in enumerate(value))
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return _array(value, document, at, arrays, key)
    known = kinds()
    kind = known.get(str(value.get("format")))
    if kind is None:
        raise document.error(f"unknown format, {nearest(str(value.get('format')), known)}", (*at, "format"))
    names = [field.name for field in fields(kind) if field.init]
    for name in value:
        if name != "format" and name not in names:
            raise document.error(f"unknown setting; {nearest(name, names)}", (*at, name))
    parts = {n: _restore(value[n], document, (*at, n), arrays, f"{key}.{n}") for n in names if n in value}
    hints = get_type_hints(kind)
    for name, part in parts.items():
        if not _fits(part, hints[name]):
            raise document.error(
                f"found {type(part).__name__}; allowed: what a {value['format']} has there", (*at, name)
            )
    try:
        tensor = kind(**parts)
        if hasattr(tensor, "check"):
            tensor.check()
    except InputError as error:
        raise document.error(error.message, at) from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise document.error(f"not a {value['format']} tensor: {error}", at) from None
    return tensor


def _fits(part: Any, hint: Any) -> bool:
    """Whether a part of a format is of the declared type: an array, a number, text, a tuple, or another format."""
    kind = get_origin(hint)
    if kind is tuple:
        inner = get_args(hint)
        open_ended = inner[-1] is ...
        return isinstance(part, tuple) and (open_ended or len(part) == len(inner)) and all(
            _fits(each, inner[0 if open_ended else n]) for n, each in enumerate(part)
        )  # fmt: skip
    if (kind is not None and not isinstance(kind, type)) or kind is UnionType:
        return any(_fits(part, each) for each in get_args(hint))
    if hint is float:
        return type(part) in (int, float)
    return type(part) is hint if hint in (int, bool, str) else isinstance(part, kind or hint)


def _array(value: dict[str, Any], document: Document, at: At, arrays: Mapping[str, Array], key: str) -> Array:
    if key not in arrays:
        raise document.error(f"{TENSORS} has no array {key}", at)
    dtype, shape, bits = value["array"], value.get("shape"), value.get("bits")
    if dtype not in DTYPES:
        raise document.error(f"unknown type {dtype}, {nearest(str(dtype), DTYPES)}", (*at, "array"))
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        raise document.error("found no list of sizes", (*at, "shape"))
    stored = arrays[key]
    try:
        array = stored if bits is None else unpack(stored, bits, np.dtype(dtype), shape)
    except (InputError, TypeError) as error:
        raise document.error(str(error), at) from None
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise document.error(f"the array is {array.dtype} {array.shape}, not {dtype} {shape}", at)
    return array
