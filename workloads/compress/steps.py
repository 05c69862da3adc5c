"""Compression as written on a command line: `prune(density=0.1, layers="fc*")`, one step after another.

A step works on what the step before has left: on the kept values of a pruned tensor, on every factor of a low-rank one,
else on the decoded tensor. What comes out of a tensor is its format's `decode`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from sim.config import Document, Spec, make, parse_yaml
from sim.errors import InputError, nearest
from workloads.compress.lookup import Hash, Pq, hash_, pq
from workloads.compress.lowrank import Lowrank, lowrank
from workloads.compress.mask import Mask, mask
from workloads.compress.prune import Prune, prune, share_above, threshold
from workloads.compress.quantise import Quantise, quantise
from workloads.compress.share import share
from workloads.compress.shrink import Shrink, shrink
from workloads.compress.transform import Dctcode, Structured, dctcode, structured
from workloads.formats.coded import Coded
from workloads.formats.factors import Factors
from workloads.formats.gaps import Gaps
from workloads.formats.huffman import Huffman
from workloads.formats.masked import Masked, NofM
from workloads.generate import generator
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear
from workloads.tensor import Array, Encoded, Tensor, decode, stored_bits


class Share(Spec):
    """At most 2^bits - 1 values beside zero, by k-means from a linear start; gaps of `index_bits`, Huffman codes if so."""

    bits: Annotated[int, Field(ge=1, le=8)] = 4
    index_bits: Annotated[int, Field(ge=1, le=8)] = 4
    huffman: bool = False


def shared(weight: Array, settings: Share, rng: np.random.Generator | None = None) -> Encoded:
    """Deep Compression's second and third step: shared values in a gap stream, dense codes where nothing is zero."""
    found = share(weight, (1 << settings.bits) - 1)
    if found.nonzeros == weight.size and not settings.huffman:
        return Coded.encode(found.decode())
    gaps = Gaps.encode(found.decode(), settings.index_bits, settings.bits)
    return Huffman.encode(gaps) if settings.huffman else gaps


@dataclass(frozen=True, slots=True)
class Family:
    """A family's settings, its function (dense, settings, generator) -> encoded, and the survey's families it covers."""

    settings: type[Spec]
    encode: Callable[[Array, Any, np.random.Generator], Encoded]
    covers: str
    values_only: bool = False


FAMILIES: dict[str, Family] = {
    "prune": Family(Prune, prune, "F1 F2 F3"),
    "share": Family(Share, shared, "F4"),
    "quantise": Family(Quantise, quantise, "F5 F6 F7 F8 F9", values_only=True),
    "hash": Family(Hash, hash_, "F10"),
    "pq": Family(Pq, pq, "F11"),
    "lowrank": Family(Lowrank, lowrank, "F12 F13 F14 F15 F16"),
    "structured": Family(Structured, structured, "F17"),
    "dctcode": Family(Dctcode, dctcode, "F21"),
}
"""`values_only` families code single values, so they can work inside a pruned tensor's kept values."""


NETWORKS: dict[str, tuple[type[Spec], Callable[[Network, Any], tuple[Network, tuple[str, ...]]]]] = {
    "mask": (Mask, mask),
    "shrink": (Shrink, shrink),
}
"""Steps on the whole network: settings, and (network, settings) -> network and what is to be said of it."""
SETTINGS = {name: family.settings for name, family in FAMILIES.items()} | {name: s for name, (s, _) in NETWORKS.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """One family with its settings, for the layers whose names match the pattern."""

    name: str
    settings: Spec
    layers: str

    @property
    def family(self) -> Family:
        return FAMILIES[self.name]


@dataclass(frozen=True, eq=False, slots=True)
class Compressed:
    """The network, a row per layer (name, format, bits before and after, density, relative error), and remarks."""

    network: Network
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def parse_step(text: str) -> Step:
    """`family(key=value, ...)`; values as in YAML, texts with special signs in quotes. InputErrors name `--apply`."""
    found = re.fullmatch(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", text, re.DOTALL)
    if not found:
        raise InputError(f"found {text!r}; allowed: family(key=value, ...)", where="--apply")
    name, inside = found[1], found[2] or ""
    if name not in SETTINGS:
        raise InputError(f"unknown family; {nearest(name, SETTINGS)}", where="--apply", setting=name)
    body = re.sub(r"([\w-]+)\s*=\s*", r"\1: ", inside)
    try:
        data = parse_yaml("{" + body + "}", "--apply").data
    except InputError as error:
        raise InputError(f"found {text!r}; {error.message}", where="--apply", setting=name) from None
    if name == "shrink" and "layers" in data:
        raise InputError("works on the whole network; allowed: no layers", where="--apply", setting=name)
    layers = data.get("layers", "*") if name in NETWORKS else data.pop("layers", "*")
    if not isinstance(layers, str):
        raise InputError(f"found {layers!r}; allowed: a name or a pattern", where="--apply", setting=f"{name}.layers")
    try:
        settings = make(SETTINGS[name], Document("--apply", data, {}))
    except InputError as error:
        raise InputError(error.message, where="--apply", setting=f"{name}.{error.setting}") from None
    return Step(name, settings, layers)


def compress(network: Network, steps: Sequence[Step], seed: int = 0) -> Compressed:
    """Apply the steps in order to every layer with weights whose name matches; others stay as they are."""
    tensors, notes = _weights(network), list[str]()
    before = {name: decode(tensor) for name, tensor in tensors.items()}
    lost = dict.fromkeys(tensors, 0.0)
    sizes = {name: (32 * array.size, float(np.linalg.norm(array))) for name, array in before.items()}
    for number, step in enumerate(steps):
        if step.name in NETWORKS:
            network, said = NETWORKS[step.name][1](_with(network, tensors), step.settings)
            lost = {name: loss + _loss(before[name], tensors[name]) for name, loss in lost.items()}
            tensors = _weights(network)
            before = {name: decode(tensor) for name, tensor in tensors.items()}
            notes += said
            continue
        matching = [name for name in tensors if fnmatchcase(name, step.layers)]
        if not matching:
            allowed = nearest(step.layers, tensors) if tensors else "no layer has weights"
            raise InputError(
                f"no layer matches {step.layers}; {allowed}", where="--apply", setting=f"{step.name}.layers"
            )
        fitted = _per_layer(step, {name: decode(tensors[name]) for name in matching})
        for name in matching:
            rng = generator(seed, f"{name}.{number}")
            try:
                tensors[name] = applied(step.family, fitted[name], tensors[name], rng)
            except InputError as error:
                raise InputError(error.message, where="--apply", setting=f"{step.name} of {name}") from None
    lost = {name: loss + _loss(before[name], tensors[name]) for name, loss in lost.items()}
    rows = tuple(_row(name, *sizes[name], lost[name], tensor) for name, tensor in tensors.items())
    return Compressed(_with(network, tensors), rows, tuple(notes))


def _weights(network: Network) -> dict[str, Tensor]:
    return {layer.name: layer.params["weight"] for layer in network.layers if _weighted(layer)}


def _with(network: Network, tensors: Mapping[str, Tensor]) -> Network:
    return network.with_params({name: {"weight": tensor} for name, tensor in tensors.items()})


def _loss(before: Array, tensor: Tensor) -> float:
    """Squared distance."""
    return float(np.linalg.norm(decode(tensor).astype(np.float64) - before)) ** 2


def applied(family: Family, settings: Spec, tensor: Tensor, rng: np.random.Generator) -> Tensor:
    """One step on one tensor: inside factors and kept values where there are such, else on the decoded tensor."""
    if isinstance(tensor, Factors):
        return replace(tensor, factors=tuple(_on_array(family, settings, part, rng) for part in tensor.factors))
    if isinstance(tensor, Masked | NofM) and family.values_only and decode(tensor.values).size:
        return replace(tensor, values=_on_array(family, settings, tensor.values, rng))
    return family.encode(decode(tensor), settings, rng)


def _on_array(family: Family, settings: Spec, part: Tensor, rng: np.random.Generator) -> Tensor:
    return family.encode(decode(part), settings, rng)


def _weighted(layer: Layer) -> bool:
    return isinstance(layer.op, Linear | Conv) and "weight" in layer.params


def _per_layer(step: Step, weights: dict[str, Array]) -> dict[str, Spec]:
    """The settings of every layer; a global threshold becomes a density of each."""
    settings = step.settings
    if not isinstance(settings, Prune) or settings.scope == "layer":
        return dict.fromkeys(weights, settings)
    limit = threshold(list(weights.values()), settings)
    shares = {name: share_above(weight, settings, limit) for name, weight in weights.items()}
    return {name: settings.model_copy(update={"density": density}) for name, density in shares.items()}


def _row(name: str, bits_before: int, norm: float, loss: float, tensor: Tensor) -> dict[str, Any]:
    after = decode(tensor)
    return {
        "name": name,
        "format": "dense" if isinstance(tensor, np.ndarray) else type(tensor).__name__.lower(),
        "bits_before": bits_before,
        "bits": stored_bits(tensor),
        "density": float(np.count_nonzero(after) / after.size),
        "error": loss**0.5 / norm if norm else 0.0,
    }
