"""Timing of a layer: filter load, preload, compute and drain, as stages over columns of row tiles.

A firing of `compute` is one image column of one tile: `steps` rows of `pace` cycles, on which the controller steps
whatever the row needs, so nothing inside a column can wait for anything outside it (tests/test_yodann_model.py proves it
against a design of single channel cycles). `paper` accounting is one stage that lasts what the tables' formula says.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, floor

import numpy as np

from archs.yodann.geometry import Cut, Pass, Run, eta_idle, filters, macs_per_cycle, streams
from archs.yodann.power import kind
from archs.yodann.settings import Yodann
from sim.graph import Design, Fifo, Stage
from sim.plan import Work
from sim.rates import Counts, Total

STAGES = ("filters", "preload", "compute", "drain")


@dataclass(frozen=True)
class Timed:
    """Closed forms of one image of a layer, and its design."""

    cut: Cut

    @cached_property
    def column_cycles(self) -> tuple[int, ...]:
        """Cycles of a column, by run."""
        return tuple(column_cycles(self.cut, run) for run in self.cut.runs)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Cycle at which each run's last column is computed."""
        ends: list[int] = []
        for number, run in enumerate(self.cut.runs):
            free = done = 0
            if number:
                free = ends[-1] - self.column_cycles[number - 1] * self.early(number - 1)
                done = ends[-1] + self.tail(number - 1)
            start = max(free + run.filters + run.preload, done)
            ends.append(start + run.columns * self.column_cycles[number])
        return tuple(ends)

    def early(self, number: int) -> int:
        """Columns before the end of a run at which the input port turns to the next run."""
        runs = self.cut.runs
        if self.cut.spec.preload == "serial" or number + 1 == len(runs) or runs[number + 1].filters:
            return 0
        return min(runs[number].spare_columns, runs[number].columns - 1)

    def tail(self, number: int) -> int:
        """Cycles from a run's last column to its last output: pipeline and output of the last pixel."""
        return self.cut.spec.pipeline_depth + self.cut.runs[number].drain

    @property
    def cycles(self) -> int:
        """Cycles of the layer for one image."""
        return self.ends[-1] + self.tail(-1)

    def design(self) -> Design:
        """The stages of one image of the layer."""
        runs = self.cut.runs
        design = Design(self.cut.name)
        columns = np.array([run.columns for run in runs])
        ends = np.cumsum(columns)
        first, last, leaves = (np.zeros(ends[-1], np.int64) for _ in range(3))
        first[ends - columns] = last[ends - 1] = 1
        leaves[ends - 1 - [self.early(number) for number in range(len(runs))]] = 1
        design.add(Stage("filters", np.array([run.filters for run in runs]), len(runs), self._loads()))
        design.add(Stage("preload", np.array([run.preload for run in runs]), len(runs)))
        design.add(Stage("compute", np.repeat(self.column_cycles, columns), len(first), self._activity()))
        design.add(Stage("drain", np.repeat([run.drain for run in runs], columns), len(first), self._outputs()))
        # One bank and one port: filters of a run wait until the run before has left them.
        design.connect("compute", "filters", Fifo("bank", 2, leaves, 1, 0, initial=1))
        design.connect("filters", "preload", Fifo("filters_loaded", 1, 1, 1, 0))
        design.connect("preload", "compute", Fifo("image_loaded", 1, 1, first, 0))
        depth = self.cut.spec.pipeline_depth
        design.connect("compute", "drain", Fifo("sums", depth + 1, 1, 1, depth))
        # One scale-bias unit: it must be done with a run's outputs before the next run computes.
        design.connect("drain", "compute", Fifo("scale_bias", 2, last, first, 0, initial=1))
        return design

    def _loads(self) -> dict[str, Counts]:
        words = sum(run.filter_words + run.scale_words for run in self.cut.runs)
        return {"io.weights": Total(words), "filter_bank.write": Total(sum(weights_loaded(self.cut)))}

    def _outputs(self) -> dict[str, Counts]:
        words = sum(run.words_out for run in self.cut.runs)
        return {"io.outputs": Total(words), "host.adds": Total(self.cut.host_adds)}

    def _activity(self) -> dict[str, Counts]:
        """Everything that goes with pixels and with the clock."""
        counts: dict[str, int] = {}
        starts = (0, *self.ends)
        elapsed = [end - start for start, end in pairwise(starts)]
        elapsed[-1] += self.tail(-1)
        for each, numbers in by_pass(self.cut):
            runs = [self.cut.runs[n] for n in numbers]
            active = Active(
                cycles=sum(elapsed[n] for n in numbers),
                image=sum(image_cycles(self.cut, run) for run in runs),
                sop=sum(sop_cycles(self.cut, run) for run in runs),
                filter_bank=sum(sop_cycles(self.cut, run) + run.filter_words for run in runs),
            )
            _add(counts, core_activity(self.cut.spec, each, active))
            _add(counts, memory_activity(self.cut, each, runs))
        return {name: Total(count) for name, count in counts.items()}

    def work(self) -> Work:
        """What the layer means, beside its times."""
        runs, units = self.cut.runs, self.cut.spec.channels
        port = sum((run.pace - run.feed) * run.columns * _paced(self.cut, run) for run in runs)
        overlap = sum(run.feed * run.columns * run.refill for run in runs)
        empty = sum(
            run.feed * run.columns * (run.steps - run.refill) * (units - _sops(self.cut, each, run))
            for each, numbers in by_pass(self.cut)
            for run in (runs[n] for n in numbers)
        )
        idle = {"output_port": port * units, "tile_overlap": overlap * units, "empty_units": empty}
        return work(self.cut, STAGES, idle, wasted(self.cut))


@dataclass(frozen=True)
class Formula:
    """One image of a layer by the tables' formula: peak x eta_tile x eta_chIdle x eta_border."""

    cut: Cut

    @cached_property
    def passes(self) -> tuple[int, ...]:
        """Cycles by pass; rounding up happens once a layer."""
        exact = [self.cut.paper_cycles(each) for each in self.cut.passes]
        ends = [ceil(sum(exact[: n + 1], start=exact[0] * 0)) for n in range(len(exact))]
        return tuple(end - start for start, end in pairwise((0, *ends)))

    @property
    def cycles(self) -> int:
        """Cycles of the layer for one image."""
        return sum(self.passes)

    def design(self) -> Design:
        """One stage, a firing a column."""
        columns = sum(run.columns for run in self.cut.runs)
        service = np.diff(np.arange(columns + 1) * self.cycles // columns)
        design = Design(self.cut.name)
        counts: dict[str, int] = {}
        for (each, numbers), cycles in zip(by_pass(self.cut), self.passes, strict=True):
            _add(counts, core_activity(self.cut.spec, each, self._active(cycles)))
            _add(counts, memory_activity(self.cut, each, [self.cut.runs[n] for n in numbers]))
        counts |= {
            "io.weights": sum(run.filter_words + run.scale_words for run in self.cut.runs),
            "filter_bank.write": sum(weights_loaded(self.cut)),
            "io.outputs": sum(run.words_out for run in self.cut.runs),
            "host.adds": self.cut.host_adds,
        }
        design.add(Stage("compute", service, columns, {name: Total(count) for name, count in counts.items()}))
        return design

    def _active(self, cycles: int) -> "Active":
        busy = floor(cycles * eta_idle(self.cut.spec, self.cut.inputs // self.cut.groups))
        return Active(cycles, busy, busy, busy)

    def work(self) -> Work:
        """What the layer means, beside its times."""
        units = self.cut.spec.channels
        idle = sum(cycles - self._active(cycles).sop for cycles in self.passes)
        return work(self.cut, ("compute",), {"channel_idle": idle * units}, {})


@dataclass(frozen=True, slots=True)
class Active:
    """Clock cycles of a pass, and those in which each block works."""

    cycles: int
    image: int
    sop: int
    filter_bank: int


def timed(cut: Cut) -> Timed | Formula:
    """The layer by the accounting that its settings ask for."""
    return Timed(cut) if cut.spec.accounting == "full" else Formula(cut)


def column_cycles(cut: Cut, run: Run) -> int:
    """Cycles of one column of a run."""
    rows = _paced(cut, run)
    return rows * run.pace + (run.steps - rows) * run.feed


def _paced(cut: Cut, run: Run) -> int:
    """Rows of a column that last `pace` cycles; the others only take in their pixels."""
    return run.steps if cut.spec.refill == "overlap" else run.steps - run.refill


def sop_cycles(cut: Cut, run: Run) -> int:
    """Channel cycles in which the SoP units work."""
    return run.columns * _paced(cut, run) * run.inputs


def image_cycles(cut: Cut, run: Run) -> int:
    """Channel cycles in which image memory and bank work: all rows, and the preload."""
    return run.columns * run.steps * run.inputs + run.preload // cut.spec.input_word_cycles


def by_pass(cut: Cut) -> list[tuple[Pass, range]]:
    """Passes with the numbers of their runs."""
    found, first = [], 0
    for each in cut.passes:
        count = len(each.tiles(cut.spec.tile_rows)) * len(cut.blocks[each.native])
        found.append((each, range(first, first + count)))
        first += count
    return found


def weights_loaded(cut: Cut) -> list[int]:
    """Weights shifted into the filter bank, by run."""
    area = [each.part.height * each.part.width for each, numbers in by_pass(cut) for _ in numbers]
    return [run.inputs * run.outputs * k if run.filter_words else 0 for run, k in zip(cut.runs, area, strict=True)]


def core_activity(spec: Yodann, each: Pass, active: Active) -> dict[str, int]:
    """Actions of the core and the pads for one pass."""
    suffix, n = kind(spec, each.native), spec.channels
    size = {"image": 1, "sop": n, "filter_bank": n * n}
    counts = {f"{block}.{suffix}.clock": active.cycles * units for block, units in size.items()}
    counts |= {f"{block}.{suffix}.active": getattr(active, block) * units for block, units in size.items()}
    return counts | {"pads.one" if streams(each.native) == 1 else "pads.two": active.cycles}


def memory_activity(cut: Cut, each: Pass, runs: list[Run]) -> dict[str, int]:
    """Image memory: one pixel written for each that comes in, the other native columns read in every channel cycle."""
    return {
        "io.pixels": sum(run.pixels for run in runs),
        "image_memory.write": sum(run.pixels for run in runs),
        "image_memory.read": sum(run.columns * run.steps * run.inputs for run in runs) * (each.native - 1),
    }


def work(cut: Cut, stages: tuple[str, ...], idle: dict[str, int], waste: dict[str, int]) -> Work:
    """The layer's record for the result."""
    spec = cut.spec
    bits = 1 if spec.weights == "binary" else 12
    return Work(
        name=cut.name,
        op="conv",
        stages=stages,
        unit="compute",
        units=spec.channels,
        macs_per_cycle=max(macs_per_cycle(spec, p.part.height, p.part.width, p.native) for p in cut.passes),
        macs=cut.macs,
        macs_useful=cut.macs,
        op_width=f"{bits} x 12",
        weight_bits=bits * cut.outputs * cut.inputs // cut.groups * cut.kernel[0] * cut.kernel[1],
        macs_wasted=waste,
        idle=idle,
    )


def wasted(cut: Cut) -> dict[str, int]:
    """MACs beyond the layer's own: rows shared by tiles, and outputs that a stride drops."""
    recompute, done = 0, 0
    for each, numbers in by_pass(cut):
        for run in (cut.runs[n] for n in numbers):
            macs = run.columns * run.inputs * run.outputs * each.part.height * each.part.width
            recompute += macs * run.refill if cut.spec.refill == "overlap" else 0
            done += macs * (run.steps - run.refill)
    return {"recompute": recompute, "discard": max(done - cut.macs, 0)}


def _sops(cut: Cut, each: Pass, run: Run) -> int:
    """SoP units that hold a filter."""
    per_unit = filters(cut.spec, each.native) // cut.spec.channels
    return ceil(run.outputs / per_unit)


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
