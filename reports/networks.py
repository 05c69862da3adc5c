"""Networks as text tables: what a file holds layer by layer, and what compression did to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.tables import columns

MOST_NAME = 48


def contents(found: Mapping[str, Any]) -> str:
    """The rows of `workloads.table.table`, its totals, and every node that was approximated or is not supported."""
    head = ("layer", "op", "shape", "params", "MACs", "zeros", "distinct", "encoding")
    rows = [
        (
            _short(row["name"]),
            row["op"],
            "x".join(map(str, row["shape"])),
            f"{row['params']:,}",
            f"{row['macs']:,}",
            _number(row["zeros"]),
            _number(row["distinct"]),
            row["encoding"] or "-",
        )
        for row in found["layers"]
    ]
    total = found["total"]
    lines = [columns(head, rows, left=2), ""]
    lines.append(f"total: {total['params']:,} parameters, {total['macs']:,} MACs, zeros {_number(total['zeros'])}")
    lines += [f"approximated: {entry['node']}: {entry['why']}" for entry in found["approximated"]]
    lines += [f"unsupported: {entry['node']} ({entry['op']})" for entry in found["unsupported"]]
    return "\n".join(lines)


def compressed(rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = ()) -> str:
    """Bits before and after, density and relative error of every layer, their sum, and remarks."""
    head = ("layer", "format", "bits before", "bits", "ratio", "density", "error")
    lines = [
        (
            _short(row["name"]),
            row["format"],
            f"{row['bits_before']:,}",
            f"{row['bits']:,}",
            f"{row['bits_before'] / max(1, row['bits']):.1f}x",
            f"{row['density']:.1%}",
            f"{row['error']:.3g}",
        )
        for row in rows
    ]
    before, after = (sum(row[key] for row in rows) for key in ("bits_before", "bits"))
    lines.append(("total", "", f"{before:,}", f"{after:,}", f"{before / max(1, after):.1f}x", "", ""))
    return "\n".join([columns(head, lines, left=2), *(f"note: {note}" for note in notes)])


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAME else "..." + name[3 - MOST_NAME :]
