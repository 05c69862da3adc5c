"""How a convolution is cut for the chip, and closed forms of its cycles and words.

A layer is one or several passes (more than one only for kernels beyond 7), a pass is groups x output blocks x input
blocks, and each such block is a run per row tile. Facts: Andri et al., TCAD 2018, sections III and IV (Algorithm 1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

from archs.yodann.settings import Yodann
from sim.errors import InputError
from workloads.network import Layer, Network
from workloads.ops import Conv

LARGEST = 7
WORD_BITS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a kernel: its first row and column in the whole kernel, and its size."""

    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Tile:
    """Image rows [first, first + rows) in the memory, which give `outputs` rows of output."""

    first: int
    rows: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Block:
    """Channels in the chip at a time: `inputs` and `outputs` are ranges of channels of the layer; `group` is theirs."""

    group: int
    inputs: range
    outputs: range
    first: bool
    """The first input block of its outputs, which gets the bias."""


@dataclass(frozen=True, slots=True)
class Run:
    """One block on one tile of one pass. Cycles: `filters` and `preload` before, `steps` rows a column of which `refill`
    give no output; `pace` is cycles a row, `feed` those of its input, `drain` those of its output."""

    filters: int
    filter_words: int
    scale_words: int
    preload: int
    columns: int
    steps: int
    refill: int
    feed: int
    drain: int
    inputs: int
    outputs: int
    pixels: int
    """Input words in all, preload included."""
    spare_columns: int
    """Last columns during which no pixel comes in: the port is free."""

    @property
    def pace(self) -> int:
        """Cycles from one pixel to the next: eta_chIdle is `feed / pace` for full blocks."""
        return max(self.feed, self.drain)

    @property
    def words_out(self) -> int:
        """Output words on all streams."""
        return self.columns * (self.steps - self.refill) * self.outputs


@dataclass(frozen=True)
class Pass:
    """One kernel of at most 7 x 7 over the rows [top, top + height) x columns [left, left + width) of the image.

    `padding` is (top, left, bottom, right) zeros around that window.
    """

    part: Part
    top: int
    left: int
    height: int
    width: int
    padding: tuple[int, int, int, int]
    native: int

    @property
    def out_height(self) -> int:
        """Output rows at stride 1."""
        return self.height + self.padding[0] + self.padding[2] - self.part.height + 1

    @property
    def out_width(self) -> int:
        """Output columns at stride 1."""
        return self.width + self.padding[1] + self.padding[3] - self.part.width + 1

    def tiles(self, rows: int) -> tuple[Tile, ...]:
        """The smallest number of tiles of at most `rows` rows that overlap by k-1; full ones first."""
        overlap, tiles, first = self.part.height - 1, [], 0
        while True:
            size = min(rows, self.height - first)
            last = first + size == self.height
            above, below = self.padding[0] if first == 0 else 0, self.padding[2] if last else 0
            tiles.append(Tile(first, size, size - overlap + above + below))
            if last:
                return tuple(tiles)
            first += size - overlap


@dataclass(frozen=True)
class Cut:
    """A convolution layer as the chip runs it."""

    name: str
    spec: Yodann
    inputs: int
    outputs: int
    groups: int
    stride: tuple[int, int]
    height: int
    width: int
    out: tuple[int, int]
    kernel: tuple[int, int]
    passes: tuple[Pass, ...]

    @cached_property
    def blocks(self) -> dict[int, tuple[Block, ...]]:
        """Blocks in running order, by the native kernel size (which sets the outputs of a block)."""
        return {native: tuple(self._blocks(filters(self.spec, native))) for native in {p.native for p in self.passes}}

    def _blocks(self, outputs: int) -> Iterator[Block]:
        per_in, per_out = self.inputs // self.groups, self.outputs // self.groups
        for group in range(self.groups):
            for out in range(0, per_out, outputs):
                for first in range(0, per_in, self.spec.channels):
                    yield Block(
                        group,
                        range(group * per_in + first, group * per_in + min(first + self.spec.channels, per_in)),
                        range(group * per_out + out, group * per_out + min(out + outputs, per_out)),
                        first == 0,
                    )

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs of one image in order."""
        return tuple(run for each in self.passes for run in self._runs(each))

    def _runs(self, each: Pass) -> Iterator[Run]:
        tiles = each.tiles(self.spec.tile_rows)
        if self.spec.filter_load == "block":
            for block in self.blocks[each.native]:
                for number, tile in enumerate(tiles):
                    yield run(self.spec, each, block, tile, load=number == 0)
        else:
            for tile in tiles:
                for block in self.blocks[each.native]:
                    yield run(self.spec, each, block, tile, load=True)

    @property
    def parts(self) -> int:
        """Partial images that the host adds for each output."""
        return len(self.passes) * ceil(self.inputs // self.groups / self.spec.channels)

    @property
    def host_adds(self) -> int:
        """Additions on the host, for the outputs that are kept."""
        return (self.parts - 1) * self.outputs * self.out[0] * self.out[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer itself for one image."""
        kernel = self.kernel[0] * self.kernel[1]
        return self.outputs * self.out[0] * self.out[1] * self.inputs // self.groups * kernel

    def paper_cycles(self, each: Pass) -> Fraction:
        """Cycles of a pass by the paper's formula: operations / (peak x eta_tile x eta_chIdle x eta_border).

        Operations count the outputs that are kept. Filter load, preload and drain are not in it.
        """
        per_in = self.inputs // self.groups
        pixels = self.outputs * self.out[0] * self.out[1]
        ideal = Fraction(
            pixels * self.spec.channels * ceil(per_in / self.spec.channels), filters(self.spec, each.native)
        )
        return ideal / (eta_tile(self.spec, each) * eta_border(each))


def cut(spec: Yodann, network: Network, layer: Layer) -> Cut:
    """`layer`, a 2-D convolution, as the chip runs it. InputError with the way out where it cannot."""
    op = layer.op
    assert isinstance(op, Conv)
    channels, height, width = network.sources(layer.name)[0]
    kernel = op.kernel[0], op.kernel[1]
    if max(kernel) > LARGEST and spec.large_kernels == "refuse":
        raise InputError(
            f"kernel {kernel[0]} x {kernel[1]}; the chip has 1 to {LARGEST}: set large_kernels=split to run it in parts",
            setting=layer.name,
        )
    if op.stride != (1, 1) and spec.stride == "refuse":
        raise InputError(
            f"stride {op.stride[0]} x {op.stride[1]}; the chip has stride 1: set stride=discard to compute all and drop",
            setting=layer.name,
        )
    padding = _padding(spec, op)
    passes = tuple(p for part in _parts(kernel) if (p := _pass(spec, part, kernel, padding, height, width)))
    _, *out = network.shapes[layer.name]
    stride = op.stride[0], op.stride[1]
    return Cut(
        layer.name, spec, channels, op.outputs, op.groups, stride, height, width, (out[0], out[1]), kernel, passes
    )


def _padding(spec: Yodann, op: Conv) -> tuple[int, int, int, int]:
    """(top, left, bottom, right); same-padded even kernels get their odd row and column where `even_padding` says."""
    top, left, bottom, right = op.padding
    if spec.even_padding != "layer":
        top, bottom = _side(spec.even_padding, op.kernel[0], top, bottom)
        left, right = _side(spec.even_padding, op.kernel[1], left, right)
    return top, left, bottom, right


def _side(side: str, kernel: int, low: int, high: int) -> tuple[int, int]:
    if kernel % 2 or low + high != kernel - 1:
        return low, high
    return (kernel // 2, kernel // 2 - 1) if side == "low" else (kernel // 2 - 1, kernel // 2)


def _parts(kernel: tuple[int, int]) -> Iterator[Part]:
    """The kernel in as few, as equal parts of at most 7 x 7 as possible, larger ones first."""
    for row, height in _lengths(kernel[0]):
        for column, width in _lengths(kernel[1]):
            yield Part(row, column, height, width)


def _lengths(size: int) -> Iterator[tuple[int, int]]:
    count, first = ceil(size / LARGEST), 0
    for number in range(count):
        length = ceil((size - first) / (count - number))
        yield first, length
        first += length


def _pass(
    spec: Yodann, part: Part, kernel: tuple[int, int], padding: tuple[int, int, int, int], height: int, width: int
) -> Pass | None:
    """The window of the image that `part` meets at any output, and the zeros around it; None where it meets only zeros."""
    rows = _window(part.row, part.height, kernel[0], padding[0], padding[2], height)
    columns = _window(part.column, part.width, kernel[1], padding[1], padding[3], width)
    if rows[1] < 1 or columns[1] < 1:
        return None
    around = rows[2], columns[2], rows[3], columns[3]
    native = next(n for n in spec.natives if n >= max(part.height, part.width))
    return Pass(part, rows[0], columns[0], rows[1], columns[1], around, native)


def _window(first: int, length: int, kernel: int, low: int, high: int, size: int) -> tuple[int, int, int, int]:
    """(first row, rows, zeros before, zeros behind) of the input that a part of a kernel needs along one axis."""
    outputs = size + low + high - kernel + 1
    begin, end = first - low, first - low + outputs + length - 1
    inner = max(begin, 0), min(end, size)
    return inner[0], inner[1] - inner[0], inner[0] - begin, end - inner[1]


def filters(spec: Yodann, native: int) -> int:
    """Output channels of a block: two filters a SoP for native kernels of 5 and less."""
    return spec.channels * (2 if native <= 5 else 1)


def streams(native: int) -> int:
    """12-bit output streams in use: the second carries the second filter of each SoP."""
    return 2 if native <= 5 else 1


def run(spec: Yodann, each: Pass, block: Block, tile: Tile, load: bool) -> Run:
    """Cycles and words of one block on one tile (the closed forms of the schedule)."""
    n_in, n_out, part = len(block.inputs), len(block.outputs), each.part
    per_word = spec.weights_per_word if spec.weights == "binary" else 1
    words = ceil(n_in * n_out * part.height * part.width / per_word) if load else 0
    scales = 2 * n_out if load and spec.scale_load == "charged" else 0
    reach = max(part.width - 1 - each.padding[1], 0)
    ahead = min(reach, each.width)
    below = min(max(part.height - 1 - each.padding[0], each.padding[2]), tile.rows) if ahead < each.width else 0
    pixels = ahead * tile.rows + below
    columns, lanes = each.out_width, streams(each.native)
    share = ceil(n_out / lanes) if spec.stream_order == "even" else min(n_out, filters(spec, each.native) // lanes)
    return Run(
        filters=(words + scales) * spec.input_word_cycles,
        filter_words=words,
        scale_words=scales,
        preload=pixels * n_in * spec.input_word_cycles,
        columns=columns,
        steps=max(tile.rows, tile.outputs),
        refill=max(tile.rows - tile.outputs, 0),
        feed=n_in * spec.input_word_cycles,
        drain=share * spec.output_word_cycles,
        inputs=n_in,
        outputs=n_out,
        pixels=each.width * tile.rows * n_in,
        spare_columns=min(columns, max(columns - (each.width - ahead), 0)),
    )


def channel_cycles(cut: Cut) -> int:
    """Rows of all columns times the channels that pass over each."""
    return sum(run.columns * run.steps * run.inputs for run in cut.runs)


def eta_tile(spec: Yodann, each: Pass) -> Fraction:
    """Tiling efficiency as the paper's formula has it: tiles counted as ceil(h / h_max), without their overlap."""
    tiles = ceil(each.height / spec.tile_rows)
    return Fraction(each.height, each.height + (tiles - 1) * (each.part.height - 1))


def eta_idle(spec: Yodann, inputs: int) -> Fraction:
    """Channel idling: input channels by those of full blocks."""
    return Fraction(inputs, spec.channels * ceil(inputs / spec.channels))


def eta_border(each: Pass) -> Fraction:
    """Output pixels at stride 1 by input pixels; 1 with zero padding."""
    return min(Fraction(1), Fraction(each.out_height * each.out_width, each.height * each.width))


def macs_per_cycle(spec: Yodann, height: int, width: int, native: int) -> int:
    """Peak of a kernel: its own k x k for every filter the SoP units hold."""
    return height * width * filters(spec, native)
