"""What a run answers, as one JSON document: cycles, stalls, traffic, energy, equivalence, per layer and in total.

`assemble` is the only place where results are made. SI base units throughout (`UNITS`); the schema stands beside this
module in result.schema.json. What differs between two runs of the same command is kept apart, in `Result.run`.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from math import fsum
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from sim.config import read_yaml
from sim.files import write
from sim.plan import Array, Computed, Machine, Phase, Plan, Work
from sim.timeline import Timeline
from sim.verdict import Verdict, check

SCHEMA = "tapeout.result/1"
SCHEMA_FILE = Path(__file__).with_name("result.schema.json")
VERSION = version("tapeout")

Metrics = Mapping[str, Mapping[str, str]]
"""Unit, definition and (optional) formula of figures, by their key in a result."""


@cache
def metrics(path: Path) -> Metrics:
    """The figures that a metrics.yaml explains; none where there is no such file."""
    return cast(Metrics, read_yaml(path).data) if path.is_file() else {}


METRICS = metrics(Path(__file__).with_name("metrics.yaml"))
"""Figures of every machine; those that one machine alone gives stand in its folder."""


def units(explained: Metrics) -> dict[str, str]:
    """Of every figure that has one."""
    return {name: metric["unit"] for name, metric in explained.items() if metric["unit"]}


UNITS = units(METRICS)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a run's workload came from: its name, the file or generator behind it, and a digest of its bytes."""

    name: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; two equal requests give the same result, byte for byte."""

    arch: str
    config: Mapping[str, Any]
    workload: Source
    inputs_sha256: str
    images: int
    engine: Literal["fast", "des"]
    seed: int
    check: bool
    timing_only: bool
    code: str = ""
    """Digest of the sources that answer."""

    @property
    def digest(self) -> str:
        """Content hash of the request, of this version of tapeout and of its sources: 16 hex digits."""
        said = {name: getattr(self, name) for name in self.__slots__ if name != "workload"}
        text = json.dumps(said | {"workload": self.workload.sha256, "version": VERSION}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False, slots=True)
class Result:
    """The document (`data`), what differs from run to run (`run`), and the plan and timelines it was made from."""

    data: dict[str, Any]
    digest: str
    run: dict[str, Any] = field(default_factory=dict)
    plan: Plan = ()
    timelines: Sequence[Timeline] = ()
    outputs: Array | None = None

    @property
    def total(self) -> dict[str, Any]:
        """The figures of the whole run."""
        total: dict[str, Any] = self.data["total"]
        return total

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The figures of each layer, in the network's order."""
        layers: list[dict[str, Any]] = self.data["layers"]
        return layers

    def to_json(self, run: bool = False) -> str:
        """The document as JSON text; with `run`, what differs from run to run too, as its `"run"`."""
        data = self.data | {"run": self.run} if run else self.data
        return json.dumps(data, indent=2, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """One line a layer; nested figures become `stalls.starved` and so on."""
        rows = [dict(_flat(layer)) for layer in self.layers]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def save(self, out: str | Path) -> Path:
        """Write result.json, layers.csv, run.json and outputs.npy to `out`/<content hash>/, each in one step.

        outputs.npy holds the machine's own raw numbers of the last layer that has them, `[images, *shape]`.
        """
        folder = Path(out) / self.digest
        folder.mkdir(parents=True, exist_ok=True)
        run = json.dumps(self.run, indent=2, allow_nan=False) + "\n"
        for name, text in (("result.json", self.to_json()), ("layers.csv", self.to_csv()), ("run.json", run)):
            write(folder / name, text)
        if self.outputs is not None:
            array = io.BytesIO()
            np.save(array, self.outputs, allow_pickle=False)
            write(folder / "outputs.npy", array.getvalue())
        return folder


def _flat(layer: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in layer.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", part) for key, part in value.items())
        else:
            yield name, value


class _Share(NamedTuple):
    """One layer in one phase."""

    work: Work
    cycles: int
    useful: int
    stalls: dict[str, int]
    activity: dict[str, int]
    seconds: float


def assemble(
    request: Request,
    machine: Machine,
    plan: Plan,
    timelines: Sequence[Timeline],
    steady: Sequence[float],
    order: Mapping[str, str],
    skips: Mapping[str, str] | None = None,
    computed: Computed | None = None,
    verdict: Verdict | None = None,
    checks: Mapping[str, bool | None] | None = None,
    extras: Mapping[str, Any] | None = None,
    own: Metrics | None = None,
) -> Result:
    """Put a run's parts together and check the result's laws (CheckError).

    `timelines` and `steady` (cycles of one image in the steady regime) go with the phases of `plan`; `order` maps every
    layer of the network to its op; `computed` and `verdict` are None for a run of timing alone; `extras` are keys that
    one machine alone has (see sim.plan), and `own` explains them.
    """
    shares = [share for phase, line in zip(plan, timelines, strict=True) for share in _shares(phase, line, machine)]
    names = {share.work.name: share.work.op for share in shares}
    layers: list[dict[str, Any]] = []
    for name, op in (dict(order) | {name: op for name, op in names.items() if name not in order}).items():
        mine = [share for share in shares if share.work.name == name]
        if mine:
            layers.append(_layer(mine, machine))
        elif skips and name in skips:
            layers.append({"name": name, "op": op, "skipped": skips[name]})
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "digest": request.digest,
        "engine": request.engine,
        "seed": request.seed,
        "arch": {"name": request.arch, "config": dict(request.config)},
        "workload": {name: getattr(request.workload, name) for name in Source.__slots__},
        "images": request.images,
        "layers": layers,
        "phases": _phases(plan, timelines, machine),
        "total": _total(request.images, machine, plan, timelines, steady, shares),
        "equivalence": _equivalence(verdict),
        "fidelity": _fidelity(computed, verdict),
        "checks": dict(checks) if checks else None,
        "notes": list(computed.notes) if computed else [],
        "units": dict(sorted({**UNITS, **units(own or {})}.items())),
    }
    _merge(data, extras or {})
    check(data)
    return Result(data, request.digest, plan=plan, timelines=timelines)


def _merge(data: dict[str, Any], extras: Mapping[str, Any]) -> None:
    """Put a machine's own keys where they belong; its stalls replace or join the layer's."""
    for name, value in extras.items():
        if name == "total":
            data["total"] |= value
        elif name == "layers":
            for layer in data["layers"]:
                more = dict(value.get(layer["name"], {}))
                if "stalls" in more:
                    more["stalls"] = layer["stalls"] | dict(more["stalls"])
                layer |= more
        else:
            data[name] = value


def _shares(phase: Phase, line: Timeline, machine: Machine) -> list[_Share]:
    windows = {work.name: _window(work.stages, line) for work in phase.layers}
    spans = sum(last - first for first, last in windows.values())
    shares = []
    for work in phase.layers:
        first, last = windows[work.name]
        useful, stalls = _stalls(work, line, first, last)
        part = (last - first) / spans if spans else 1 / len(windows)
        seconds = line.cycles / machine.clock_hz * part
        shares.append(_Share(work, last - first, useful, stalls, phase.design.activity(work.stages), seconds))
    return shares


def _window(stages: Sequence[str], line: Timeline) -> tuple[int, int]:
    """First start and last release among `stages`."""
    firing = {name: line.design.stages[name].firings for name in stages if line.design.stages[name].firings}
    if not firing:
        return 0, 0
    first = min(_least(line.start(name, 0)) for name in firing)
    return first, max(-_least(-line.release(name, firings - 1)) for name, firings in firing.items())


def _least(times: Any) -> int:
    """The smallest of one time per lane."""
    return int(times.min()) if hasattr(times, "min") else int(times)


def _stalls(work: Work, line: Timeline, first: int, last: int) -> tuple[int, dict[str, int]]:
    """Useful unit-cycles of the layer's unit within its window, and the others by cause.

    Before the window the unit only starves (or, where it claims room first, is blocked); after it there is only tail.
    """
    if not work.unit:
        return 0, {}
    lanes = line.design.stages[work.unit].lanes
    starved, busy, blocked, tail = line.shares(work.unit)
    before = min(starved, first * lanes)
    stalls = {
        "starved": starved - before,
        "blocked": blocked - (first * lanes - before),
        "tail": tail - (line.cycles - last) * lanes,
    }
    scale = work.units // lanes
    idle = {cause: cycles for cause, cycles in work.idle.items() if cycles}
    useful = busy * scale - sum(idle.values())
    return useful, {cause: cycles * scale for cause, cycles in stalls.items()} | idle


def _layer(shares: Sequence[_Share], machine: Machine) -> dict[str, Any]:
    """One layer's figures, added up over the phases that worked on it."""
    work = shares[0].work
    cycles = sum(share.cycles for share in shares)
    useful = sum(share.work.macs_useful for share in shares)
    units_useful = sum(share.useful for share in shares)
    peak = sum(share.work.macs_per_cycle * share.cycles for share in shares)
    slots = sum(share.work.units * share.cycles for share in shares)
    activity = _added(share.activity for share in shares)
    priced = machine.energy.price(activity, fsum(share.seconds for share in shares), machine.boundary)
    return {
        "name": work.name,
        "op": work.op,
        "cycles": cycles,
        "time_s": cycles / machine.clock_hz,
        "macs": sum(share.work.macs for share in shares),
        "macs_useful": useful,
        "macs_wasted": _added(share.work.macs_wasted for share in shares),
        "op_width": work.op_width,
        "weight_bits": work.weight_bits,
        "utilization": _ratio(useful, peak) if peak else _ratio(units_useful, slots) or 0.0,
        "units": work.units,
        "unit_cycles_useful": units_useful,
        "stalls": _added(share.stalls for share in shares),
        "traffic_bytes": traffic(activity, machine),
        "energy_j": dict(sorted(priced.by_component.items())),
    }


def _total(
    images: int,
    machine: Machine,
    plan: Plan,
    timelines: Sequence[Timeline],
    steady: Sequence[float],
    shares: Sequence[_Share],
) -> dict[str, Any]:
    cycles = sum(line.cycles for line in timelines)
    seconds = cycles / machine.clock_hz
    useful, dense = (sum(getattr(share.work, name) for share in shares) for name in ("macs_useful", "macs"))
    activity = _added(phase.design.activity() for phase in plan)
    priced = machine.energy.price(activity, seconds, machine.boundary)
    energy = priced.interval.nominal
    return {
        "cycles": cycles,
        "time_s": seconds,
        "latency_s": _first_image(plan, timelines) / machine.clock_hz,
        "steady_cycles_per_image": _whole(fsum(each * p.images for each, p in zip(steady, plan, strict=True)) / images),
        "images_per_s": _ratio(images, seconds),
        "macs": dense,
        "macs_useful": useful,
        "macs_wasted": _added(share.work.macs_wasted for share in shares),
        "utilization": _ratio(useful, machine.macs_per_cycle * cycles) or 0.0,
        "ops_per_s": _ratio(2 * useful, seconds),
        "dense_ops_per_s": _ratio(2 * dense, seconds),
        "peak_ops_per_s": 2 * machine.macs_per_cycle * machine.clock_hz,
        "power_w": _ratio(energy, seconds),
        "energy_j": energy,
        "energy_interval_j": list(priced.interval),
        "energy_by_component_j": dict(sorted(priced.by_component.items())),
        "energy_movers_j": {mover.constant: mover.spread_j for mover in priced.movers},
        "ops_per_j": _ratio(2 * useful, energy),
        "dense_ops_per_j": _ratio(2 * dense, energy),
        "boundary": machine.boundary,
        "energy_by_boundary_j": dict(priced.by_boundary),
        "traffic_bytes": traffic(activity, machine),
        **dict(sorted(machine.resources.items())),
    }


def traffic(activity: Mapping[str, int], machine: Machine) -> dict[str, int | float]:
    """Bytes by traffic key; a count of bits that is no whole number of bytes gives a fraction."""
    bits = _added(
        {machine.accesses[a].key: n * machine.accesses[a].bits} for a, n in activity.items() if a in machine.accesses
    )
    return {key: amount // 8 if amount % 8 == 0 else amount / 8 for key, amount in sorted(bits.items())}


def _first_image(plan: Plan, timelines: Sequence[Timeline]) -> int:
    """The cycle at which the first image of the batch is done."""
    offset = done = 0
    for phase, line in zip(plan, timelines, strict=True):
        if phase.image == 0:
            done = offset + line.cycles
            if phase.sink:
                firings = phase.design.stages[phase.sink].firings
                last = phase.first_done % firings if phase.first_done < 0 else phase.first_done
                done = offset - _least(-line.release(phase.sink, last))
        offset += line.cycles
    return done


def _phases(plan: Plan, timelines: Sequence[Timeline], machine: Machine) -> list[dict[str, Any]]:
    """Cycles by phase; phases of one name (a layer, image after image) are one entry."""
    cycles: dict[str, int] = {}
    for phase, line in zip(plan, timelines, strict=True):
        cycles[phase.name] = cycles.get(phase.name, 0) + line.cycles
    return [{"name": name, "cycles": spent, "time_s": spent / machine.clock_hz} for name, spent in cycles.items()]


def _equivalence(verdict: Verdict | None) -> dict[str, Any] | None:
    names = ("passed", "exact", "max_abs_error", "first_failing_layer")
    return {name: getattr(verdict, name) for name in names} if verdict else None


def _fidelity(computed: Computed | None, verdict: Verdict | None) -> dict[str, Any] | None:
    if computed is None or verdict is None:
        return None
    return {
        "encoding_exact": computed.encoding_exact,
        "sqnr_db": verdict.sqnr_db,
        "saturations": computed.saturations,
    }


def _added(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts added up by name."""
    sums: dict[str, int] = {}
    for table in tables:
        for name, amount in table.items():
            sums[name] = sums.get(name, 0) + int(amount)
    return sums


def _ratio(part: float, whole: float) -> float | None:
    """None where there is nothing to divide by: no energy was priced, say."""
    return part / whole if whole else None


def _whole(value: float) -> int | float:
    """An int where the value is one."""
    return int(value) if value == int(value) else value
