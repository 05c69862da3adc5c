"""What a layer takes of the chip's memories at most: its largest block of channels and tile of rows.

A layer of any size is cut until it fits, so nothing is exceeded here; the shares say how well the memories are used.
"""

from archs.yodann.geometry import LARGEST, WORD_BITS, Cut, Pass, filters
from sim.plan import Room

SCALE_WORDS = 2
"""Scale and bias of an output."""

MULTI_TAPS = 50
"""Weights of a SoP for an input channel: one kernel of 7 x 7, or two of 5 x 5."""


def rooms(cutting: Cut) -> dict[str, Room]:
    """Bytes of the image memory, the filter bank and the scale-bias registers, and what there is of each."""
    spec = cutting.spec
    weight_bits = 1 if spec.weights == "binary" else WORD_BITS
    taps = MULTI_TAPS if spec.kernels == "multi" else LARGEST**2
    sizes = [_pass(cutting, each, weight_bits) for each in cutting.passes]
    image, bank, scale = (max(parts) for parts in zip(*sizes, strict=True))
    return {
        "image": _room(image, spec.channels * spec.tile_rows * LARGEST * WORD_BITS),
        "filters": _room(bank, spec.channels**2 * taps * weight_bits),
        "scales": _room(scale, filters(spec, 1 if spec.kernels == "multi" else LARGEST) * SCALE_WORDS * WORD_BITS),
    }


def _pass(cutting: Cut, each: Pass, weight_bits: int) -> tuple[int, int, int]:
    """Bits of one pass: pixels under the window's columns, weights of a block in the kernel size they run in, scales."""
    spec = cutting.spec
    rows = max(tile.rows for tile in each.tiles(spec.tile_rows))
    blocks = cutting.blocks[each.native]
    pixels = max(len(block.inputs) for block in blocks) * rows * each.native * WORD_BITS
    weights = max(len(block.inputs) * len(block.outputs) for block in blocks) * each.native**2 * weight_bits
    return pixels, weights, max(len(block.outputs) for block in blocks) * SCALE_WORDS * WORD_BITS


def _room(bits: int, available: int) -> Room:
    taken = -(-bits // 8)
    return Room(taken, taken, -(-available // 8))
