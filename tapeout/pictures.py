"""The pictures of the gallery: what each shows (its records), how it is drawn, and the points that a test runs anew."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.figure import Figure

from archs.eie import published as eie
from archs.eie import sweeps as eie_sweeps
from archs.finn import resources
from archs.fused import sweeps as fused_sweeps
from archs.published import all_rows
from archs.yodann import sweeps as yodann_sweeps
from reports import compare, fused, ranking, reproduce, roof, runs, timeline, validation, yodann
from reports import eie as eie_figures
from reports.compare import Comparison
from sim import tracefile
from sim.result import Result
from tapeout import contest
from tapeout.session import run

FOLDER = Path(__file__).parents[1] / "reports" / "gallery"
Record = dict[str, Any]
FEW = ("neuraltalk-we",)
"""The layer of EIE's figures that a test runs anew."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One figure. `draw` takes its records and a width in inches.

    `sample` makes records that must stand among the stored ones (in the fields they have), where all would take long.
    """

    name: str
    records: Callable[[], Sequence[Record]]
    draw: Callable[[Sequence[Record], float], Figure]
    sample: Callable[[], Sequence[Record]] | None = None


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


def speedup(layers: Sequence[str] = eie_sweeps.LAYERS) -> Iterator[Record]:
    """EIE and the machines of its paper, layer by layer, relative to the dense CPU (published times; ours for EIE)."""
    times = eie.BASELINES["time_us"]
    names = {"cpu": "CPU", "gpu": "GPU", "mgpu": "mobile GPU"}
    for n, layer in ((n, layer) for n, layer in enumerate(eie.BASELINES["layers"]) if layer in layers):
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


def efficiency(layers: Sequence[str] = eie_sweeps.LAYERS) -> Iterator[Record]:
    """Energy of the dense CPU (published power and time) over that of the GPU (published) and of EIE (ours, counted)."""
    base = eie.BASELINES
    for n, layer in ((n, layer) for n, layer in enumerate(base["layers"]) if layer in layers):
        joules = base["cpu_power_w"][n] * base["time_us"]["cpu_dense"][n] * 1e-6
        runs_ = eie.runs(layer)
        low, ours, high = (median(r.energy[end] for r in runs_) for end in range(3))
        gpu, fixed = base["efficiency_over_cpu_dense"]["gpu_dense"][n], 0.6 * median(r.actual_s for r in runs_)
        for name, value, least, most in (
            ("GPU dense", gpu, None, None),
            ("EIE, 600 mW x our time", joules / fixed, None, None),
            ("EIE, ours (counted accesses)", joules / ours, joules / high, joules / low),
        ):
            yield {"layer": layer, "machine": name, "efficiency": value, "low": least, "high": most}


def stalls(arch: str, workload: str) -> list[Record]:
    """Shares of unit-cycles of one run."""
    return list(runs.shares(result(arch, workload)))


def traced(arch: str, workload: str) -> list[Record]:
    """The trace of one image: what every stage does, and how full the FIFOs are."""
    found = result(arch, workload)
    with TemporaryDirectory() as folder:
        tracefile.write(Path(folder) / "trace.json", found.plan, found.timelines)
        return timeline.read(Path(folder) / "trace.json")


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
    return ranking.rows(compare.records(table))


@cache
def mlps() -> list[Record]:
    """The MLPs of the table at the stored rate; ranks are among all entries, so not here."""
    rate = float(stored("compare-digits")[0]["images_per_s"])
    how = contest.Round(contest.TASK_IMAGES, False, 0, lambda what, done, steps: None)
    plans = [plan for plan in contest.TASKS["digits"] if plan.name.endswith("MLP")]
    table = Comparison("", list(contest.entries(plans, how)), rate=rate)
    return [{key: row[key] for key in row if key != "rank"} for row in ranking.rows(compare.records(table))]


def rows() -> list[Record]:
    """Every published row beside ours, as `tapeout reproduce` has it."""
    return validation.points(reproduce.records(reproduce.evaluate()))


def goldens() -> list[Record]:
    """Our values as `published.yaml` keeps them; another test holds the models to these."""
    keys = ("id", "unit", "grade", "use", "value", "ours")
    return [
        {"arch": arch} | {key: getattr(row, key) for key in keys} for arch, row in all_rows() if row.ours is not None
    ]


def stored(name: str) -> list[dict[str, str]]:
    """The points beside a picture, as text."""
    with open(FOLDER / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def titled(
    draw: Callable[[Sequence[Record], str, float], Figure], title: str
) -> Callable[[Sequence[Record], float], Figure]:
    """A drawing with its title."""
    return lambda records, inches: draw(records, title, inches)


PICTURES = (
    Picture("against-paper", rows, validation.against_paper, goldens),
    Picture(
        "eie-speedup",
        lambda: list(speedup()),
        lambda r, inches: runs.bars(r, "speedup", "speed-up over dense CPU", inches),
        lambda: list(speedup(FEW)),
    ),
    Picture(
        "eie-efficiency",
        lambda: list(efficiency()),
        lambda r, inches: runs.bars(r, "efficiency", "energy efficiency over dense CPU", inches),
        lambda: list(efficiency(FEW)),
    ),
    Picture(
        "eie-queue-depth",
        lambda: list(eie_sweeps.queue()),
        eie_figures.queue_depth,
        lambda: list(eie_sweeps.queue(FEW)),
    ),
    Picture(
        "eie-pe-scaling", lambda: list(eie_sweeps.pes()), eie_figures.pe_scaling, lambda: list(eie_sweeps.pes(FEW))
    ),
    Picture(
        "eie-sram-width", lambda: list(eie_sweeps.width()), eie_figures.sram_width, lambda: list(eie_sweeps.width(FEW))
    ),
    Picture("yodann-voltage", lambda: list(yodann_sweeps.voltage()), yodann.voltage),
    Picture("yodann-layers", lambda: list(yodann_sweeps.layers()), yodann.layers),
    Picture("fused-storage-transfer", fused_sweeps.storage_transfer, fused.storage_transfer),
    Picture(
        "energy-by-component",
        lambda: list(runs.parts(shown(), "energy_by_component_j")),
        lambda r, inches: runs.stacked(r, "share of the energy of an image", True, inches),
    ),
    Picture(
        "traffic-by-memory",
        lambda: list(runs.parts(shown(), "traffic_bytes")),
        lambda r, inches: runs.stacked(r, "share of the bytes moved for an image", False, inches),
    ),
    *(
        Picture(
            f"stalls-{arch}",
            partial(stalls, arch, workload),
            titled(runs.waterfall, title),
        )
        for arch, workload, title in (
            ("eie", "lenet-300-100", "LeNet-300-100 on EIE"),
            ("yodann", "bc-cifar10", "BinaryConnect CIFAR-10 on YodaNN"),
            ("finn", "sfc-digits", "SFC on FINN"),
        )
    ),
    Picture("roofline-finn", roofs, roof.roofline),
    *(
        Picture(
            f"timeline-{arch}",
            partial(traced, arch, workload),
            titled(timeline.drawn, title),
        )
        for arch, workload, title in (
            ("eie", "lenet-300-100", "EIE, LeNet-300-100"),
            ("yodann", "bc-digits", "YodaNN, binary conv network"),
            ("finn", "lenet5-w1a1", "FINN, LeNet-5 with binary weights and activations"),
            ("fused", "lenet5-dense", "Fused, convolutions of LeNet-5"),
        )
    ),
    Picture("compare-digits", digits, lambda r, inches: ranking.compared(r, "system", inches), mlps),
    Picture("accuracy-size", digits, lambda r, inches: ranking.accuracy(r, "system", inches), mlps),
)
