"""The schedule of Algorithm 1 written out as loops, which counts every access and checks that no pixel is used too early.

Slow and plain: the witness of the counts in `model.py` and of the causality of the preload. For small layers only.
"""

from collections import Counter
from collections.abc import Iterator
from math import ceil

import numpy as np

from archs.yodann.arithmetic import PIXEL, Filters
from archs.yodann.geometry import Block, Cut, Pass, Run, Tile, filters
from workloads.network import Array


def convolve(cut: Cut, held: Filters, image: Array) -> tuple[Array, Counter[str]]:
    """Output int64 (co, height, width) of one image in steps of 2^-9, and the accesses by action."""
    counts: Counter[str] = Counter()
    host = np.zeros((cut.outputs, *cut.out), np.int64)
    seen = np.zeros(host.shape, bool)
    for each, block, tile, run in schedule(cut):
        _block(cut, each, block, tile, run, held, image, host, seen, counts)
    return host, counts


def schedule(cut: Cut) -> Iterator[tuple[Pass, Block, Tile, Run]]:
    """What every run works on, in order."""
    runs = iter(cut.runs)
    for each in cut.passes:
        tiles, blocks = each.tiles(cut.spec.tile_rows), cut.blocks[each.native]
        order = [(b, t) for b in blocks for t in tiles]
        if cut.spec.filter_load == "tile":
            order = [(b, t) for t in tiles for b in blocks]
        for block, tile in order:
            yield each, block, tile, next(runs)


def bias(cut: Cut, each: Pass, block: Block, held: Filters) -> Array:
    """The bias, for the first block of the first pass; zeros for the others."""
    beta = held.beta[block.outputs].astype(np.int64)
    return beta if each is cut.passes[0] and block.first else np.zeros_like(beta)


def _block(
    cut: Cut,
    each: Pass,
    block: Block,
    tile: Tile,
    run: Run,
    held: Filters,
    image: Array,
    host: Array,
    seen: Array,
    counts: Counter[str],
) -> None:
    """One run: load filters, preload, then column after column, row after row, channel after channel."""
    weight, beta = load(cut, each, block, tile, held, counts), bias(cut, each, block, held)
    memory: dict[tuple[int, int], Array] = {}
    arriving = iter([(column, row) for column in range(each.width) for row in range(tile.rows)])
    for _ in range(run.preload // (run.inputs * cut.spec.input_word_cycles)):
        _arrive(each, block, tile, next(arriving), image, memory, counts)
    for column in range(run.columns):
        for step in range(run.steps):
            pixel = next(arriving, None)
            if pixel is not None:
                _arrive(each, block, tile, pixel, image, memory, counts)
            counts["image_memory.read"] += run.inputs * (each.native - 1)
            if step >= run.refill:
                row = step - run.refill
                above = each.padding[0] if tile.first == 0 else 0
                seen_pixels = window(each, tile, memory, row - above, column - each.padding[1], run.inputs)
                out = scaled(sums(cut, held.shift, weight, seen_pixels), held.alpha[block.outputs], beta)
                counts["io.outputs"] += len(out)
                first = 0 if tile.first == 0 else tile.first + each.padding[0]
                host_add(cut, block, first + row, column, out, host, seen, counts)


def load(cut: Cut, each: Pass, block: Block, tile: Tile, held: Filters, counts: Counter[str]) -> Array:
    """The block's weights [outputs, inputs, k, k]; words and bits are counted when they are loaded."""
    part, per_group = each.part, cut.inputs // cut.groups
    channels = slice(block.inputs.start - block.group * per_group, block.inputs.stop - block.group * per_group)
    weight = held.weight[block.outputs, channels]
    weight = weight[:, :, part.row : part.row + part.height, part.column : part.column + part.width].astype(np.int64)
    if cut.spec.filter_load == "tile" or tile.first == 0:
        per_word = cut.spec.weights_per_word if cut.spec.weights == "binary" else 1
        counts["io.weights"] += ceil(weight.size / per_word)
        counts["io.weights"] += 2 * len(block.outputs) if cut.spec.scale_load == "charged" else 0
        counts["filter_bank.write"] += weight.size
    assert len(weight) <= filters(cut.spec, each.native)
    return weight


def _arrive(
    each: Pass,
    block: Block,
    tile: Tile,
    at: tuple[int, int],
    image: Array,
    memory: dict[tuple[int, int], Array],
    counts: Counter[str],
) -> None:
    """A pixel of all channels of the block comes in and is stored."""
    column, row = at
    memory[at] = image[block.inputs, each.top + tile.first + row, each.left + column].astype(np.int64)
    counts["io.pixels"] += len(block.inputs)
    counts["image_memory.write"] += len(block.inputs)


def window(each: Pass, tile: Tile, memory: dict[tuple[int, int], Array], top: int, left: int, inputs: int) -> Array:
    """[inputs, k, k]; what lies outside the image is silenced. KeyError where a pixel has not come yet."""
    found = np.zeros((inputs, each.part.height, each.part.width), np.int64)
    for y in range(each.part.height):
        for x in range(each.part.width):
            if 0 <= top + y < tile.rows and 0 <= left + x < each.width:
                found[:, y, x] = memory[left + x, top + y]
    return found


def sums(cut: Cut, shift: int, weight: Array, window: Array) -> Array:
    """Channel sums, Q7.9: one channel a cycle, limited after each."""
    limit = 1 << (16 + shift)
    acc = np.zeros(len(weight), np.int64)
    for channel in range(len(window)):
        acc = acc + (weight[:, channel] * window[channel]).sum(axis=(1, 2))
        if cut.spec.summer == "saturate":
            acc = np.clip(acc, -limit, limit - 1)
        else:
            acc = (acc + limit) % (2 * limit) - limit
    return acc >> shift


def scaled(sums: Array, alpha: Array, beta: Array) -> Array:
    """Q10.18, floored and clamped to Q2.9."""
    pixels: Array = np.clip((sums * alpha + (beta.astype(np.int64) << 9)) >> 9, *PIXEL)
    return pixels


def host_add(
    cut: Cut,
    block: Block,
    row: int,
    column: int,
    out: Array,
    host: Array,
    seen: Array,
    counts: Counter[str],
) -> None:
    """The host drops what a stride leaves out, stores first partial results and adds the others."""
    y, dropped_y = divmod(row, cut.stride[0])
    x, dropped_x = divmod(column, cut.stride[1])
    if dropped_y or dropped_x:
        return
    at = (block.outputs, y, x)
    counts["host.adds"] += int(seen[at].sum())
    host[at] += out
    seen[at] = True
    if cut.spec.host_add == "clamp":
        host[at] = np.clip(host[at], *PIXEL)
