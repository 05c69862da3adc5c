"""The numbers: images through packed words, XNOR and popcount, and thresholds, as the units compute them.

Weights come from the per-PE words of the folding that runs, thresholds from the per-PE threshold memories; nothing here
decodes a tensor into a plain matrix product. `loop` walks a unit's own loop and counts its accesses; it is the witness
of the fast path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from archs.finn import popcount
from archs.finn.chain import Carrier, Chain, Matrix, Pooling
from archs.finn.fold import Fold
from sim.errors import InputError
from workloads.execute import forward
from workloads.formats.bits import PeWords, Words, coefficients, pack, split
from workloads.formats.thresholds import PeThresholds, from_at_least
from workloads.ops import Conv
from workloads.tensor import Array, decode

CHUNK_BYTES = 64 << 20

RAW_BITS = 16
"""Width of a sum that no threshold shortens."""


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """A matrix unit with its memories filled for one folding.

    `planes` are the weight bits per row, packed along the columns: `[field][MH, words]`.
    """

    unit: Matrix
    fold: Fold
    weight: PeWords
    thresholds: PeThresholds | None
    planes: tuple[Words, ...]


def load(unit: Matrix, fold: Fold) -> Loaded:
    """Fill a unit's memories. The archive's own words are taken as they are where the folding is theirs."""
    if unit.weight is None:
        raise InputError("no weights: a network of shapes has timing only", setting=unit.name)
    if unit.rule and unit.thresholds is None:
        raise InputError("its thresholds are missing", setting=unit.name)
    weight = unit.weight
    if isinstance(weight, PeWords):
        weight = weight.refold(fold.pe, fold.simd, (fold.mh, fold.mw))
    else:
        weight = PeWords.encode(_whole(decode(weight), unit.name), fold.pe, fold.simd, unit.weight_bits, fold.matrix)
    bits = weight.fields()
    planes = tuple(pack(bits[..., plane]) for plane in range(weight.field))
    return Loaded(unit, fold, weight, _thresholds(unit, fold), planes)


def _whole(array: Array, name: str) -> Array:
    whole = np.asarray(array).astype(np.int64)
    if (whole != array).any():
        raise InputError("weights that are not whole numbers; quantise them first", setting=name)
    return whole


def _thresholds(unit: Matrix, fold: Fold) -> PeThresholds | None:
    """Thresholds in the unit's own accumulator: matches where it counts matches, else the signed sum."""
    if unit.rule is None:
        return None
    given = unit.thresholds
    assert given is not None
    if isinstance(given, PeThresholds) and _fits(given, unit, fold):
        return given
    limits = np.broadcast_to(decode(given), (unit.rows, unit.rule.levels))
    limits = limits if unit.rule.strict else from_at_least(limits)
    return PeThresholds.encode(limits, fold.pe, fold.mh, *_accumulator(unit, fold))


def _fits(given: PeThresholds, unit: Matrix, fold: Fold) -> bool:
    """Whether stored thresholds serve this folding as they are: same rows per PE, same padding of the columns."""
    same = given.words.shape[:2] == (fold.pe, fold.mh // fold.pe)
    return same and (given.mul, given.add, given.div) == _accumulator(unit, fold)


def _accumulator(unit: Matrix, fold: Fold) -> tuple[int, int, int]:
    """(mul, add, div): the accumulator holds (mul * s + add) / div, s the sum over the layer's own columns.

    A unit that counts matches holds (s + columns) / 2: padding never matches. A signed sum of bipolar inputs takes -1
    from every padded column.
    """
    given = unit.thresholds
    if given.div == 2 if isinstance(given, PeThresholds) else unit.xnor:
        return 1, unit.columns, 2
    mul = given.mul if isinstance(given, PeThresholds) else 1
    return mul, unit.columns - fold.mw if unit.incoming.bipolar else 0, 1


def run(chain: Chain, folds: Mapping[str, Fold], images: Array) -> dict[str, Array]:
    """Every unit's result by name: `[images, *shape]`. Bipolar values are -1 and +1; the last layer's leave as bits."""
    memories = {unit.name: load(unit, folds[unit.name]) for unit in chain.matrices}
    outputs: dict[str, Array] = {}
    step = max(1, CHUNK_BYTES // max(_bytes(unit) for unit in chain.units))
    for first in range(0, len(images), step):
        values = prepare(chain, images[first : first + step])
        for unit in chain.units:
            values = pool(unit, values) if isinstance(unit, Pooling) else apply(memories[unit.name], values)
            whole = outputs.setdefault(
                unit.output, np.empty((len(images), *unit.out), _dtype(unit, unit is chain.units[-1]))
            )
            whole[first : first + step] = stored(unit, values, unit is chain.units[-1])
    return outputs


def _bytes(unit: Matrix | Pooling) -> int:
    """Rough working memory of one image."""
    columns = unit.columns if isinstance(unit, Matrix) and unit.slides else 0
    return prod(unit.out[1:]) * columns + 4 * prod(unit.out) + prod(unit.source)


def prepare(chain: Chain, images: Array) -> Array:
    """Images as they enter the machine: integers `[images, *shape]` after the host's own layers."""
    values = np.asarray(images)
    for layer in chain.host:
        values = forward(layer.op, layer.params, [values])
    return values


def _dtype(unit: Matrix | Pooling, last: bool) -> npt.DTypeLike:
    carrier = unit.outgoing
    if carrier.bipolar:
        return np.uint8 if last else np.int8
    return np.int32 if carrier.bits > 8 else np.int16


def stored(unit: Matrix | Pooling, values: Array, last: bool) -> Array:
    """Values as they are reported: a bipolar one that leaves the machine is the bit it leaves as."""
    return (values > 0).astype(np.uint8) if last and unit.outgoing.bipolar else values


def apply(memory: Loaded, values: Array) -> Array:
    """One matrix unit on `[images, *source]`: values of its outcome `[images, *out]`, padded rows left out."""
    unit = memory.unit
    total = accumulate(memory, vectors(memory, values))
    if memory.thresholds is None:
        result = total
    else:
        assert unit.rule is not None
        result = unit.rule.base + unit.rule.step * exceeded(memory.thresholds.padded(), total)
    result = result[:, : unit.rows].reshape(len(values), *unit.out[1:], unit.rows)
    return np.moveaxis(result, -1, 1)


def windows(unit: Matrix, values: Array) -> Array:
    """The unit's input vectors `[vectors, columns]`: one per image, or one per window, channel fastest."""
    if not unit.slides:
        return values.reshape(len(values), -1)
    op = _op(unit)
    kernel, stride, padding = op.kernel, op.stride, op.padding
    if any(padding) and unit.incoming.bipolar:
        raise InputError(
            "one-bit activations are -1 and +1, a padding of zeros is neither; allowed: no padding, or "
            "activation_bits of 2 or more",
            setting=unit.name,
        )
    edges = ((0, 0), (0, 0), (padding[0], padding[2]), (padding[1], padding[3]))
    padded = np.pad(values, edges) if any(padding) else values
    view = sliding_window_view(padded, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    return view.transpose(0, 2, 3, 4, 5, 1).reshape(-1, unit.columns)


def vectors(memory: Loaded, values: Array) -> tuple[Words, ...]:
    """The packed bit planes of all input vectors. Where a pixel fills whole words, windows are gathered word by word."""
    unit, fold = memory.unit, memory.fold
    if unit.incoming.bits >= RAW_BITS and np.abs(values).max(initial=0) >= 1 << (RAW_BITS - 1):
        raise InputError(
            f"its inputs are sums beyond {RAW_BITS} bits; allowed: thresholds between the layers", setting=unit.name
        )
    channels = unit.source[0]
    if not unit.slides or channels % 64 or any(_op(unit).padding) or fold.mw != unit.columns:
        return planes(windows(unit, values), unit.incoming, fold.mw)
    pixels = np.moveaxis(values, 1, -1)
    packed = planes(pixels.reshape(-1, channels), unit.incoming, channels)
    size, stride = values.shape[2:], _op(unit).stride
    found = []
    for plane in packed:
        image = plane.reshape(len(values), *size, channels // 64)
        view = sliding_window_view(image, _op(unit).kernel, axis=(1, 2))[:, :: stride[0], :: stride[1]]
        found.append(view.transpose(0, 1, 2, 4, 5, 3).reshape(-1, unit.columns // 64))
    return tuple(found)


def _op(unit: Matrix) -> Conv:
    assert isinstance(unit.op, Conv)
    return unit.op


def accumulate(memory: Loaded, x: tuple[Words, ...]) -> Array:
    """What the accumulators hold after the matrix-vector products: `[vectors, MH]`."""
    unit, fold = memory.unit, memory.fold
    mul, add, div = _accumulator(unit, fold)
    total = np.asarray(signed_sum(memory, x))
    own = total + (fold.mw - unit.columns) if unit.incoming.bipolar else total
    if (mul, add, div) == (1, 0, 1):
        return own
    return (mul * own + add) // div if div != 2 else (mul * own + add) >> 1


def planes(vectors: Array, incoming: Carrier, width: int) -> tuple[Words, ...]:
    """Input vectors as packed bit planes, lowest first; padded columns are zero bits."""
    bits = split(vectors, incoming.bits, bipolar=incoming.bipolar)
    if width > vectors.shape[1]:
        bits = np.pad(bits, ((0, 0), (0, width - vectors.shape[1]), (0, 0)))
    return tuple(pack(bits[..., plane]) for plane in range(incoming.bits))


def signed_sum(memory: Loaded, x: tuple[Words, ...]) -> Array:
    """Sum of activation * weight over all padded columns (a padded bipolar activation is -1, its weight +1)."""
    weights, incoming = memory.planes, memory.unit.incoming
    gains = coefficients(len(x), incoming.signed)
    if len(weights) == 1 and incoming.bipolar:
        return memory.fold.mw - 2 * popcount.differ(x[0], weights[0])
    if len(weights) == 1:
        parts = (
            g * (2 * popcount.overlap(p, weights[0]) - popcount.ones(p)[:, None]) for g, p in zip(gains, x, strict=True)
        )
        return sum(parts, np.zeros((), np.int32))
    factors = coefficients(len(weights), True)
    if incoming.bipolar:
        parts = (
            f * (2 * popcount.overlap(x[0], w) - popcount.ones(w)[None]) for f, w in zip(factors, weights, strict=True)
        )
        return sum(parts, np.zeros((), np.int32))
    return sum(
        (
            g * f * popcount.overlap(p, w)
            for g, p in zip(gains, x, strict=True)
            for f, w in zip(factors, weights, strict=True)
        ),
        np.zeros((), np.int32),
    )


def exceeded(thresholds: Array, total: Array) -> Array:
    """How many of its row's thresholds each accumulator exceeds: `[vectors, MH]`."""
    count: Array = (total > thresholds[:, 0]).astype(np.int8 if thresholds.shape[1] < 128 else np.int32)
    for level in range(1, thresholds.shape[1]):
        count = count + (total > thresholds[:, level])
    return count


def pool(unit: Pooling, values: Array) -> Array:
    """Max over windows that tile the image; on bits an OR."""
    images, channels, height, width = values.shape
    k = unit.window
    tiles: Array = values.reshape(images, channels, height // k, k, width // k, k).max(axis=(3, 5))
    return tiles
