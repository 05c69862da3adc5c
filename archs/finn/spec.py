"""FINN's settings. Defaults: 200 MHz, units as the boards were built, folding searched for the paper's 9,000 images/s."""

from typing import Annotated, Literal

from pydantic import Field

from sim.config import Hertz, Spec

Count = Annotated[int, Field(ge=1, le=1 << 20)]
Bits = Annotated[int, Field(ge=1, le=16)]
Padding = Annotated[int, Field(ge=1, le=1 << 12)]
"""Wider than any stream: a layer padded to more is mostly padding, and takes minutes."""


class Fold(Spec):
    """PE rows and SIMD columns per cycle of one matrix layer."""

    pe: Count
    simd: Count


class Stream(Spec):
    """A declared stream: its width in bits (default: what its writer puts out) and its depth (default: `fifo_depth`)."""

    width: Count | None = None
    depth: Count | None = None


class Search(Spec):
    """Where the folding comes from: a search for a rate or a budget, else a FINN folding JSON, else `layers`."""

    layers: tuple[Fold, ...] | None = None
    file: str | None = None
    target_fps: Annotated[float, Field(gt=0)] | None = None
    luts: Annotated[float, Field(gt=0)] | None = None
    """Use at most this many LUTs (default: no bound)."""
    brams: Annotated[float, Field(gt=0)] | None = None
    """Use at most this many 36-kbit block RAMs."""


class Pipes(Spec):
    """Pipeline stages of each unit's loop, and the idle cycles after a drained loop (reference: 2 measured indirectly)."""

    mvau: Annotated[int, Field(ge=1, le=64)] = 6
    swu: Annotated[int, Field(ge=1, le=64)] = 4
    pool: Annotated[int, Field(ge=1, le=64)] = 2
    dwc: Annotated[int, Field(ge=1, le=64)] = 1
    dma: Annotated[int, Field(ge=1, le=64)] = 2
    pause: Annotated[int, Field(ge=0, le=64)] = 2


class FinnSpec(Spec):
    """Settings of a FINN design: one compute unit per layer, joined by FIFOs, all on chip."""

    clock: Hertz = 200e6
    hls: Literal["stall-all", "flushing"] = "stall-all"
    """`stall-all`: a pipe stands still as a whole and keeps its last words until new input comes (the boards measured);
    `flushing`: words move on by themselves (today's finn-hlslib)."""
    window: Literal["blocks", "frame", "rtl"] = "blocks"
    """Sliding window unit: HLS line blocks (2017-06 on), the paper's full frame, today's RTL."""
    fold: Search = Search()
    streams: dict[str, Stream] = Field(default_factory=dict)
    """Streams between units in order: those before the first unit, one after each unit, the last to memory."""
    fifo_depth: Count = 2
    """Depth of streams that declare none."""
    depths: dict[str, Count] = Field(default_factory=dict)
    """Depth by FIFO name, over whatever the streams declare."""
    fifos: Literal["declared", "auto"] = "declared"
    """`auto`: the smallest depths that keep the steady rate of unbounded FIFOs."""
    weight_bits: Bits | None = None
    activation_bits: Bits | None = None
    input_bits: Bits | None = None
    """Precision of networks of shapes; trained networks bring their own."""
    pad_inputs: Padding = 1
    """Columns of a fully connected first layer are padded to a multiple of this."""
    pad_outputs: Padding = 1
    """Rows of the last layer are padded to a multiple of this."""
    dma_bits: Literal[8, 16, 32, 64, 128, 256, 512] = 64
    pipes: Pipes = Pipes()
    device: Literal["xc7z020", "xc7z045", "zu3eg"] = "xc7z045"
    resources: Literal["finn-r", "tool-2018"] = "finn-r"
    """Which of the two published cost formulas `luts` follows."""
