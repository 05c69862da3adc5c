"""Networks written as YAML, strictly: the zoo's form, and the form in which networks are saved.

    name: lenet-300-100
    source: where every number comes from
    inputs: {image: [1, 28, 28]}
    layers:                                    # a layer's input is the layer before it unless `inputs` says otherwise
      - {name: flat, op: flatten}
      - {name: fc1, op: linear, outputs: 300, density: {weight: 0.08}, bits: {weight: 6}}
    published:                                 # totals as published, for the tests to compare with
      - {quantity: params, value: 266000, within: 0.01, source: ...}

Windows may be written with one number: `kernel: 3`, `stride: 2`, `padding: 1`. A variant names its `base`, another file
of the same folder, and says what is known of its layers in `layers: {fc1: {density: ..., bits: ...}}`.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sim.config import Document, read_yaml
from sim.errors import nearest
from workloads import elementwise, ops, quantised, shaping
from workloads.network import Layer, Network
from workloads.tensor import Shape, Tensor

Reader = Callable[[Document, tuple[str | int, ...]], Tensor]
At = tuple[str | int, ...]

KEYS = ("name", "source", "notes", "inputs", "layers", "published", "base", "schema")
LAYER_KEYS = ("name", "op", "inputs", "params", "bits", "density", "note")
MOST_LAYERS = 20_000
MODULES = (ops, shaping, elementwise, quantised)
"""Where layer kinds are defined."""


@dataclass(frozen=True, slots=True)
class Published:
    """A total as published: `quantity` is params, weights, macs or ops; ours may differ by the fraction `within`."""

    quantity: str
    value: float
    within: float
    source: str
    why: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class NetworkFile:
    """A network and what its file says about it.

    `approximated` maps nodes of the file to why, `unsupported` lists nodes and operators that became no layer kind.
    """

    network: Network
    source: str
    published: tuple[Published, ...] = ()
    approximated: Mapping[str, str] = field(default_factory=dict)
    unsupported: tuple[tuple[str, str], ...] = ()


def kinds() -> dict[str, type[ops.Op]]:
    """Every layer kind by its name, looked up where layer kinds are defined."""
    found = [value for module in MODULES for value in vars(module).values() if isinstance(value, type)]
    return {kind.kind: kind for kind in found if issubclass(kind, ops.Op) and kind.kind}


def read_network(path: Path, tensor: Reader | None = None, may_vary: bool = True) -> NetworkFile:
    """The network in a YAML file; `tensor` reads what stands under a layer's `params` (none: not allowed).

    A variant's base may not be a variant itself: then `may_vary` is false.
    """
    document = read_yaml(path)
    table = _table(document, (), KEYS)
    name = _checked(document, ("name",), str, table.get("name", path.stem))
    if "base" in table and not may_vary:
        raise document.error("a variant of a variant; allowed: a whole network as base", ("base",))
    if "base" in table:
        network = _variant(document, path, name, tensor)
    else:
        inputs = {key: _shape(document, ("inputs", key)) for key in _table(document, ("inputs",))}
        notes = table.get("notes", ())
        layers = _layers(document, list(inputs), tensor)
        network = Network(name, inputs, layers, tuple(map(str, notes)) if isinstance(notes, tuple) else ())
    try:
        published = tuple(Published(**row) for row in table.get("published") or ())
    except TypeError:
        raise document.error(f"rows of {', '.join(f.name for f in fields(Published))}", ("published",)) from None
    return NetworkFile(network, _checked(document, ("source",), str, table.get("source", str(path))), published)


def _variant(document: Document, path: Path, name: str, tensor: Reader | None) -> Network:
    """The base network, with what the variant knows of its layers."""
    base = _checked(document, ("base",), str)
    if not base.replace("-", "").replace(".", "").isalnum():
        raise document.error(f"found {base!r}; allowed: the name of a file in the same folder", ("base",))
    network = read_network(path.parent / f"{base}.yaml", tensor, may_vary=False).network
    known = {layer.name for layer in network.layers}
    layers = {}
    for key in _table(document, ("layers",), sorted(known)):
        _table(document, ("layers", key), ("bits", "density", "note"))
        layers[key] = replace(network.layer(key), **_statistics(document, ("layers", key)))
    changed = network.replace(layers)
    return Network(name, changed.inputs, changed.layers, changed.notes)


def _layers(document: Document, names: list[str], tensor: Reader | None) -> list[Layer]:
    rows = document.data.get("layers")
    if not isinstance(rows, tuple) or not rows:
        raise document.error("found no list of layers", ("layers",))
    if len(rows) > MOST_LAYERS:
        raise document.error(f"{len(rows)} layers; allowed: {MOST_LAYERS}", ("layers",))
    layers = []
    for index in range(len(rows)):
        layers.append(_layer(document, ("layers", index), names[-1] if names else "", tensor))
        names.append(layers[-1].name)
    return layers


def _layer(document: Document, at: At, before: str, tensor: Reader | None) -> Layer:
    row = _table(document, at)
    known = kinds()
    kind = _checked(document, (*at, "op"), str)
    if kind not in known:
        raise document.error(f"unknown layer kind {kind}, {nearest(kind, known)}", (*at, "op"))
    settings = {field.name: field for field in fields(known[kind])}
    _table(document, at, (*LAYER_KEYS, *settings))
    attributes = {key: _attribute(document, (*at, key), known[kind], settings[key]) for key in row if key in settings}
    missing = [f.name for f in settings.values() if f.default is MISSING and f.name not in attributes]
    if missing:
        raise document.error(f"{kind} needs {missing[0]}", at)
    inputs = _checked(document, (*at, "inputs"), tuple[str, ...], row.get("inputs", (before,)))
    params = {}
    for key in _table(document, (*at, "params")) if "params" in row else ():
        if tensor is None:
            raise document.error("tensors stand in saved networks only (a directory)", (*at, "params"))
        params[key] = tensor(document, (*at, "params", key))
    name = _checked(document, (*at, "name"), str)
    return Layer(name, known[kind](**attributes), inputs, params, **_statistics(document, at))


def _statistics(document: Document, at: At) -> dict[str, Any]:
    """`bits` and `density` of a layer, checked."""
    row = document_at(document, at)
    found: dict[str, Any] = {}
    if "bits" in row:
        found["bits"] = _checked(document, (*at, "bits"), dict[str, int])
        for key, value in found["bits"].items():
            if not 1 <= value <= 64:
                raise document.error(f"found {value}; allowed: 1 to 64", (*at, "bits", key))
    if "density" in row:
        found["density"] = _checked(document, (*at, "density"), dict[str, float])
        for key, value in found["density"].items():
            if not 0 <= value <= 1:
                raise document.error(f"found {value}; allowed: 0 to 1", (*at, "density", key))
    return found


def _attribute(document: Document, at: At, kind: type[ops.Op], field: "Field[Any]") -> Any:
    """A setting of an op; one number stands for a window in two dimensions."""
    value = document_at(document, at)
    hint = get_type_hints(kind)[field.name]
    if hint == tuple[int, ...] and type(value) is int:
        return (value,) * (4 if field.name == "padding" else 2)
    return _checked(document, at, hint)


def _shape(document: Document, at: At) -> Shape:
    shape: Shape = _checked(document, at, tuple[int, ...])
    return shape


def document_at(document: Document, at: At) -> Any:
    """The plain data at a path of keys and indices."""
    value = document.data
    for key in at:
        value = value[key]
    return value


def _table(document: Document, at: At, allowed: Any = None) -> Mapping[str, Any]:
    """The table at `at`, its keys checked."""
    try:
        value = document_at(document, at)
    except (KeyError, TypeError):
        raise document.error(f"{at[-1] if at else 'a network'} is missing", at[:-1]) from None
    if not isinstance(value, dict):
        raise document.error("found a list or a single value; allowed: `name: value` pairs", at)
    for key in value:
        if allowed is not None and key not in allowed:
            raise document.error(f"unknown setting; {nearest(key, allowed)}", (*at, key))
    return value


def _checked(document: Document, at: At, hint: Any, default: Any = MISSING) -> Any:
    """The value at `at` as the type `hint`, without conversions but int to float."""
    try:
        value = document_at(document, at)
    except (KeyError, TypeError):
        if default is MISSING:
            raise document.error(f"{at[-1]} is missing", at[:-1]) from None
        value = default
    try:
        return TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        shown = hint.__name__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
        raise document.error(f"found {_short(value)}; allowed: {shown.replace('typing.', '')}", at) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
