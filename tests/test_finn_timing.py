"""FINN's timing: boards, both engines, finer granularity, and a register-by-register pipe for the flushing style."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archs
from archs import finn
from archs.finn import loop, sizing, units
from archs.finn.chain import chain
from archs.finn.folding import resolve
from archs.finn.model import Pipeline, _flushing, _stalling, pipeline
from archs.finn.units import Loop, Process, Window, pattern
from sim import fast, regimes
from sim.cycle import find_cycle
from sim.errors import InputError
from sim.graph import Design, Fifo, Stage
from sim.rates import Repeat
from sim.run import simulate
from sim.timeline import Timeline
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Flatten, Linear, Pool, Sign


def line(workload: str, config: str | None = None, **settings: object) -> Pipeline:
    spec = archs.settings("finn", config, settings)
    lowered = chain(load(workload).network, finn.precision(spec))
    return pipeline(spec, lowered, resolve(spec, lowered))


@pytest.mark.parametrize(("config", "workload", "images", "cycles"), [
    ("pynq-lfc-w1a1", "lfc", 1, 1819),
    ("pynq-lfc-w1a1", "lfc", 10_000, 8_410_978),
    ("pynq-lfc-w1a2", "lfc", 10_000, 8_410_978),
    ("pynq-cnv-w1a1", "cnv", 1, 157_976),
    ("pynq-cnv-w1a2", "cnv", 1, 162_382),
    ("pynq-cnv-w2a2", "cnv", 1, 486_249),
])  # fmt: skip
def test_cycles_of_the_open_designs(config: str, workload: str, images: int, cycles: int) -> None:
    """Boards: LFC 8,411,600 for 10,000 images, CNV W1A1 158,100 for one."""
    assert simulate(line(workload, config).design(images)).cycles == cycles


def test_doubling_the_inner_streams_of_lfc_reaches_the_fold() -> None:
    deeper = {f"streams.inter{n}.depth": depth for n, depth in ((0, 32), (1, 16), (2, 32))}
    found = line("lfc", "pynq-lfc-w1a1")
    assert simulate(found.design(100_000, pace=found.slowest)).period == (841, 1)
    found = line("lfc", "pynq-lfc-w1a1", **deeper)
    assert simulate(found.design(100_000, pace=found.slowest)).period == (512, 1)


def test_pacing_the_images_changes_no_steady_rate() -> None:
    found = line("lfc", "pynq-lfc-w1a1")
    assert simulate(found.design(3000)).period == simulate(found.design(3000, pace=found.slowest)).period


def small(size: int = 6) -> Network:
    layers = [
        Layer("conv", Conv(4, (3, 3), bias=False), ("x",), bits={"weight": 1, "activation": 8}),
        Layer("sign", Sign(), ("conv",)),
        Layer("pool", Pool("max", (2, 2), (2, 2)), ("sign",)),
        Layer("flat", Flatten(), ("pool",)),
        Layer("fc", Linear(6, bias=False), ("flat",)),
    ]
    return Network("small", {"x": (2, size, size)}, layers)


def spread(network: Network, **settings: object) -> Pipeline:
    spec = archs.settings("finn", None, {"fold.target_fps": 1e6, **settings})
    lowered = chain(network, finn.precision(spec))
    return pipeline(spec, lowered, resolve(spec, lowered))


@pytest.mark.parametrize("hls", ["stall-all", "flushing"])
@pytest.mark.parametrize("window", ["blocks", "frame", "rtl"])
def test_both_engines_agree_on_every_event(hls: str, window: str) -> None:
    design = spread(small(), hls=hls, window=window).design(3)
    one, other = simulate(design, "fast"), simulate(design, "des")
    for stage in design.stages:
        assert np.array_equal(one.starts(stage), other.starts(stage)), stage
        assert np.array_equal(one.releases(stage), other.releases(stage)), stage


def test_long_batches_are_those_stepped_in_full() -> None:
    """Skipping repetitions, regime by regime, changes no event."""
    design = spread(small()).design(120)
    found = find_cycle(design)
    assert found is not None
    skipped, full = regimes.run(design, found), Timeline(design, design, fast.run(design))
    assert len(skipped.tracks["dma.out"].parts) > 1
    for stage in design.stages:
        assert np.array_equal(skipped.starts(stage), full.starts(stage)), stage
        assert np.array_equal(skipped.releases(stage), full.releases(stage)), stage
        assert tuple(skipped.shares(stage)) == tuple(full.shares(stage)), stage


def test_accesses_of_the_loop_datapath_are_the_designs() -> None:
    network = finn.fill(archs.settings("finn", None, {}), small(), 0)
    spec = archs.settings("finn", None, {"fold.target_fps": 1e6})
    images = np.random.default_rng(0).integers(0, 255, (2, 2, 6, 6)).astype(np.uint8)
    plan = finn.build(spec, network, {"x": images})
    lowered = chain(network, finn.precision(spec))
    _, counts = loop.run(lowered, resolve(spec, lowered), images)
    for work in plan[0].layers:
        described = plan[0].design.activity(work.stages)
        for action, count in counts.get(work.name, {}).items():
            assert described.get(action, 0) == count, (work.name, action)
    assert counts["conv"]["mac"] == 2 * 16 * 4 * 18


def split_cycle(process: Process, images: int, scale: int) -> Design:
    """A source, a process and a sink in which every cycle is cut into `scale` finer ones."""
    design = Design("fine")
    loop_ = process.loops[0]
    pipe = np.zeros(process.pipe * scale, np.int64)

    def fine(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), scale), np.int64)
        out[:, 0] = rows
        return out.ravel()

    reads = Repeat.of(fine(loop_.reads), images, tail=pipe)
    last = np.zeros((len(loop_.writes), scale), np.int64)
    last[:, -1] = loop_.writes
    writes = Repeat.of(last.ravel(), images, head=pipe)
    design.add(Stage("in", 3 * scale, process.words_in * images))
    design.add(Stage("unit", 1, len(reads), {}, "start"))
    design.add(Stage("out", 5 * scale, process.words_out * images))
    design.connect("in", "unit", Fifo("a", 2, 1, reads, 0, scale))
    design.connect("unit", "out", Fifo("b", 2, writes, 1, 0, scale))
    return design


def test_finer_granularity_gives_the_same_cycles() -> None:
    """Iterations cut into four steps each (read in the first, write in the last) take four times the cycles, less the
    three steps by which the last release of a sink of its own service cannot be finer: none."""
    process = Process("unit", "mvau", (units.multiply(units.Fold(2, 3, 8, 9), 2),), 6, True)
    coarse, fine = split_cycle(process, 3, 1), split_cycle(process, 3, 4)
    assert simulate(fine).cycles == 4 * simulate(coarse).cycles


def by_registers(loop_: Loop, pipe: int, depth: int, arrivals: list[int], drains: list[int]) -> list[int]:
    """Cycles at which words leave the FIFO behind a flushing pipe, register by register.

    Every cycle bubbles close, the sink takes a word that was there before, the last register writes where there was
    room at the cycle's beginning (or it has nothing to write), and an iteration enters an empty first register.
    """
    registers: list[int | None] = [None] * pipe
    fifo, taken, k, cycle = deque[int](), [], 0, 0
    needs = np.cumsum(loop_.reads)
    while len(taken) < len(drains):
        for at in range(pipe - 1, 0, -1):
            if registers[at] is None:
                registers[at], registers[at - 1] = registers[at - 1], None
        room = len(fifo) < depth
        if fifo and cycle >= drains[len(taken)]:
            fifo.popleft()
            taken.append(cycle)
        if registers[-1] == 0 or (registers[-1] and room):
            fifo.extend([cycle] * registers[-1])
            registers[-1] = None
        if k < len(needs) and registers[0] is None and sum(time <= cycle for time in arrivals) >= needs[k]:
            registers[0], k = int(loop_.writes[k]), k + 1
        cycle += 1
    return taken


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 9999), st.booleans())
def test_flushing_is_a_pipe_of_registers(pipe: int, depth: int, seed: int, dense: bool) -> None:
    rng = np.random.default_rng(seed)
    reads = np.ones(20, np.int64) if dense else rng.integers(0, 2, 20)
    writes = np.ones(20, np.int64) if dense else rng.integers(0, 2, 20)
    reads[0] = writes[-1] = 1
    arrivals = np.cumsum(rng.integers(0, 4, int(reads.sum()))).tolist()
    drains = np.cumsum(rng.integers(0, 5, int(writes.sum()))).tolist()
    design = Design("pipe")
    loop_ = Loop(pattern(reads), pattern(writes))
    source, taken, sink, made = _flushing(design, Process("unit", "mvau", (loop_,), pipe, True), 1)
    design.add(Stage("in", np.diff([0, *arrivals]), len(arrivals)))
    design.add(Stage("ready", np.diff([0, *drains]), len(drains)))
    design.add(Stage("out", 1, len(drains)))
    design.connect("in", source, Fifo("a", 1 << 20, 1, taken, 0, 1))
    design.connect(sink, "out", Fifo("b", depth, made, 1, 0, 1))
    design.connect("ready", "out", Fifo("c", 1 << 20, 1, 1, 0, 0))
    timeline = simulate(design)
    assert timeline.starts("out")[:, 0].tolist() == by_registers(loop_, pipe, depth, arrivals, drains)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), [(6, 3, 1), (9, 3, 2), (8, 2, 2), (6, 1, 1), (7, 1, 2), (5, 5, 1)]
)
@pytest.mark.parametrize("slide", [units.slide_blocks, units.slide_frame, units.slide_rtl])
def test_windows_read_every_pixel_and_write_every_window(size: int, kernel: int, stride: int, slide: object) -> None:
    out = (size - kernel) // stride + 1
    made = slide(Window(size, kernel, stride, out, 2))  # type: ignore[operator]
    assert made.reads.sum() == size * size * 2 and made.writes.sum() == (out * kernel) ** 2 * 2
    have = np.cumsum(made.reads)
    rows = np.repeat(np.arange(out), out * kernel * kernel * 2)
    needs = ((rows * stride + kernel - 1) * size + kernel) * 2
    assert (have[made.writes > 0] >= np.minimum(needs, size * size * 2)).all() or slide is units.slide_blocks


def test_the_hls_window_unit_of_cnvs_first_layer() -> None:
    assert len(units.slide_blocks(Window(32, 3, 1, 30, 1)).reads) == 8196


def test_sized_fifos_reach_the_slowest_loop() -> None:
    found = sizing.sized(line("lfc", "pynq-lfc-w1a1"))
    assert simulate(found.design(100_000, pace=found.slowest)).period == (512, 1)


def test_a_search_meets_its_target() -> None:
    found = line("cnv", None, **{"fold.target_fps": 3000})
    assert found.spec.clock / found.slowest >= 3000


def test_bad_foldings_and_streams_are_one_line() -> None:
    with pytest.raises(InputError, match="PE 3 does not divide 1024 rows"):
        line("lfc", None, **{"fold.layers": [{"pe": 3, "simd": 1}] * 4})
    with pytest.raises(InputError, match="2 foldings for 4 layers"):
        line("lfc", None, **{"fold.layers": [{"pe": 1, "simd": 1}] * 2})
    with pytest.raises(InputError, match="no such FIFO"):
        line("lfc", "pynq-lfc-w1a1", **{"depths.inter9": 2})
    assert _stalling is not _flushing
