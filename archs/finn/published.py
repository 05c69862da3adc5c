"""Our values for the rows of published.yaml."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import archs
from archs import finn
from archs.finn.chain import Chain, chain
from archs.finn.folding import resolve
from archs.finn.model import Pipeline, pipeline
from archs.finn.spec import FinnSpec
from archs.published import Row
from sim.errors import InputError, nearest
from sim.run import simulate
from workloads.load import load

LONG = 100_000


def measure(row: Row) -> float:
    """The value that stands beside `row.value`, in the row's unit."""
    if row.metric not in METRICS:
        raise InputError(f"{row.id}: unknown metric {row.metric}; {nearest(row.metric, METRICS)}")
    return METRICS[row.metric](row)


@cache
def _line(workload: str, config: str | None, settings: tuple[tuple[str, object], ...]) -> Pipeline:
    spec: FinnSpec = archs.settings("finn", config, dict(settings))
    lowered: Chain = chain(load(_found(workload)).network, finn.precision(spec))
    return pipeline(spec, lowered, resolve(spec, lowered))


def _found(workload: str) -> str:
    """A zoo name, or a file of the reference data."""
    if "/" not in workload:
        return workload
    folder = Path(os.environ.get("TAPEOUT_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / workload).is_file():
        raise FileNotFoundError(f"{workload} is not in {folder}")
    return str(folder / workload)


def line(row: Row) -> Pipeline:
    """The design a row is about."""
    return _line(row.workload or "", row.config, tuple(sorted(row.settings.items())))


def steady_cycles(row: Row) -> float:
    """Cycles per image of a long batch."""
    found = line(row)
    period = simulate(found.design(LONG, pace=found.slowest)).period
    if period is None:
        raise InputError(f"{row.id}: no period in {LONG} images")
    return period[0] / period[1]


def batch_cycles(row: Row, images: int) -> float:
    """Cycles of a batch, from its first word in to its last word out."""
    return simulate(line(row).design(images)).cycles


def fps(row: Row) -> float:
    """Images per second of a long batch."""
    return line(row).spec.clock / steady_cycles(row)


def folds_us(row: Row) -> float:
    """The paper's latency: the sum of all layers' fold cycles."""
    found = line(row)
    cycles = sum(unit.vectors * found.folds[unit.name].cycles for unit in found.chain.matrices)
    return cycles / found.spec.clock * 1e6


def image_us(row: Row) -> float:
    """One image alone, in to out."""
    return batch_cycles(row, 1) / line(row).spec.clock * 1e6


def chip_w(row: Row) -> float:
    """Chip power of a long batch: all units' toggles of one image over the steady time of one, and the static power."""
    found = line(row)
    seconds = steady_cycles(row) / found.spec.clock
    priced = finn.machine(found.spec).energy.price(found.design(1).activity(), seconds, "chip")
    return priced.interval.nominal / seconds


def peak_tops(row: Row) -> float:
    """70 % of a device's LUTs at so many LUTs per operation: the slides' own rule."""
    given = row.settings
    return 0.7 * float(given["luts"]) / float(given["luts_per_op"]) * float(given["mhz"]) * 1e6 / 1e12


METRICS: dict[str, Callable[[Row], float]] = {
    "steady_cycles": steady_cycles,
    "image_cycles": lambda row: batch_cycles(row, 1),
    "cycles_of_10000": lambda row: batch_cycles(row, 10_000),
    "fps": fps,
    "folds_latency": folds_us,
    "image_latency": image_us,
    "luts": lambda row: line(row).cost().luts,
    "luts_tool_2018": lambda row: line(row).cost("tool-2018").luts,
    "bram36": lambda row: line(row).cost().brams,
    "chip_power": chip_w,
    "peak_tops": peak_tops,
}
