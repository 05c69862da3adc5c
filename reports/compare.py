"""Machines side by side on one task or on one artifact: energy per image and latency, ranked only where ranks hold.

Energies are compared at one common frame rate (slow machines stand several times over, fast ones idle and pay their
static power), never as operations per watt across precisions. A rank that changes under another energy boundary, scaling
rule or end of the energy interval is "not separable".
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum
from pathlib import Path
from typing import Any

from reports.entries import BOUNDARIES, LINK_J_PER_BIT, Entry
from reports.scaling import RULES, SOURCES, Rule
from reports.tables import columns
from sim.errors import InputError
from sim.files import write
from sim.result import VERSION
from sim.units import show


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Rows of one table. `rate`: images a second that all are compared at (default: the slowest entry's own)."""

    title: str
    entries: Sequence[Entry]
    boundary: str = "system"
    rule: Rule = "raw"
    rate: float | None = None
    rules: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        for entry in self.entries:
            for part in entry.parts:
                if part.result.data["arch"]["config"].get("accounting") == "paper":
                    raise InputError(
                        "accounting=paper counts what a paper counted, each another thing; allowed: full",
                        where=part.machine,
                        setting="accounting",
                    )

    @property
    def common_rate(self) -> float:
        """Images a second at which energies are compared."""
        return self.rate or min((entry.rate for entry in self.ranked), default=0.0) or 1.0

    @property
    def ranked(self) -> list[Entry]:
        """Entries that ran everything and whose numbers are right."""
        return [entry for entry in self.entries if entry.whole and entry.equal is not False]

    def order(self) -> list[Entry]:
        """By energy an image at the common rate, within the table's boundary and rule; then what is not ranked."""
        ranked = sorted(self.ranked, key=lambda e: e.energy(self.boundary, self.rule, self.common_rate)[1])
        return [*ranked, *(entry for entry in self.entries if entry not in ranked)]

    def beats(self, one: Entry, other: Entry) -> bool:
        """Whether `one` needs less energy an image under every boundary, rule and end of the interval."""
        return not less_accurate(one, other) and all(
            one.energy(boundary, rule, self.common_rate)[2] < other.energy(boundary, rule, self.common_rate)[0]
            for boundary in BOUNDARIES
            for rule in RULES
        )

    def unseparated(self, entry: Entry) -> list[Entry]:
        """Ranked entries that neither beat nor lose to `entry`."""
        return [e for e in self.ranked if e is not entry and not self.beats(e, entry) and not self.beats(entry, e)]

    def rank(self, entry: Entry) -> str:
        """Places between the best and the worst this entry can have: `2`, or `2-4` where it is not separable."""
        if entry not in self.ranked:
            return "-"
        best = 1 + sum(self.beats(other, entry) for other in self.ranked if other is not entry)
        worst = len(self.ranked) - sum(self.beats(entry, other) for other in self.ranked if other is not entry)
        return f"{best}" if best == worst else f"{best}-{worst}"

    def place(self, entry: Entry) -> str:
        """Place by latency among the ranked; equal latencies share one."""
        if entry not in self.ranked:
            return "-"
        return str(1 + sum(other.latency_s < entry.latency_s for other in self.ranked))


def less_accurate(one: Entry, other: Entry) -> bool:
    """Whether the 95 % intervals leave no doubt that `one` is worse."""
    mine, others = one.accuracy, other.accuracy
    return bool(mine and others and mine["interval95"][1] < others["interval95"][0])


def record(table: Comparison, entry: Entry) -> dict[str, Any]:
    """One row as plain data, SI units; energies an image by boundary, rule and end."""
    base: dict[str, Any] = {
        "name": entry.name,
        "artifact": entry.artifact,
        "refused": entry.refused,
        "covered": entry.covered,
    }
    if not entry.parts:
        return base
    at = table.common_rate
    return base | {
        "rank": table.rank(entry),
        "not_separable_from": [other.name for other in table.unseparated(entry)] if entry in table.ranked else [],
        "kind": entry.kinds,
        "process": " + ".join(part.process.name for part in entry.parts),
        "accuracy": entry.accuracy,
        "numbers_equal": entry.equal,
        "latency_s": entry.latency_s,
        "place_by_latency": table.place(entry),
        "images_per_s": entry.rate,
        "compared_at_images_per_s": at,
        "replicas": entry.replicas(at),
        "energy_j": {
            boundary: {rule: list(entry.energy(boundary, rule, at)) for rule in RULES} for boundary in BOUNDARIES
        },
        "traffic_off_chip_bytes": entry.traffic(True),
        "traffic_on_chip_bytes": entry.traffic(False),
        "weights_bytes": fsum(part.weights_bytes for part in entry.parts),
        "resources": " + ".join(part.resources() for part in entry.parts),
        "notes": list(entry.notes()),
        "results": [part.result.digest for part in entry.parts],
    }


def records(table: Comparison) -> list[dict[str, Any]]:
    """Every row, in the order of the table."""
    return [record(table, entry) for entry in table.order()]


HEAD = (
    "rank",
    "machine",
    "artifact",
    "top-1",
    "latency",
    "place",
    "images/s",
    "machines",
    "J/image",
    "its range",
    "scaled J/image",
    "numbers equal",
)
FACTS = (
    "machine",
    "made in",
    "core J/image",
    "chip J/image",
    "system J/image",
    "off chip an image",
    "on chip",
    "area or resources",
)


def table(found: Comparison) -> str:
    """The ranking, the machines, what could not run, what is not separable, the rules and the notes."""
    order = [entry for entry in found.order() if entry.parts]
    lines = [found.title, "", columns(HEAD, [_row(found, entry) for entry in order], left=3), ""]
    lines += [columns(FACTS, [_facts(found, entry) for entry in order], left=2), ""]
    refused: dict[str, list[str]] = {}
    for entry in found.entries:
        if entry.refused:
            refused.setdefault(entry.refused, []).append(entry.name)
    lines += [
        f"{'' if why.startswith('not run') else 'not possible: '}{'; '.join(names)}: {why}"
        for why, names in refused.items()
    ]
    lines += [f"not ranked: {entry.name}: ran {entry.covered:.1%} of the MACs" for entry in order if not entry.whole]
    lines += [f"not separable: {one}" for one in _unseparated(found)]
    notes: dict[str, list[str]] = {}
    for entry in order:
        for note in entry.notes():
            notes.setdefault(note, []).append(entry.name)
    lines += [f"note: {note} ({', '.join(names)})" for note, names in notes.items()]
    return "\n".join([*lines, "", *rules(found), f"tapeout {VERSION}"])


def short(found: Comparison) -> str:
    """The ranking alone."""
    rows = [_row(found, entry) for entry in found.order() if entry.parts]
    lines = [f"not possible: {entry.name}: {entry.refused}" for entry in found.entries if entry.refused]
    return "\n".join([found.title, "", columns(HEAD, rows, left=3), *lines])


def _row(found: Comparison, entry: Entry) -> tuple[str, ...]:
    low, nominal, high = entry.energy(found.boundary, found.rule, found.common_rate)
    scaled = entry.energy(found.boundary, "classical", found.common_rate)[1]
    return (
        found.rank(entry),
        entry.name,
        entry.artifact,
        top1(entry),
        show(entry.latency_s, "s"),
        found.place(entry),
        f"{entry.rate:,.0f}",
        str(entry.replicas(found.common_rate)),
        show(nominal, "J"),
        f"{show(low, 'J', 3)} to {show(high, 'J', 3)}",
        "-" if entry.unscaled else show(scaled, "J"),
        {True: "yes", False: "NO", None: "-"}[entry.equal],
    )


def top1(entry: Entry) -> str:
    """Accuracy, of how many, and the 95 % interval."""
    seen = entry.accuracy
    if not seen:
        return "-"
    low, high = seen["interval95"]
    return f"{seen['top1']:.1%} of {seen['n']} ({low:.1%} to {high:.1%})"


def _facts(found: Comparison, entry: Entry) -> tuple[str, ...]:
    return (
        entry.name,
        " + ".join(part.process.name for part in entry.parts),
        *(show(entry.energy(boundary, found.rule, found.common_rate)[1], "J") for boundary in BOUNDARIES),
        show(entry.traffic(True), "B"),
        show(entry.traffic(False), "B"),
        " + ".join(part.resources() for part in entry.parts),
    )


def _unseparated(found: Comparison) -> list[str]:
    """Pairs whose order depends on boundary, rule or interval; each once."""
    ranked = [entry for entry in found.order() if entry in found.ranked]
    lines = []
    for n, entry in enumerate(ranked):
        names = [other.name for other in ranked[n + 1 :] if other in found.unseparated(entry)]
        if names:
            lines.append(f"{entry.name} from {', '.join(names)}")
    return lines


def rules(found: Comparison) -> list[str]:
    """How to read the table."""
    low, nominal, high = (f"{joule * 1e12:g}" for joule in LINK_J_PER_BIT)
    said = [
        *found.rules,
        f"J/image: {found.boundary} boundary, {found.rule}, at {found.common_rate:,.4g} images/s for all: so many machines "
        "side by side, idle ones pay static power. From, to: the range of the energy constants.",
        f"Link of a machine that prices none: {nominal} pJ/bit ({low} to {high}).",
        "Ranked by J/image; 2-4 means any place from 2 to 4: the order changes with boundary "
        f"({', '.join(BOUNDARIES)}), scaling rule or interval, or accuracy is worse.",
        *(f"Scaling, {rule}: {SOURCES[rule]}." for rule in RULES),
        "FPGA designs are not scaled and not turned into mm2. Latency, and the place by it: batch 1, first image.",
        "The range is known for each machine's own boundary and taken in proportion for the others.",
        "Areas are published layouts, resources are estimates of the models: not one column of measurements.",
    ]
    return [f"rule: {line}" for line in said]


def save(found: Comparison, out: Path, name: str) -> list[Path]:
    """Write `name`.json, .csv and .txt into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    plain = records(found)
    texts = {
        ".json": json.dumps({"title": found.title, "rules": rules(found), "rows": plain}, indent=2) + "\n",
        ".csv": _csv(found),
        ".txt": table(found) + "\n",
    }
    for suffix, text in texts.items():
        write(out / f"{name}{suffix}", text)
    return [out / f"{name}{suffix}" for suffix in texts]


def _csv(found: Comparison) -> str:
    """One line an entry and boundary and rule."""
    text = io.StringIO()
    head = (
        "name",
        "artifact",
        "rank",
        "top1",
        "n",
        "latency_s",
        "images_per_s",
        "boundary",
        "rule",
        "low_j",
        "j",
        "high_j",
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in records(found):
        seen = row.get("accuracy") or {}
        for boundary, by_rule in row.get("energy_j", {}).items():
            for rule, energy in by_rule.items():
                facts = (row["name"], row["artifact"], row["rank"], seen.get("top1"), seen.get("n"))
                writer.writerow((*facts, row["latency_s"], row["images_per_s"], boundary, rule, *energy))
    return text.getvalue()
