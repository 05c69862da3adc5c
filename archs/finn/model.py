"""Timing: a chain of units as a design of stages and FIFOs.

Each HLS loop is one stage of unit service with `claim="start"`. Stall-all: iteration k reads at firing k, and what it
makes is put by the firing that admits iteration k + pipe; firings that only flush stand where a loop ends. Streams have
latency 0 and credit 1: a word put in cycle t can be taken in t + 1, a slot freed in t filled in t + 1. Their depth is the
declared one; no hidden register is added. Flushing: a loop is two stages, its issue and its exit, with the pipe between
them as a FIFO of `pipe` iterations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

from archs.finn import resources, units
from archs.finn.chain import Chain, Matrix, Pooling, Unit
from archs.finn.fold import Fold
from archs.finn.spec import FinnSpec, Stream
from archs.finn.units import Process, Window
from sim.errors import InputError, nearest
from sim.graph import Design, Fifo, Stage
from sim.rates import Counts, Repeat, Total


@dataclass(frozen=True, slots=True)
class Link:
    """A FIFO between two neighbouring processes."""

    name: str
    depth: int


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Processes in stream order, the FIFO after each but the last, and which layer each process works for."""

    spec: FinnSpec
    chain: Chain
    folds: Mapping[str, Fold]
    processes: tuple[Process, ...]
    links: tuple[Link, ...]
    owner: Mapping[str, str]

    def design(self, images: int, depths: Mapping[str, int] | None = None, pace: int = 0) -> Design:
        """The design of a batch; `depths` overrides FIFO depths by name.

        `pace` lets an image in every so many cycles. At the slowest loop's pace that changes no steady rate (no design
        is faster than its slowest loop) and keeps fast units ahead of it from running away for hundreds of images.
        """
        design = Design(self.chain.network.name)
        flushing = self.spec.hls == "flushing"
        previous: tuple[str, Repeat] | None = None
        for at, process in enumerate(self.processes):
            source, reads, sink, writes = (_flushing if flushing else _stalling)(design, process, images)
            if previous:
                link = self.links[at - 1]
                depth = (depths or {}).get(link.name, link.depth)
                design.connect(previous[0], source, Fifo(link.name, depth, previous[1], reads, 0, 1))
            previous = sink, writes
        if pace:
            self._let_in(design, images, pace)
        return design

    def _let_in(self, design: Design, images: int, pace: int) -> None:
        words, flush = self.processes[0].words_out, 0 if self.spec.hls == "flushing" else self.processes[0].pipe
        first = np.eye(1, words, dtype=np.int64)[0]
        design.add(Stage("pace", pace, images))
        tickets = Repeat.of(first, images, tail=np.zeros(flush, np.int64))
        design.connect("pace", self.processes[0].name, Fifo("pace", 2, 1, tickets, 0, 0))

    def stages(self) -> list[str]:
        """Names of all stages."""
        return list(self.design(1).stages)

    def cost(self, formula: str = "") -> resources.Cost:
        """LUTs, block RAMs and DSPs of all processes and FIFOs."""
        spec = self.spec.model_copy(update={"resources": formula}) if formula else self.spec
        units = {unit.name: unit for unit in self.chain.units}
        parts = [resources.of(p, units.get(p.name), self.folds.get(p.name), spec) for p in self.processes]
        widths = [process.out_width for process in self.processes]
        return resources.total(
            [*parts, *(resources.fifo(ln.depth, w) for ln, w in zip(self.links, widths, strict=False))]
        )

    @cached_property
    def slowest(self) -> int:
        """Iterations of the longest process per image: no image takes fewer cycles in the steady state."""
        return max(self.iterations(process) for process in self.processes)

    def iterations(self, process: Process) -> int:
        """Cycles a process needs for one image, drained loops and pauses included."""
        if process.spanning or self.spec.hls == "flushing":
            return process.iterations
        return process.iterations + len(process.loops) * (process.pipe + process.pause)


def _stalling(design: Design, process: Process, images: int) -> tuple[str, Repeat, str, Repeat]:
    """One stage that stalls as a whole."""
    pipe = np.zeros(process.pipe, np.int64)
    if process.spanning:
        loop = process.loops[0]
        reads, writes = Repeat.of(loop.reads, images, tail=pipe), Repeat.of(loop.writes, images, head=pipe)
    else:
        pause = np.zeros(process.pause, np.int64)
        reads = Repeat.of(
            np.concatenate([part for loop in process.loops for part in (loop.reads, pipe, pause)]), images
        )
        writes = Repeat.of(
            np.concatenate([part for loop in process.loops for part in (pipe, loop.writes, pause)]), images
        )
    design.add(Stage(process.name, 1, len(reads), _activity(process, images), "start"))
    return process.name, reads, process.name, writes


def _flushing(design: Design, process: Process, images: int) -> tuple[str, Repeat, str, Repeat]:
    """An issue stage and an exit stage, with the pipe's iterations between them."""
    reads = Repeat.of(np.concatenate([loop.reads for loop in process.loops]), images)
    writes = Repeat.of(np.concatenate([loop.writes for loop in process.loops]), images)
    design.add(Stage(process.name, 1, len(reads), _activity(process, images), "start"))
    if process.pipe == 1:
        return process.name, reads, process.name, writes
    exit_ = f"{process.name}.exit"
    design.add(Stage(exit_, 1, len(writes), {}, "start"))
    design.connect(process.name, exit_, Fifo(f"{process.name}.pipe", process.pipe, 1, 1, process.pipe - 2, 1))
    return process.name, reads, exit_, writes


def _activity(process: Process, images: int) -> dict[str, Counts]:
    return {action: Total(count * images) for action, count in process.activity.items() if count}


def pipeline(spec: FinnSpec, chain: Chain, folds: Mapping[str, Fold]) -> Pipeline:
    """Lay out a chain: DMA in, a unit's width converters, padding and sliding window units, the units, DMA out."""
    return _Layout(spec, chain, folds).build()


@dataclass(eq=False)
class _Layout:
    """Builds a pipeline from front to back; `width` and `words` are the stream at the front."""

    spec: FinnSpec
    chain: Chain
    folds: Mapping[str, Fold]
    processes: list[Process] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    owner: dict[str, str] = field(default_factory=dict)
    width: int = 0
    words: int = 0

    def build(self) -> Pipeline:
        streams = self._declared()
        first, last = self.chain.units[0], self.chain.units[-1]
        image = _words_in(first, self.folds)
        self._start(-(-image // self.spec.dma_bits))
        for name, stream in streams[: len(streams) - len(self.chain.units)]:
            self._stream(name, stream, "dma.in", image)
        for unit, (name, stream) in zip(self.chain.units, streams[len(streams) - len(self.chain.units) :], strict=True):
            if isinstance(unit, Matrix):
                self._matrix(unit)
            else:
                self._pooling(unit)
            width = stream.width or (self.spec.dma_bits if unit is last else None)
            self._stream(name, Stream(width=width, depth=stream.depth), unit.name, self.width * self.words)
        self._convert(self.spec.dma_bits, "dma.out", self.width * self.words)
        self._add(Process("dma.out", "dma", (units.mover(self.words, False),), self.spec.pipes.dma, True,
                          in_width=self.width, activity={"dma.out.bit": self.words * self.width}), "dma.out", 0)  # fmt: skip
        names = {link.name for link in self.links}
        for name in self.spec.depths:
            if name not in names:
                raise InputError(f"no such FIFO; {nearest(name, names)}", setting=f"depths.{name}")
        processes = tuple(_with_toggles(p, self) for p in self.processes)
        return Pipeline(self.spec, self.chain, self.folds, processes, tuple(self.links), self.owner)

    def _declared(self) -> list[tuple[str, Stream]]:
        """Streams in order: one or more before the first unit, one after each."""
        need = len(self.chain.units) + 1
        if not self.spec.streams:
            return [("in", Stream())] + [(f"{unit.name}.out", Stream()) for unit in self.chain.units]
        if len(self.spec.streams) < need:
            raise InputError(
                f"{len(self.spec.streams)} streams for {need - 1} units ({', '.join(u.name for u in self.chain.units)}); "
                f"allowed: {need} or more, the extra ones before the first unit",
                setting="streams",
            )
        return list(self.spec.streams.items())

    def _start(self, words: int) -> None:
        activity = {"dma.in.bit": words * self.spec.dma_bits}
        process = Process("dma.in", "dma", (units.mover(words, True),), self.spec.pipes.dma, True, activity=activity)
        self.processes.append(replace(process, out_width=self.spec.dma_bits))
        self.owner["dma.in"] = "dma.in"
        self.width, self.words = self.spec.dma_bits, words

    def _add(self, process: Process, owner: str, width: int) -> None:
        """Append a process behind the front stream; a default FIFO joins it unless a declared one was laid."""
        if len(self.links) < len(self.processes):
            self._link(f"{self.processes[-1].name}>{process.name}", None)
        if process.words_in != self.words:
            raise InputError(
                f"{process.name} reads {process.words_in} words an image, {self.processes[-1].name} makes {self.words}"
            )
        self.processes.append(replace(process, in_width=self.width, out_width=width))
        self.owner[process.name] = owner
        self.width, self.words = width, process.words_out

    def _link(self, name: str, depth: int | None) -> None:
        self.links.append(Link(name, self.spec.depths.get(name, depth or self.spec.fifo_depth)))

    def _stream(self, name: str, stream: Stream, owner: str, image: int) -> None:
        """Lay a declared stream, with a converter before it where its width is not the front's."""
        self._convert(stream.width or self.width, owner, image)
        if len(self.links) == len(self.processes):  # two streams in a row of one width: a register between them
            self._add(Process(f"{self.processes[-1].name}>{name}", "dwc",
                              (units.convert(self.words, self.width, self.words, self.width),),
                              self.spec.pipes.dwc, True), owner, self.width)  # fmt: skip
        self._link(name, stream.depth)

    def _convert(self, width: int, owner: str, image: int) -> None:
        """A width converter from the front's width to `width`, for `image` bits of content."""
        if width == self.width:
            return
        loop = units.convert(self.words, self.width, -(-image // width), width)
        name = f"{owner}.dwc{sum(p.kind == 'dwc' and self.owner[p.name] == owner for p in self.processes)}"
        self._add(Process(name, "dwc", (loop,), self.spec.pipes.dwc, True), owner, width)

    def _matrix(self, unit: Matrix) -> None:
        fold, bits, pipes = self.folds[unit.name], unit.incoming.bits, self.spec.pipes
        if unit.slides:
            self._window(unit, fold)
        else:
            self._convert(fold.simd * bits, unit.name, fold.mw * bits)
        loop = units.multiply(fold, unit.vectors)
        process = Process(unit.name, "mvau", (loop,), pipes.mvau, True, activity=_accesses(unit, fold))
        self._add(process, unit.name, fold.pe * unit.outgoing.bits)

    def _window(self, unit: Matrix, fold: Fold) -> None:
        """Padding where the convolution pads, then the sliding window unit."""
        channels, height, width = unit.source
        op, bits, pipes = unit.op, unit.incoming.bits, self.spec.pipes
        folds = units.check_pixels(channels, fold.simd)
        lanes = min(fold.simd, channels)
        self._convert(lanes * bits, unit.name, prod(unit.source) * bits)
        kernel, stride, padding = op.kernel[0], op.stride[0], op.padding  # type: ignore[union-attr]
        if any(padding):
            loop = units.surround((height, width), padding, folds)
            process = Process(f"{unit.name}.pad", "pad", (loop,), pipes.dwc, False, pipes.pause)
            self._add(process, unit.name, lanes * bits)
            if padding[0] + padding[2] != padding[1] + padding[3]:
                raise InputError(f"padding {padding} leaves the image not square", setting=unit.name)
        size = height + padding[0] + padding[2]
        view = Window(size, kernel, stride, unit.out[1], folds)
        slide = {"blocks": units.slide_blocks, "frame": units.slide_frame, "rtl": units.slide_rtl}[self.spec.window]
        swu = Process(f"{unit.name}.swu", "swu", (slide(view),), pipes.swu, False, pipes.pause, view=view)
        self._add(swu, unit.name, lanes * bits)
        self._convert(fold.simd * bits, unit.name, self.words * self.width)

    def _pooling(self, unit: Pooling) -> None:
        bits = unit.source[0] * unit.incoming.bits
        self._convert(bits, unit.name, prod(unit.source) * unit.incoming.bits)
        loops = units.gather(unit.window, unit.source[1])
        self._add(
            Process(unit.name, "pool", loops, self.spec.pipes.pool, False, self.spec.pipes.pause), unit.name, bits
        )


def _words_in(unit: Unit, folds: Mapping[str, Fold]) -> int:
    """Bits of one image as it enters: padded columns of a fully connected first layer included."""
    if isinstance(unit, Matrix) and not unit.slides:
        return folds[unit.name].mw * unit.incoming.bits
    return prod(unit.source) * unit.incoming.bits


def _accesses(unit: Matrix, fold: Fold) -> dict[str, int]:
    """What a matrix unit touches for one image, in bits and operations; the loop datapath counts the same."""
    cycles = unit.vectors * fold.cycles
    return {
        "mac": cycles * fold.pe * fold.simd,
        "weight.bit": cycles * fold.pe * fold.simd * unit.weight_bits,
        "threshold.bit": unit.vectors * fold.mh * unit.levels * resources.accumulator_bits(unit, fold),
        "buffer.write.bit": unit.vectors * fold.mw * unit.incoming.bits,
        "buffer.read.bit": unit.vectors * (fold.nf - 1) * fold.mw * unit.incoming.bits,
    }


def _with_toggles(process: Process, layout: _Layout) -> Process:
    """The process with its LUTs, BRAMs and DSPs switching once an iteration."""
    unit = next((u for u in layout.chain.units if u.name == process.name), None)
    cost = resources.of(process, unit, layout.folds.get(process.name), layout.spec)
    n = process.iterations
    toggles = {
        "lut.toggle": round(cost.luts) * n,
        "bram.toggle": round(2 * cost.brams) * n,
        "dsp.toggle": cost.dsps * n,
    }
    return replace(process, activity=process.activity | toggles)
