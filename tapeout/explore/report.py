"""What a study found, as files: the same study and the same store give the same bytes, however the points were run."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import Any

import numpy as np

from sim.files import write
from sim.result import VERSION
from sim.units import show
from tapeout.explore.front import Fronts, importance, pareto
from tapeout.explore.point import DONE, Point, summed
from tapeout.explore.search import judge
from tapeout.explore.sharing import digest
from tapeout.explore.store import TEXTS, Store
from tapeout.explore.study import Plan
from tapeout.sources import code

SCHEMA = "tapeout.study/1"


@dataclass(slots=True)
class Record:
    """A point as a study sees it; small, since there may be many. `figures` go with `Study.metrics`."""

    key: str
    arch: str
    workload: str
    written: str
    status: str
    why: str
    figures: tuple[float | None, ...]
    feasible: bool
    network: Mapping[str, Any]
    """The study's workload, densities and compression parameters that the point's workload is made of."""
    front: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was given."""
        found: dict[str, Any] = json.loads(self.written)
        return found

    @property
    def columns(self) -> dict[str, Any]:
        """Its parameters: the network's, and the settings, items of lists by their own names: `fold.layers.0.pe`."""
        return {n: value for n, value in self.network.items() if n != "workload"} | flattened(self.settings)


def flattened(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the items of lists of tables by their own names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            found |= {f"{name}.{n}.{key}": part for n, item in enumerate(value) for key, part in item.items()}
        else:
            found[name] = value
    return found


def records(
    plan: Plan, store: Store, keys: Mapping[str, None], networks: Mapping[str, Mapping[str, Any]]
) -> list[Record]:
    """A record per point of the study, by key: its settings, its figures, whether it is feasible and on the front.

    `networks` tells what every point's workload is made of.
    """
    study = plan.study
    found: dict[str, Record] = {}
    for part in store.rows({*TEXTS, *study.metrics}, study.metrics):
        for row in part.iter_rows(named=True):
            if row["key"] in keys:
                found[row["key"]] = _record(plan, row, networks.get(row["workload"]) or {"workload": row["workload"]})
    ordered = [found[key] for key in sorted(found)]
    for good in groups(plan, ordered):
        for record, on in zip(good, pareto(values(plan, good)), strict=True):
            record.front = bool(on)
    return ordered


def groups(plan: Plan, found: Sequence[Record]) -> list[list[Record]]:
    """Feasible points that may be compared with one another."""
    apart: dict[tuple[str, ...], list[Record]] = {}
    for record in found:
        if record.feasible:
            apart.setdefault(_group(plan, record), []).append(record)
    return [apart[group] for group in sorted(apart)]


def _group(plan: Plan, record: Record) -> tuple[str, ...]:
    return tuple(getattr(record, name) for name in plan.study.apart)


def _record(plan: Plan, row: Mapping[str, Any], network: Mapping[str, Any]) -> Record:
    outcome = judge(plan.study, row)
    names = {name: value for name, value in row.items() if name not in TEXTS and value is not None}
    arch, workload, status, why = (intern(row[name]) for name in ("arch", "workload", "status", "why"))
    figures = tuple(summed(names, metric) for metric in plan.study.metrics)
    feasible = outcome is not None and outcome.missed == 0
    if status == DONE and outcome is None:
        why = intern("no figure: " + ", ".join(m for m, value in zip(plan.study.metrics, figures) if value is None))
    return Record(row["key"], arch, workload, row["settings"], status, why, figures, feasible, network)


def values(plan: Plan, found: Sequence[Record]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Objectives to minimise, `[points, objectives]`."""
    goals, metrics = plan.study.objectives, plan.study.metrics
    place = [(goal.sign, metrics.index(goal.metric)) for goal in goals]
    rows = [[sign * (record.figures[n] or 0.0) for sign, n in place] for record in found]
    return np.array(rows, np.float64).reshape(len(rows), len(goals))


def summary(plan: Plan, found: Sequence[Record], asked: int) -> dict[str, Any]:
    """The study, how many points came to what, the front with the command that remakes each point, and importance."""
    good = [record for record in found if record.feasible]
    front = [record for group in groups(plan, found) for record in _different(plan, [r for r in group if r.front])]
    all_values = values(plan, good)
    fronts = Fronts(len(plan.study.objectives))
    for n, group in enumerate(groups(plan, found)):
        fronts.add((str(n),), values(plan, group))
    reasons = Counter(record.why for record in found if record.why)
    chosen = [{"arch": r.arch, "workload": r.network["workload"], **r.columns} for r in good]
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "code": code(),
        "study": plan.study.model_dump(mode="json"),
        "workloads": {text: digest(text) for text in plan.study.workload},
        "points": {
            "asked": asked,
            "done": sum(record.status == DONE for record in found),
            "failed": sum(record.status != DONE for record in found),
            "lost": asked - len(found),
            "feasible": len(good),
        },
        "failed": dict(sorted(reasons.items())),
        "missed": missed(plan, found),
        "hypervolume": fronts.hypervolume,
        "importance": {
            goal.metric: importance(chosen, np.abs(all_values[:, n])) for n, goal in enumerate(plan.study.objectives)
        },
        "front": [
            {
                "key": record.key,
                "arch": record.arch,
                "workload": record.workload,
                "network": dict(record.network),
                "settings": record.settings,
                "figures": dict(zip(plan.study.metrics, record.figures)),
                "command": command(plan, record),
            }
            for record in front
        ],
    }


def missed(plan: Plan, found: Sequence[Record]) -> list[dict[str, Any]]:
    """Constraints that points miss: how many, and the figure that comes closest of all points."""
    told = []
    for constraint in plan.study.constraints:
        low, high = constraint.bounds()
        place = plan.study.metrics.index(constraint.metric)
        figures = [value for record in found if (value := record.figures[place]) is not None]
        over = [value for value in figures if not low <= value <= high]
        if over:
            closest = min(figures, key=lambda value: max(low - value, value - high))
            told.append({**constraint.model_dump(mode="json"), "points": len(over), "closest": closest})
    return told


def _different(plan: Plan, front: Sequence[Record]) -> list[Record]:
    """The front in the order of its figures; of points with the same figures, the one with the least settings."""
    order = sorted(zip(values(plan, front).tolist(), front), key=lambda pair: (pair[0], _least(pair[1])))
    return [next(records)[1] for _, records in groupby(order, key=itemgetter(0))]


def _least(record: Record) -> tuple[tuple[bool, Any], ...]:
    """Numbers in their order, texts after them."""
    values = record.columns.values()
    return tuple((not isinstance(v, int | float), v if isinstance(v, int | float) else str(v)) for v in values)


def command(plan: Plan, record: Record) -> str:
    """The command that remakes a point."""
    study = plan.study
    given = tuple(record.settings.items())
    return Point(record.arch, record.workload, given, study.seed, study.batch, study.numbers).command


def save(plan: Plan, out: Path, found: Sequence[Record], said: Mapping[str, Any], run: Mapping[str, Any]) -> Path:
    """Write study.json, points.csv, run.json and the figure of the front to `out`/<content hash>/; returns it."""
    text = json.dumps({name: said[name] for name in ("version", "code", "study", "workloads")}, sort_keys=True)
    folder = out / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "study.json", json.dumps(said, indent=2) + "\n")
    write(folder / "points.csv", _csv(plan, found))
    write(folder / "run.json", json.dumps(run, indent=2) + "\n")
    good = [record for record in found if record.feasible]
    if len(plan.study.objectives) > 1 and good:
        from reports import figures
        from reports.front import pareto as drawing

        goals = [(goal.metric, goal.sign) for goal in plan.study.objectives[:2]]
        drawn = [
            {
                "front": r.front,
                "group": ", ".join(_group(plan, r)) or r.arch,
                **dict(zip(plan.study.metrics, r.figures)),
            }
            for r in good
        ]
        figures.save(
            drawing(drawn, goals), [r for r in drawn if r["front"]], folder / "front", f"explore {plan.source}"
        )
    return folder


def _csv(plan: Plan, found: Sequence[Record]) -> str:
    names = list(dict.fromkeys(name for record in found for name in record.columns))
    text = io.StringIO()
    head = ["key", "arch", "workload", *names, "status", "feasible", "front", "why"]
    writer = csv.DictWriter(text, [*head, *plan.study.metrics, "command"], restval="", lineterminator="\n")
    writer.writeheader()
    for record in found:
        flat = {name: getattr(record, name) for name in head if name not in names}
        writer.writerow(
            flat | record.columns | dict(zip(plan.study.metrics, record.figures)) | {"command": command(plan, record)}
        )
    return text.getvalue()


def table(said: Mapping[str, Any]) -> str:
    """A summary for people."""
    from reports.tables import columns

    points, goals = said["points"], said["study"]["objectives"]
    metrics = [goal["minimise"] or goal["maximise"] for goal in goals]
    shown = [{"arch": point["arch"], **point["network"], **flattened(point["settings"])} for point in said["front"]]
    names = list(dict.fromkeys(name for point in shown for name in point))
    varied = [name for name in names if len({str(point.get(name)) for point in shown}) > 1 or len(shown) == 1]
    rows = [
        [*(str(chosen.get(name, "")) for name in varied), *(_shown(name, point["figures"][name]) for name in metrics)]
        for chosen, point in zip(shown[:FRONT], said["front"])
    ]
    lines = [
        said["study"]["question"],
        f"{points['done']:,} points done, {points['failed']:,} failed, {points['feasible']:,} feasible, "
        f"{len(said['front']):,} on the front, hypervolume {said['hypervolume']:.4f}",
        *(
            f"  {count:,} with {why}" if why.startswith("no figure") else f"  {count:,} failed: {why}"
            for why, count in list(said["failed"].items())[:5]
        ),
        *(_miss(each) for each in said["missed"] if not points["feasible"]),
        *(f"  {points['lost']:,} were lost with their workers: run it again" for _ in range(points["lost"] > 0)),
        "",
        columns([*varied, *metrics], rows, left=len(varied)),
    ]
    lines += [f"... and {more} more in study.json"] if (more := len(said["front"]) - FRONT) > 0 else []
    for metric, shares in said["importance"].items():
        told = sorted(((share, name) for name, share in shares.items() if share >= 0.005), reverse=True)
        if told:
            lines.append(f"{metric} is decided by " + ", ".join(f"{name} {share:.0%}" for share, name in told))
    return "\n".join(lines)


def _miss(told: Mapping[str, Any]) -> str:
    """What no point reaches."""
    wanted = " and ".join(f"at {end} {told[end]}" for end in ("least", "most") if told[end] is not None)
    return f"  {told['points']:,} miss {told['metric']} {wanted}: the closest has {_shown(told['metric'], told['closest'])}"


FRONT = 20


def _shown(metric: str, value: float) -> str:
    from sim.result import UNITS

    unit = UNITS.get(metric.partition(".")[0], "")
    try:
        return show(value, unit)
    except KeyError:
        return f"{value:,.4g}"
