"""A matrix unit walked as its loop runs it: fold by fold, word by word, every access counted. The fast path's witness."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from archs.finn import resources
from archs.finn.chain import Chain, Pooling
from archs.finn.datapath import Loaded, _accumulator, load, pool, prepare, stored, windows
from archs.finn.fold import Fold
from workloads.formats.bits import coefficients, pack, split
from workloads.tensor import Array


def run(chain: Chain, folds: Mapping[str, Fold], images: Array) -> tuple[dict[str, Array], dict[str, dict[str, int]]]:
    """Every unit's result by name, and the accesses of every matrix unit."""
    values, outputs, counts = prepare(chain, images), {}, {}
    for unit in chain.units:
        if isinstance(unit, Pooling):
            values = pool(unit, values)
        else:
            tally: Counter[str] = Counter()
            vectors = windows(unit, values)
            memory = load(unit, folds[unit.name])
            rows = np.stack([multiply(memory, vector, tally) for vector in vectors])[:, : unit.rows]
            values = np.moveaxis(rows.reshape(len(images), *unit.out[1:], unit.rows), -1, 1)
            counts[unit.name] = dict(tally)
        outputs[unit.output] = stored(unit, values, unit is chain.units[-1])
    return outputs, counts


def multiply(memory: Loaded, vector: Array, tally: "Counter[str]") -> Array:
    """One matrix-vector product, `[MH]`: NF folds of the rows, SF words of the columns, all PEs at once."""
    unit, fold = memory.unit, memory.fold
    pads = fold.mw - unit.columns
    lanes = split(vector, unit.incoming.bits, bipolar=unit.incoming.bipolar)
    lanes = np.pad(lanes, ((0, pads), (0, 0))).reshape(fold.sf, fold.simd, unit.incoming.bits)
    stream, buffer, result = iter(lanes), [], np.zeros((fold.nf, fold.pe), np.int64)
    width = fold.simd * unit.incoming.bits
    for nf in range(fold.nf):
        accumulator = np.zeros(fold.pe, np.int64)
        for sf in range(fold.sf):
            if nf == 0:
                buffer.append(next(stream))
                tally["buffer.write.bit"] += width
            else:
                tally["buffer.read.bit"] += width
            words = memory.weight.words[:, nf * fold.sf + sf]
            tally["weight.bit"] += fold.pe * fold.simd * memory.weight.field
            tally["mac"] += fold.pe * fold.simd
            accumulator += products(memory, words, buffer[sf])
        result[nf] = _decide(memory, accumulator + (pads if unit.incoming.bipolar else 0), nf, tally)
    return result.reshape(-1)


def products(memory: Loaded, words: Array, lanes: Array) -> Any:
    """What one input word adds to the sum of every PE: bit planes of the weights meet bit planes of the input."""
    field, incoming, simd = memory.weight.field, memory.unit.incoming, memory.fold.simd
    bits = np.unpackbits(
        np.ascontiguousarray(words).astype("<u8").view(np.uint8), axis=-1, count=simd * field, bitorder="little"
    ).reshape(-1, simd, field)
    weights = [(g, pack(bits[..., i])) for i, g in enumerate(coefficients(field, True))]
    inputs = [(g, pack(lanes[:, i])) for i, g in enumerate(coefficients(incoming.bits, incoming.signed))]
    if field == 1 and incoming.bipolar:
        return simd - 2 * _ones(weights[0][1] ^ inputs[0][1])
    if field == 1:
        return sum(g * (2 * _ones(x & weights[0][1]) - _ones(x)) for g, x in inputs)
    if incoming.bipolar:
        return sum(g * (2 * _ones(inputs[0][1] & w) - _ones(w)) for g, w in weights)
    return sum(g * h * _ones(x & w) for g, x in inputs for h, w in weights)


def _ones(words: Array) -> Any:
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


def _decide(memory: Loaded, total: Array, nf: int, tally: "Counter[str]") -> Any:
    """The accumulators of one fold against the PEs' thresholds at index nf."""
    unit = memory.unit
    mul, add, div = _accumulator(unit, memory.fold)
    held = (mul * total + add) // div
    if memory.thresholds is None or unit.rule is None:
        return held
    tally["threshold.bit"] += memory.fold.pe * unit.levels * resources.accumulator_bits(unit, memory.fold)
    passed = (held[:, None] > memory.thresholds.words[:, nf]).sum(axis=1)
    return unit.rule.base + unit.rule.step * passed
