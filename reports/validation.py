"""The validation page: every published figure beside ours, worst rows first, as Markdown, HTML and a picture.

Headline counts are of rows found in print and not given to the model; recalled and derived rows have a table of their own.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import html
from reports.figures import COLOURS, MARKERS, PAGE_INCHES, canvas, save, styled
from reports.html import Cell
from sim import files
from sim.result import VERSION

Record = Mapping[str, Any]
COMMAND = "tapeout reproduce --out out/validation"
OUTCOMES = ("reproduced", "gap", "reported", "broken", "data absent")
HEAD = ("row", "paper", "ours", "unit", "error", "tolerance", "status", "why", "workload", "evidence", "source", "use")
EVIDENCE = "board: measured; post-layout: of a netlist; simulator: the authors'; formula: arithmetic; claim: said."


def headline(records: Sequence[Record]) -> list[Record]:
    """Rows found in print that the model was not given."""
    return [r for r in records if r["grade"] == "found" and r["use"] == "check"]


def worst_first(records: Sequence[Record]) -> list[Record]:
    """By what became of them (broken, gap, others), then by the size of the error."""
    urgency = {"broken": 0, "gap": 1, "data absent": 3}
    return sorted(records, key=lambda r: (urgency.get(r["outcome"], 2), -abs(r["error"] or 0.0)))


def counts(records: Sequence[Record]) -> str:
    """`37 reproduced, 7 gap`."""
    number = {name: sum(r["outcome"] == name for r in records) for name in OUTCOMES}
    return ", ".join(f"{n} {name}" for name, n in number.items() if n) or "none"


def groups(records: Sequence[Record]) -> list[tuple[str, str, list[Record]]]:
    """The tables of the page: anchor, title, rows."""
    given = [r for r in records if r["grade"] == "found" and r["use"] != "check"]
    return [
        ("checks", "Found in print, not given to the model", worst_first(headline(records))),
        ("given", "Found in print, given to the model or fitted", worst_first(given)),
        ("derived", "Derived from printed figures", worst_first([r for r in records if r["grade"] == "derived"])),
        ("recalled", "Recalled: reported, never gated", worst_first([r for r in records if r["grade"] == "recalled"])),
    ]


@styled
def against_paper(records: Sequence[Record], inches: float = PAGE_INCHES) -> Figure:
    """Ours against the paper's on log axes, and each row's error by machine. Full marks: found, not given to the model."""
    figure, (left, right) = canvas(2, inches, height=3.1)
    mine = [r for r in records if (r["ours"] or 0) > 0 and r["value"] > 0]
    names = list(dict.fromkeys(r["arch"] for r in mine))
    ends = [min(r["value"] for r in mine) / 3, max(r["value"] for r in mine) * 3]
    left.plot(ends, ends, color="0.6", linewidth=0.8, zorder=1)
    for n, arch in enumerate(names):
        for check in (False, True):
            rows = [r for r in mine if r["arch"] == arch and (r in headline(records)) == check]
            colour = COLOURS[n % len(COLOURS)]
            size, marker = 14 if check else 9, MARKERS[n % len(MARKERS)]
            _marks(left, [r["value"] for r in rows], [r["ours"] for r in rows], colour, marker, size, check)
            spread = [n + (k % 9 - 4) * 0.07 for k in range(len(rows))]
            error = [100 * (r["ours"] / r["value"] - 1) for r in rows]
            _marks(right, error, spread, colour, marker, size, check)
    left.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="paper, in the row's unit", ylabel="ours")
    left.set_title(f"{len(mine)} rows, {len(names)} machines", loc="left")
    for tenth in (-10, 10):
        right.axvline(tenth, color="0.7", linestyle=":", linewidth=0.8)
    right.axvline(0, color="0.6", linewidth=0.8)
    right.set_xscale("symlog", linthresh=10, linscale=1.2)
    right.set_xticks([-100, -10, 0, 10, 100, 1000], ["-100 %", "-10 %", "0", "+10 %", "+100 %", "+1000 %"], fontsize=6)
    right.set_xlim(-150, max(150.0, *(100 * (r["ours"] / r["value"] - 1) * 1.5 for r in mine)))
    right.minorticks_off()
    right.set_yticks(range(len(names)), names)
    right.set(ylim=(-0.6, len(names) - 0.4), xlabel="error (linear within 10 %)")
    right.set_title("full: found in print, not given to the model", loc="left", fontsize=8)
    return figure


def _marks(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, marker: str, size: int, full: bool) -> None:
    face = colour if full else "none"
    axes.scatter(x, y, s=size, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.6, zorder=2 + full)


def markdown(records: Sequence[Record]) -> str:
    """The page for a repository."""
    lines = ["# Published figures beside ours", "", f"Remade by `{COMMAND}`; tapeout {VERSION}.", ""]
    lines += [f"- Found in print and not given to the model: **{counts(headline(records))}**."]
    lines += [f"- All {len(records)} rows: {counts(records)}.", f"- Evidence. {EVIDENCE}", ""]
    lines += ["![Ours against the paper's](against_paper.png)", ""]
    for _, title, rows in groups(records):
        if rows:
            lines += [f"## {title}", "", f"{counts(rows)}; worst first.", ""]
            lines += ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
            lines += ["| " + " | ".join(c.text.replace("|", "\\|") for c in cells(row)) + " |" for row in rows]
            lines += [""]
    return "\n".join(lines)


def cells(row: Record) -> list[Cell]:
    """One row of the page."""
    error, kind = row["error"], {"reproduced": "good", "broken": "bad", "gap": "bad"}.get(row["outcome"], "")
    return [
        Cell(f"{row['arch']} {row['id']}", kind="text"),
        Cell(f"{row['value']:,.6g}", row["value"]),
        Cell("" if row["ours"] is None else f"{row['ours']:,.6g}", row["ours"]),
        Cell(row["unit"], kind="text wrap"),
        Cell("" if error is None else f"{error:+.1%}", None if error is None else abs(error)),
        Cell("" if row["tolerance"] is None else f"{row['tolerance']:.2%}".replace(".00%", "%"), row["tolerance"]),
        Cell(row["outcome"], kind=f"text {kind}".strip()),
        Cell(row["why"] or "", kind="prose"),
        Cell(row["workload"] or "", kind="text wrap"),
        Cell(row["evidence"], kind="text"),
        Cell(row["source"], kind="prose"),
        Cell(row["use"], kind="text"),
    ]


def page(records: Sequence[Record], picture: bytes) -> str:
    """The page for a browser: one file."""
    archs = dict.fromkeys(r["arch"] for r in records)
    by_arch = [(arch, counts([r for r in headline(records) if r["arch"] == arch])) for arch in archs]
    facts = [
        ("found in print, not given to the model", counts(headline(records))),
        (f"all {len(records)} rows", counts(records)),
    ]
    intro = (
        "<p>Every figure that the papers of these machines print, beside what the models say. A row counts in the headline "
        "only if the figure was found in print and the model was not given it.</p>"
        + html.cards([*facts, *((f"headline, {arch}", text) for arch, text in by_arch)])
        + html.figure(
            html.image(picture, "Scatter of our values against the paper's on logarithmic axes, and errors by machine"),
            "Ours against the paper's (each in its own unit), and the error by machine. Full marks count in the headline.",
        )
        + f'<p class="soft">{EVIDENCE} Errors sort by size.</p>'
    )
    sections = [("top", "", intro)]
    for anchor, title, rows in groups(records):
        if rows:
            body = html.table(f"{anchor}-rows", f"{counts(rows)}; worst first", HEAD, map(cells, rows), search=True)
            sections.append((anchor, title, body))
    return html.document(
        "Published figures beside ours", sections, f"tapeout {VERSION}. Remade by <code>{COMMAND}</code>."
    )


def points(records: Sequence[Record]) -> list[dict[str, Any]]:
    """What the scatter is drawn from."""
    keys = ("arch", "id", "unit", "grade", "use", "value", "ours", "error", "outcome")
    return [{key: record[key] for key in keys} for record in records]


def write(records: Sequence[Record], out: Path) -> list[Path]:
    """reproduce.md, reproduce.html and the picture (PDF, SVG, PNG, CSV) in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    figure = against_paper(records)
    made = save(figure, points(records), out / "against_paper", COMMAND)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=200)
    files.write(out / "reproduce.md", markdown(records))
    files.write(out / "reproduce.html", page(records, picture.getvalue()))
    return [out / "reproduce.md", out / "reproduce.html", *made]
