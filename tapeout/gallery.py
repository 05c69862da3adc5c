"""`make gallery`: every finished figure, remade from runs. `python -m tapeout.gallery [NAME]...` remakes some.

A picture is its records (kept as CSV beside it), a function of reports that draws them, and the command that remakes it.
What is `quick` is remade by a test too, which compares the records: a figure that our code no longer makes is stale.
"""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from archs.eie import published as eie
from archs.eie import sweeps as eie_sweeps
from archs.finn import resources
from archs.fused import sweeps as fused_sweeps
from archs.yodann import sweeps as yodann_sweeps
from reports import compare, figures, reproduce, roof, runs, validation, yodann
from sim import tracefile
from sim.result import Result
from tapeout import contest
from tapeout.session import run

FOLDER = Path(__file__).parents[1] / "reports" / "gallery"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure of the gallery."""

    name: str
    records: Callable[[], Sequence[Record]]
    draw: Callable[[Sequence[Record]], Figure]
    quick: bool = False


@cache
def result(arch: str, workload: str, batch: int = 1) -> Result:
    """A run, done once."""
    return run(arch, workload, batch=batch)


def shown() -> dict[str, Result]:
    """The runs that stand for each machine on its own kind of network."""
    return {
        "EIE, LeNet-300-100 pruned and shared": result("eie", "lenet-300-100", 4),
        "YodaNN at 1.2 V, binary conv network": result("yodann:1.2V", "bc-digits", 4),
        "YodaNN at 0.6 V, binary conv network": result("yodann:0.6V", "bc-digits", 4),
        "FINN, SFC with binary weights and activations": result("finn", "sfc-digits", 4),
        "Fused, convolutions of LeNet-5 in float32": result("fused", "lenet5-dense", 4),
    }


def speedup() -> Iterator[Record]:
    """EIE and the machines of its paper, layer by layer, relative to the dense CPU (published times; ours for EIE)."""
    times = eie.BASELINES["time_us"]
    names = {"cpu": "CPU", "gpu": "GPU", "mgpu": "mobile GPU"}
    for n, layer in enumerate(eie.BASELINES["layers"]):
        base = times["cpu_dense"][n]
        for key, name in names.items():
            for kind, said in (("dense", "dense"), ("sparse", "compressed")):
                yield {"layer": layer, "machine": f"{name} {said}", "speedup": base / times[f"{key}_{kind}"][n]}
        yield {"layer": layer, "machine": "EIE, paper", "speedup": base / times["actual"][n]}
        yield {
            "layer": layer,
            "machine": "EIE, ours",
            "speedup": base * 1e-6 / median(r.actual_s for r in eie.runs(layer)),
        }


def efficiency() -> Iterator[Record]:
    """Energy of the dense CPU (published power and time) over that of the GPU (published) and of EIE (ours, counted)."""
    base = eie.BASELINES
    for n, layer in enumerate(base["layers"]):
        joules = base["cpu_power_w"][n] * base["time_us"]["cpu_dense"][n] * 1e-6
        runs_ = eie.runs(layer)
        seconds, ours = median(r.actual_s for r in runs_), median(r.energy_j for r in runs_)
        values = {
            "GPU dense": base["efficiency_over_cpu_dense"]["gpu_dense"][n],
            "EIE, 600 mW x our time": joules / (0.6 * seconds),
            "EIE, ours (counted accesses)": joules / ours,
        }
        yield from ({"layer": layer, "machine": name, "efficiency": value} for name, value in values.items())


def stalls(arch: str, workload: str) -> list[Record]:
    """Shares of unit-cycles of one run."""
    return list(runs.shares(result(arch, workload)))


def timeline() -> list[Record]:
    """What every stage of a small run does, and how full its FIFOs are (records with a `fifo`)."""
    found = result("eie", "lenet-300-100")
    phase, line = found.plan[0], found.timelines[0]
    records: list[Record] = []
    for name, stage in line.design.stages.items():
        lanes = range(0, stage.lanes, 8) if stage.lanes > 8 else range(stage.lanes)
        for lane in lanes:
            track = name if stage.lanes == 1 else f"{name}[{lane}]"
            for kind, start, end in tracefile.slices(line, name, lane):
                records.append({"track": track, "kind": kind, "start": start, "end": end})
    blank = {"track": "", "kind": "", "start": 0, "end": 0}
    for edge in (edge for edge in phase.design.edges if edge.fifo.name == "queue"):
        for cycle, tokens in zip(*(part.tolist() for part in line.occupancy(edge.fifo.name)), strict=True):
            records.append(blank | {"fifo": edge.fifo.name, "cycle": cycle, "tokens": tokens})
    empty = {"fifo": "", "cycle": 0, "tokens": 0}
    return [record if "fifo" in record else record | empty for record in records]


def _gantt(records: Sequence[Record]) -> Figure:
    spans, fills = [r for r in records if r["track"]], [r for r in records if r["fifo"]]
    return runs.gantt(
        spans, fills, "EIE, LeNet-300-100, layer fc1: one image, every eighth PE; below, entries in all 64 queues"
    )


def roofs() -> list[Record]:
    """The device of the runs at their clock, 70 % of its LUTs in use by FINN's rule, its DMA port, and binary networks."""
    config = result("finn", "sfc-digits", 20).data["arch"]["config"]
    device, clock, port = resources.DEVICES[config["device"]], config["clock"], config["dma_bits"] / 8 * config["clock"]
    said = f"DMA port, {config['dma_bits']} bits at {clock / 1e6:g} MHz"
    found: list[Record] = [{"kind": "memory", "name": said, "intensity": 0, "ops_per_s": port}]
    for name, product in (("1-bit x 1-bit", 1), ("1 x 2 bits", 2), ("2 x 2 bits", 4)):
        ops = 0.7 * device.luts / resources.LUTS_PER_OP_2018[product] * clock
        found.append({"kind": "roof", "name": name, "intensity": 0, "ops_per_s": ops})
    ops = 2 * device.dsps * clock
    found.append({"kind": "roof", "name": "16 bits in DSPs", "intensity": 0, "ops_per_s": ops})
    for workload in ("sfc-digits", "lenet-300-100-w1a1", "lenet5-w1a1"):
        total = result("finn", workload, 20).total
        moved = sum(size for key, size in total["traffic_bytes"].items() if key.startswith("dram."))
        point = {"intensity": 2 * total["macs"] / moved, "ops_per_s": total["dense_ops_per_s"]}
        found.append({"kind": "run", "name": workload} | point)
    return found


@cache
def digits() -> list[Record]:
    """Table A of `tapeout compare digits`."""
    table = contest.compare("digits", [], 0, False, None, "system", "raw", lambda what, done, steps: None)
    return runs.rows(compare.records(table))


def rows() -> list[Record]:
    """Every published row beside ours, as `tapeout reproduce` has it."""
    return validation.points(reproduce.records(reproduce.evaluate()))


PICTURES = (
    Picture("against-paper", rows, validation.against_paper),
    Picture("eie-speedup", lambda: list(speedup()), lambda r: runs.bars(r, "speedup", "speed-up over dense CPU")),
    Picture(
        "eie-efficiency",
        lambda: list(efficiency()),
        lambda r: runs.bars(r, "efficiency", "energy efficiency over dense CPU"),
    ),
    Picture("eie-queue-depth", lambda: list(eie_sweeps.queue()), figures.queue_depth),
    Picture("eie-pe-scaling", lambda: list(eie_sweeps.pes()), figures.pe_scaling),
    Picture("eie-sram-width", lambda: list(eie_sweeps.width()), figures.sram_width),
    Picture("yodann-voltage", lambda: list(yodann_sweeps.voltage()), yodann.voltage, quick=True),
    Picture("yodann-layers", lambda: list(yodann_sweeps.layers()), yodann.layers),
    Picture("fused-storage-transfer", fused_sweeps.storage_transfer, figures.storage_transfer, quick=True),
    Picture(
        "energy-by-component",
        lambda: list(runs.parts(shown(), "energy_by_component_j")),
        lambda r: runs.stacked(r, "share of the energy of an image", True),
        quick=True,
    ),
    Picture(
        "traffic-by-memory",
        lambda: list(runs.parts(shown(), "traffic_bytes")),
        lambda r: runs.stacked(r, "share of the bytes moved for an image", False),
        quick=True,
    ),
    Picture(
        "stalls-eie", lambda: stalls("eie", "lenet-300-100"), lambda r: runs.waterfall(r, "LeNet-300-100 on EIE"), True
    ),
    Picture(
        "stalls-yodann",
        lambda: stalls("yodann:1.2V", "bc-cifar10"),
        lambda r: runs.waterfall(r, "BinaryConnect CIFAR-10 on YodaNN"),
    ),
    Picture("stalls-finn", lambda: stalls("finn", "sfc-digits"), lambda r: runs.waterfall(r, "SFC on FINN"), True),
    Picture("roofline-finn", roofs, roof.roofline, quick=True),
    Picture("timeline-eie", timeline, _gantt, quick=True),
    Picture("compare-digits", digits, lambda r: runs.compared(r, "system")),
    Picture("accuracy-size", digits, lambda r: runs.accuracy(r, "system")),
)


def text(records: Sequence[Record]) -> str:
    """Records as the CSV that stands beside a figure."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def make(picture: Picture, folder: Path = FOLDER) -> list[Path]:
    """Remake one figure: PDF, SVG, PNG and CSV."""
    records = picture.records()
    return figures.save(
        picture.draw(records), records, folder / picture.name, f"python -m tapeout.gallery {picture.name}"
    )


def main(names: Sequence[str]) -> None:
    """Remake the pictures called `names`, or all."""
    for picture in PICTURES:
        if not names or picture.name in names:
            for path in make(picture):
                print(path)  # noqa: T201 - a script: printing is its job


if __name__ == "__main__":
    main(sys.argv[1:])
