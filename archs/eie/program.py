"""From a network to what EIE's memories hold: encoded matrices, and the fixed-point scales of a run.

Numbers are 16-bit with one power-of-two scale per layer for activations, weights and results: an integer v with
`fraction` f stands for v * 2**-f. The paper says "16-bit fixed point" and no more; these rules are this project's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log2
from weakref import WeakKeyDictionary

import numba
import numpy as np

from archs.eie.spec import EieSpec
from sim.errors import InputError
from workloads import execute, lower
from workloads.compress.share import reshare, share
from workloads.formats.csc import Csc
from workloads.formats.sparse import Sparse
from workloads.network import Layer, Network
from workloads.ops import Flatten, Linear, Relu
from workloads.shaping import Reshape, Slice, Transpose, Unroll
from workloads.tensor import Array

MOST = 2**15 - 1  # largest 16-bit number
EXACT = Relu | Flatten | Reshape | Transpose | Slice | Unroll
"""Ops that pass 16-bit numbers on as they are."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """One linear layer in EIE's memories. `sparse` holds the same weights for no machine, `bias` is one more column.

    `fillers[j]` counts the fillers of column j over all PEs; `pointers` [columns + 1, pes] are the PEs' column pointers.
    The bias is the last column of `length`, `fillers` and `pointers`: its entries follow those of the last column of
    weights.
    """

    name: str
    sparse: Sparse
    csc: Csc
    bias: Csc | None
    bias_values: Array
    length: Array
    fillers: Array
    pointers: Array
    exact: bool

    @property
    def bits(self) -> int:
        """Stored bits: entries, pointers, codebook, and the bias column's runs with 16-bit values."""
        if self.bias is None:
            return self.csc.bits()
        return self.csc.bits() + self.bias.entries * (self.csc.index_bits + 16) + self.csc.pes * self.csc.pointer_bits


@dataclass(frozen=True, slots=True)
class Scales:
    """Fractions of one layer: activations, weights, results. A product is shifted right by `shift` to a result.

    The bias column is broadcast with activation `one`, and its values have fraction `bias`.
    """

    activation: int
    weight: int
    result: int
    one: int
    bias: int

    @property
    def shift(self) -> int:
        return self.activation + self.weight - self.result


_SHARED: WeakKeyDictionary[Network, dict[int, dict[str, tuple[Sparse, bool]]]] = WeakKeyDictionary()
_ENCODED: WeakKeyDictionary[Network, dict[tuple[int, int, int], dict[str, Matrix]]] = WeakKeyDictionary()


_LOWERED: WeakKeyDictionary[Network, Network] = WeakKeyDictionary()


def lowered(spec: EieSpec, network: Network) -> Network:
    """The network as EIE runs it: with `lower=im2col`, convolutions are matrices over unrolled windows."""
    if spec.lower == "none":
        return network
    if network not in _LOWERED:
        _LOWERED[network] = lower.lowered(network)
    return _LOWERED[network]


def linears(network: Network) -> list[Layer]:
    """The layers EIE runs, in order."""
    return [layer for layer in network.layers if isinstance(layer.op, Linear)]


def encode(spec: EieSpec, network: Network) -> dict[str, Matrix]:
    """Every linear layer encoded for `spec`; kept as long as the network lives, so that sweeps share the work."""
    made = _ENCODED.setdefault(network, {})
    key = spec.pes, spec.index_bits, spec.weight_bits
    if key not in made:
        shared = _share(network, (1 << spec.weight_bits) - 1)
        made[key] = {layer.name: _matrix(spec, layer, *shared[layer.name]) for layer in linears(network)}
    return made[key]


def _share(network: Network, values: int) -> dict[str, tuple[Sparse, bool]]:
    """Weights as sparse shared values, and whether they are so exactly."""
    made = _SHARED.setdefault(network, {})
    if values not in made:
        made[values] = {layer.name: _shared(layer, values) for layer in linears(network)}
    return made[values]


def _shared(layer: Layer, values: int) -> tuple[Sparse, bool]:
    if "weight" not in layer.params:
        raise InputError("has a shape but no weights; EIE's time depends on them", setting=layer.name)
    weight = layer.params["weight"]
    if isinstance(weight, Sparse) and len(weight.codebook) <= values + 1:
        return weight, True
    if isinstance(weight, Sparse) and np.isfinite(weight.codebook).all():
        sparse = reshare(weight, values)
        if len(sparse.codes) == len(weight.codes):  # else a weight became zero
            return sparse, bool(np.array_equal(sparse.codebook[sparse.codes], weight.codebook[weight.codes]))
    dense = layer.array("weight")
    if not np.isfinite(dense).all():
        raise InputError("non-finite weights", setting=layer.name)
    sparse = share(dense, values)
    return sparse, bool(np.array_equal(sparse.decode(), dense))


def _matrix(spec: EieSpec, layer: Layer, sparse: Sparse, exact: bool) -> Matrix:
    csc = Csc.encode(sparse, spec.pes, spec.index_bits, spec.weight_bits)
    fillers = csc.length.sum(axis=1, dtype=np.int64) - np.diff(sparse.pointers)
    if "bias" not in layer.params:
        return Matrix(layer.name, sparse, csc, None, np.zeros(0), csc.length, fillers, csc.pointers.T.copy(), exact)
    values = layer.array("bias")
    if not np.isfinite(values).all():
        raise InputError("non-finite bias", setting=layer.name)
    rows = np.flatnonzero(values).astype(np.int32)
    ones = Sparse((len(values), 1), np.array([0, len(rows)]), rows, np.ones(len(rows), np.uint8), np.array([0.0, 1.0]))
    bias = Csc.encode(ones, spec.pes, spec.index_bits, spec.weight_bits)
    dtype = np.promote_types(csc.length.dtype, bias.length.dtype)
    length = np.concatenate([csc.length.astype(dtype), bias.length.astype(dtype)])
    fillers = np.append(fillers, bias.fillers)
    pointers = np.ascontiguousarray(np.vstack([csc.pointers.T, csc.pointers[:, -1] + bias.pointers[:, 1:].T]))
    return Matrix(layer.name, sparse, csc, bias, values, length, fillers, pointers, exact)


def given(network: Network, inputs: Mapping[str, Array], name: str) -> Array | None:
    """Activations given for linear layer `name`, real or as 16-bit integers; None where none of its shape are."""
    array = inputs.get(name)
    return array if array is not None and array.shape[1:] == network.sources(name)[0] else None


def measured(network: Network, inputs: Mapping[str, Array], name: str) -> Array | None:
    """Those that are real numbers: they stand for what the layers before put out. Integers are a machine's own."""
    array = given(network, inputs, name)
    return None if array is None or array.dtype.kind in "iu" else array


def integers(array: Array) -> Array:
    """Activations as the 16-bit integers that a machine meets; those that are integers already are its own."""
    return array if array.dtype.kind in "iu" else fixed(array, _fraction(array, MOST))[0]


def calibrate(
    spec: EieSpec, network: Network, inputs: Mapping[str, Array]
) -> tuple[dict[str, Scales], dict[str, Array]]:
    """Scales that hold the real-valued activations and results of `inputs`, and every layer's real-valued output.

    An activation gets all 16 bits; a result one spare bit for its partial sums. A layer fed by another linear layer
    through ReLU and changes of shape alone takes its results as they are. Real activations given for a layer are taken
    instead of what the layers before it put out.
    """
    shared = _share(network, (1 << spec.weight_bits) - 1)
    values = {name: execute.check_input(network, name, inputs) for name in network.inputs}
    results: dict[str, int] = {}
    scales = {}
    for layer in network.layers:
        sources = [values[name] for name in layer.inputs]
        if isinstance(layer.op, Linear):
            sparse = shared[layer.name][0]
            bias = layer.array("bias").astype(np.float64) if "bias" in layer.params else np.zeros(0)
            x = measured(network, inputs, layer.name)
            if x is None:
                x, activation = sources[0], results.get(layer.inputs[0], _fraction(sources[0], MOST))
            else:
                activation = _fraction(x, MOST)
            values[layer.name] = _real(sparse, bias, x)
            scales[layer.name] = _scales(activation, sparse.codebook, bias, values[layer.name])
            results[layer.name] = scales[layer.name].result
        else:
            values[layer.name] = execute.forward(layer.op, layer.params, sources)
            if isinstance(layer.op, EXACT) and layer.inputs[0] in results:
                results[layer.name] = results[layer.inputs[0]]
    return scales, values


def _real(sparse: Sparse, bias: Array, x: Array) -> Array:
    """The layer in real numbers, columns ascending; weights are looked up as they are met, never all at once."""
    vectors = np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T, np.float64)
    sums = np.zeros((sparse.matrix_shape[0], vectors.shape[1]))
    _accumulate(sparse.pointers, sparse.rows, sparse.codes, sparse.codebook.astype(np.float64), vectors, sums)
    product = sums.T
    return (product + bias if bias.size else product).reshape(*x.shape[:-1], -1)


@numba.njit(cache=True)
def _accumulate(pointers: Array, rows: Array, codes: Array, codebook: Array, vectors: Array, sums: Array) -> None:
    for column in range(len(pointers) - 1):
        values = vectors[column]
        if not values.any():
            continue
        for entry in range(pointers[column], pointers[column + 1]):
            row, weight = rows[entry], codebook[codes[entry]]
            for vector in range(len(values)):
                sums[row, vector] += weight * values[vector]


def _scales(activation: int, codebook: Array, bias: Array, result: Array) -> Scales:
    one = min(max(activation, 0), 14)
    spare = _fraction(bias, MOST) - (activation - one)  # the bias has fraction weight + activation - one
    weight = min(_fraction(codebook, MOST), spare) if bias.size else _fraction(codebook, MOST)
    return Scales(
        activation, weight, min(_fraction(result, MOST // 2), activation + weight), 1 << one, weight + activation - one
    )


def _fraction(values: Array, most: int) -> int:
    """The finest power-of-two scale that keeps `values` within +-most."""
    largest = float(np.abs(values).max(initial=0))
    return floor(log2(most / largest)) if largest > 0 else 0


def fixed(values: Array, fraction: int) -> tuple[Array, int]:
    """Values as 16-bit integers (int32) of that fraction, rounded to nearest, and how many had to be clipped."""
    scaled = np.rint(np.ldexp(values.astype(np.float64), fraction))
    clipped = np.clip(scaled, -MOST - 1, MOST)
    return clipped.astype(np.int32), int(np.count_nonzero(clipped != scaled))
