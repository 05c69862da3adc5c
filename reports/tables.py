"""Results and published figures as plain text tables: pretty units, aligned columns, version and config below."""

from collections.abc import Iterable, Sequence
from typing import Any

from sim.result import Result
from sim.units import show


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Rows under a head, aligned; the first `left` columns to the left, the others to the right."""
    table = [list(head), *map(list, rows)]
    widths = [max(len(row[n]) for row in table) for n in range(len(head))]
    lines = (
        "  ".join(
            cell.ljust(width) if n < left else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))
        )
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def footer(result: Result) -> str:
    """What a figure or table must carry: version and content hash."""
    return f"tapeout {result.data['version']}, result {result.digest}"


def layers(result: Result) -> str:
    """One line a layer that ran."""
    head = (
        "layer",
        "op",
        "cycles",
        "time",
        "MACs",
        "useful",
        "utilization",
        "starved",
        "blocked",
        "other stalls",
        "wasted",
        "energy",
    )
    return columns(head, [_layer(layer) for layer in result.layers if "skipped" not in layer], left=2)


def _layer(layer: dict[str, Any]) -> list[str]:
    """Wasted is what is left: unit-cycles of work that the answer did not need."""
    slots = layer["units"] * layer["cycles"] or 1
    stalls = dict(layer["stalls"])
    known = [stalls.pop(cause, 0) / slots for cause in ("starved", "blocked")]
    others = sum(stalls.values()) / slots
    rest = max(0.0, 1 - layer["utilization"] - sum(known) - others) if layer["cycles"] else 0.0
    shares = [*known, others, rest]
    return [
        layer["name"],
        layer["op"],
        f"{layer['cycles']:,}",
        show(layer["time_s"], "s"),
        f"{layer['macs']:,}",
        f"{layer['macs_useful']:,}",
        f"{layer['utilization']:.1%}",
        *(f"{share:.1%}" for share in shares),
        show(sum(layer["energy_j"].values()), "J"),
    ]


def skipped(result: Result) -> list[str]:
    """One line a reason, with the layers it holds for."""
    reasons: dict[str, list[str]] = {}
    for layer in result.layers:
        if "skipped" in layer:
            reasons.setdefault(layer["skipped"], []).append(layer["name"])
    return [f"skipped: {reason}: {', '.join(names)}" for reason, names in reasons.items()]


def total(result: Result) -> str:
    """The figures of the whole run, one a line."""
    found = result.total
    low, _, high = found["energy_interval_j"]
    lines = [
        ("images", f"{result.data['images']}"),
        ("cycles", f"{found['cycles']:,}"),
        ("time", show(found["time_s"], "s")),
        ("first image after", show(found["latency_s"], "s")),
        ("throughput", f"{found['images_per_s'] or 0:,.4g} images/s"),
        ("useful operations", operations(found["ops_per_s"], "s")),
        ("dense operations", operations(found["dense_ops_per_s"], "s")),
        ("peak", operations(found["peak_ops_per_s"], "s")),
        ("utilization", f"{found['utilization']:.1%}"),
        ("energy", f"{show(found['energy_j'], 'J')} ({show(low, 'J')} to {show(high, 'J')}), {found['boundary']}"),
        ("by boundary", ", ".join(f"{name} {show(j, 'J')}" for name, j in found["energy_by_boundary_j"].items())),
        ("power", show(found["power_w"] or 0.0, "W")),
        ("efficiency", operations(found["ops_per_j"], "s/W")),
        *((f"traffic {key}", show(float(size), "B")) for key, size in found["traffic_bytes"].items() if size),
        ("numbers equal", _equal(result)),
        *_accuracy(result.data.get("accuracy")),
    ]
    return columns(("", ""), lines, left=2).lstrip("\n")


def _accuracy(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    low, high = found["interval95"]
    return [("accuracy", f"{found['top1']:.1%} of {found['n']} images (95 %: {low:.1%} to {high:.1%})")]


def operations(rate: float | None, per: str) -> str:
    """`1.2 TOp/s`: useful or dense operations per second, or per second and watt."""
    return "-" if rate is None else show(rate, "Hz").replace("Hz", f"Op/{per}")


def _equal(result: Result) -> str:
    found = result.data["equivalence"]
    if found is None:
        return "not computed (timing only)"
    if not found["passed"]:
        return f"no: {found['first_failing_layer']} differs first, by up to {found['max_abs_error']:g}"
    return "yes" if found["exact"] else f"yes, within {found['max_abs_error']:.2g}"


def result(found: Result) -> str:
    """Layers, total, notes and footer."""
    config = ", ".join(_setting(*pair) for pair in found.data["arch"]["config"].items() if pair[1] is not None)
    title = f"{found.data['workload']['name']} on {found.data['arch']['name']} ({config})"
    notes = [f"note: {note}" for note in found.data["notes"]]
    return "\n".join([title, "", layers(found), "", total(found), *skipped(found), *notes, "", footer(found)])


def _setting(name: str, value: Any) -> str:
    return f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
