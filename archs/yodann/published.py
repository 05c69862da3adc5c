"""What this model says to each row of published.yaml.

`workload` of a row is a kernel (`7x7`), a network of the zoo, or `network/layer`, with `/2` behind it where the table
lists half a grouped layer. Units are the paper's. Layers and networks follow `accounting=paper` by the row's settings.
"""

from functools import cache

import archs
from archs.published import Row
from archs.yodann import build, extras
from archs.yodann.geometry import Part, Pass, filters, macs_per_cycle
from archs.yodann.model import Active, core_activity
from archs.yodann.power import machine
from archs.yodann.settings import Yodann
from sim.energy import Boundary
from sim.errors import InputError
from sim.run import simulate
from workloads.load import load

Figures = dict[str, float]


def measure(row: Row) -> float:
    """Our value of a row, in the row's unit."""
    spec = archs.settings("yodann", row.config, row.settings)
    where = row.workload or "7x7"
    if where[0].isdigit():
        found = kernel(spec, int(where[0]))
    else:
        name, _, rest = where.partition("/")
        layer, _, share = rest.partition("/")
        found = network(spec, name, layer, int(share or 1))
    if row.metric not in found:
        raise InputError(f"{row.id}: unknown metric {row.metric}; allowed: {', '.join(found)}")
    return found[row.metric]


def kernel(spec: Yodann, size: int) -> Figures:
    """Peak figures of a full block, every channel busy in every cycle."""
    chip = machine(spec)
    native = next(n for n in spec.natives if n >= size)
    each = Pass(Part(0, 0, size, size), 0, 0, size, size, (0, 0, 0, 0), native)
    activity = core_activity(spec, each, Active(1, 1, 1, 1))
    boundaries: tuple[Boundary, ...] = ("core", "chip")
    intervals = [chip.energy.price(activity, 0, boundary).interval for boundary in boundaries]
    core, device = (interval.nominal * chip.clock_hz for interval in intervals)
    ops = 2 * macs_per_cycle(spec, size, size, native) * chip.clock_hz
    area = chip.resources.get("area_ge", float("nan"))
    return {
        "clock": chip.clock_hz / 1e6,
        "peak_throughput": ops / 1e9,
        "core_power": core * 1e3,
        "device_power": device * 1e3,
        "core_efficiency": ops / core / 1e12,
        "core_efficiency_low": ops / (intervals[0].high * chip.clock_hz) / 1e12,
        "core_efficiency_high": ops / (intervals[0].low * chip.clock_hz) / 1e12,
        "device_efficiency": ops / device / 1e9,
        "device_efficiency_low": ops / (intervals[1].high * chip.clock_hz) / 1e9,
        "device_efficiency_high": ops / (intervals[1].low * chip.clock_hz) / 1e9,
        "area_efficiency": ops / area * 1e6 / 1e9,
        "ops_per_cycle": ops / chip.clock_hz,
        "filter_bank_bits": spec.channels * filters(spec, native) * native * native,
    }


def network(spec: Yodann, name: str, layer: str, share: int) -> Figures:
    """Figures of a network's convolution layers, or of one layer (divided by `share` where sizes are concerned)."""
    layers, total = _run(spec, name)
    found = layers[layer] if layer else total
    return found | {key: found[key] / share for key in ("operations", "time", "energy", "io") if share > 1}


@cache
def _run(spec: Yodann, name: str) -> tuple[dict[str, Figures], Figures]:
    chip, work = machine(spec), load(name)
    plan = build(spec, work.network, {})
    lines = [simulate(phase.design) for phase in plan]
    more = extras(spec, work.network, {}, plan, lines, chip)
    layers = {}
    for phase, line in zip(plan, lines, strict=True):
        priced = chip.energy.price(phase.design.activity(), line.cycles / chip.clock_hz)
        layers[phase.name] = _figures(
            2 * phase.layers[0].macs_useful,
            line.cycles / chip.clock_hz,
            priced.by_boundary["core"],
            sum(priced.by_component.get(f"link.{part}", 0.0) for part in ("pixels", "outputs")),
        )
    sums = {key: sum(figures[key] for figures in layers.values()) for key in ("operations", "time", "energy", "io")}
    total = _figures(sums["operations"] * 1e6, sums["time"] / 1e3, sums["energy"] / 1e6, sums["io"] / 1e6)
    return layers, total | {"mean_efficiency": more["total"]["ops_per_j_by_layer_time"] / 1e12}


def _figures(ops: float, seconds: float, core_j: float, link_j: float) -> Figures:
    """In MOp, ms, uJ, GOp/s, TOp/s/W, frame/s; `io` is what pixels and partial images cost on the link, in uJ."""
    return {
        "operations": ops / 1e6,
        "time": seconds * 1e3,
        "energy": core_j * 1e6,
        "io": link_j * 1e6,
        "io_to_core": link_j / core_j,
        "throughput": ops / seconds / 1e9,
        "efficiency": ops / core_j / 1e12,
        "frames": 1 / seconds,
    }
