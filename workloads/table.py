"""What is in a network, layer by layer: the rows of `tapeout import`, as data."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from workloads.formats.sparse import Sparse
from workloads.network import UNTRAINED, Layer, Network
from workloads.tensor import Tensor, decode

NO_VALUES = "no values"
"""Stands where only shapes are known, or where a file fills tensors with one placeholder value."""

WEIGHTS = ("weight", "recurrent")
FEW = 15
"""Non-zero values that a 4-bit code can tell apart beside zero."""


def table(
    network: Network,
    approximated: Mapping[str, str] | None = None,
    unsupported: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The rows of a network and their totals, ready for JSON. Unsupported nodes of known shape are rows too.

    Totals count a tensor that several layers use once, as it is stored.
    """
    rows = [row(network, layer) for layer in network.layers]
    once = [r for r, first in zip(rows, _firsts(network), strict=True) if first]
    zeros = [r["zeros"] for r in once if r["zeros"] is not None]
    return {
        "network": network.name,
        "inputs": {name: list(shape) for name, shape in network.inputs.items()},
        "layers": rows,
        "total": {
            "params": sum(r["params"] for r in once),
            "macs": sum(r["macs"] for r in rows),
            "zeros": NO_VALUES if NO_VALUES in zeros else sum(zeros),
        },
        "approximated": [{"node": node, "why": why} for node, why in (approximated or {}).items()],
        "unsupported": [{"node": node, "op": op} for node, op in unsupported],
    }


def row(network: Network, layer: Layer) -> dict[str, Any]:
    """One layer. `zeros` and `distinct` are of its weights: None where it has none, "no values" where none are known."""
    wanted = [key for key in layer.op.parameters(*network.sources(layer.name)) if key in WEIGHTS]
    tensors = [layer.params[key] for key in wanted if key in layer.params and not placeholder(layer.params[key])]
    known = bool(wanted) and len(tensors) == len(wanted)
    counts = [census(tensor) for tensor in tensors]
    missing = NO_VALUES if wanted else None
    return {
        "name": layer.name,
        "op": layer.op.kind,
        "shape": list(network.shapes[layer.name]),
        "params": _params(network, layer),
        "macs": network.macs(layer.name),
        "zeros": sum(zeros for zeros, _ in counts) if known else missing,
        "distinct": max(distinct for _, distinct in counts) if known else missing,
        "encoding": encoding(tensors[0]) if known else missing,
    }


def census(tensor: Tensor) -> tuple[int, int]:
    """(zeros, distinct values) of a tensor."""
    if isinstance(tensor, Sparse):
        zeros = prod(tensor.shape) - tensor.nonzeros
        return zeros, len(np.unique(tensor.codes)) + (zeros > 0)
    values = decode(tensor)
    return int(values.size - np.count_nonzero(values)), len(np.unique(values))


def placeholder(tensor: Tensor) -> bool:
    """Whether an array is one value spread over a shape without being stored."""
    return isinstance(tensor, np.ndarray) and tensor.size > 1 and not any(tensor.strides)


def encoding(tensor: Tensor) -> str:
    """The format a tensor is in; for a plain array, the smallest one that holds it exactly."""
    if not isinstance(tensor, np.ndarray):
        return type(tensor).__name__.lower()
    values = np.unique(tensor)
    nonzero = values[values != 0]
    if len(nonzero) <= 2 and len(values) == len(nonzero) and set(np.sign(nonzero)) == {-1, 1} and not nonzero.sum():
        return "binary"
    if len(nonzero) <= 2 and len(nonzero) < len(values) and not nonzero.sum():
        return "ternary"
    if len(nonzero) <= FEW:
        return f"shared, {len(nonzero)} values"
    return f"dense {tensor.dtype}" if np.count_nonzero(tensor) > 0.9 * tensor.size else f"sparse {tensor.dtype}"


def _firsts(network: Network) -> list[bool]:
    """Whether each layer is the first that uses its weights."""
    seen: set[tuple[int, ...]] = set()
    firsts = []
    for layer in network.layers:
        weight = layer.params.get("weight")
        key = (id(weight),) if not isinstance(weight, np.ndarray) else (weight.ctypes.data, *weight.shape)
        firsts.append(weight is None or key not in seen)
        seen.add(key)
    return firsts


def _params(network: Network, layer: Layer) -> int:
    """Trained parameters; of constants in the graph those with more than one value."""
    shapes = layer.op.parameters(*network.sources(layer.name))
    if layer.op.kind in ("constant", "gather"):
        values = layer.params.get("value")
        counted = values is not None and values.shape != (1,) and decode(values).dtype.kind == "f"
        return prod(shapes["value"]) if counted else 0
    return sum(prod(shape) for key, shape in shapes.items() if key not in UNTRAINED)
