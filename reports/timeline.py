"""A stored trace (`tapeout run ... --trace FILE`) of any machine as a figure: what its stages do, how full its FIFOs are.

`python -m reports.timeline FILE OUT` draws one. A long run is shown in BINS equal spans: of a stage what it does most of
the time, of a FIFO the most tokens it holds.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports.figures import PAGE_INCHES, narrow, save, styled
from sim.errors import InputError

Record = dict[str, Any]
BINS = 600
MOST_TRACKS = 24
LOOKS = {
    "busy": ("#0072B2", 0.84),
    "blocked": ("#D55E00", 0.56),
    "starved": ("#E69F00", 0.28),
    "tail": ("#cccccc", 0.1),
}
"""Colour and height of what a stage does: told apart without colour too."""


def read(path: Path) -> list[Record]:
    """What is drawn, from a trace file: records with a `track` (stage, `kind`, from `start` to `end`) and with a `fifo`
    (`tokens` from `cycle` on). InputError where it is no trace."""
    try:
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
        spans = [(names[e["tid"]], e["name"], e["ts"], e["ts"] + e["dur"]) for e in events if e["ph"] == "X"]
        fills = [(e["name"], e["ts"], e["args"]["tokens"]) for e in events if e["ph"] == "C"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"not a trace: {error}", where=str(path)) from None
    if not spans:
        raise InputError("nothing happens in this trace", where=str(path))
    bin_ = -(-max(end for *_, end in spans) // BINS)
    return [*_tracks(spans, bin_), *_fifos(fills, bin_)]


def _tracks(spans: Sequence[tuple[str, str, int, int]], bin_: int) -> Iterator[Record]:
    """Every stage, or every so manieth where there are many; neighbouring bins of a kind are one record."""
    names = list(dict.fromkeys(name for name, *_ in spans))
    for name in names[:: -(-len(names) // MOST_TRACKS)]:
        shares: dict[int, dict[str, int]] = {}
        for _, kind, start, end in (span for span in spans if span[0] == name):
            for k in range(start // bin_, -(-end // bin_)):
                mine = shares.setdefault(k, {})
                mine[kind] = mine.get(kind, 0) + min(end, (k + 1) * bin_) - max(start, k * bin_)
        kinds = [(k, max(mine, key=lambda kind: mine[kind])) for k, mine in sorted(shares.items())]
        first = 0
        for n, (k, kind) in enumerate(kinds):
            if n + 1 == len(kinds) or kinds[n + 1] != (k + 1, kind):
                yield _record(track=name, kind=kind, start=kinds[first][0] * bin_, end=(k + 1) * bin_)
                first = n + 1


def _fifos(fills: Sequence[tuple[str, int, int]], bin_: int) -> Iterator[Record]:
    """The most tokens that every FIFO holds in a bin, where that changes."""
    for name in dict.fromkeys(name for name, *_ in fills):
        levels, held = dict[int, int](), 0
        for k, group in groupby((fill for fill in fills if fill[0] == name), key=lambda fill: fill[1] // bin_):
            events = [(cycle, tokens) for _, cycle, tokens in group]
            before = held if events[0][0] > k * bin_ else 0
            held = events[-1][1]
            levels[k], levels[k + 1] = max(before, *(tokens for _, tokens in events), 0), held
        shown = None
        for k, tokens in sorted(levels.items()):
            if tokens != shown:
                yield _record(fifo=name, cycle=k * bin_, tokens=tokens)
            shown = tokens


def _record(**given: Any) -> Record:
    blank = {"track": "", "kind": "", "start": 0, "end": 0, "fifo": "", "cycle": 0, "tokens": 0}
    return blank | given


@styled
def drawn(records: Sequence[Record], title: str, inches: float = PAGE_INCHES) -> Figure:
    """What every stage does in every cycle, and below it how full the FIFOs are, each to its own scale."""
    tracks = list(dict.fromkeys(r["track"] for r in records if r["track"]))
    fifos = list(dict.fromkeys(r["fifo"] for r in records if r["tokens"]))
    never = len({r["fifo"] for r in records if r["fifo"]}) - len(fifos)
    last = max(r["end"] for r in records)
    heights = [0.15 * len(tracks) + 0.1, 0.17 * len(fifos) + 0.1]
    figure = Figure(figsize=(inches, sum(heights) + 1.1), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    for k, track in enumerate(tracks):
        for kind, (colour, height) in LOOKS.items():
            spans = [(r["start"], r["end"] - r["start"]) for r in records if r["track"] == track and r["kind"] == kind]
            top.broken_barh(spans, (k - height / 2, height), facecolors=colour, linewidth=0)
    for k, fifo in enumerate(fifos):
        mine = [r for r in records if r["fifo"] == fifo]
        most = max(r["tokens"] for r in mine)
        times = [*(r["cycle"] for r in mine), last]
        fill = [*(r["tokens"] for r in mine), mine[-1]["tokens"]]
        level = [k + 0.42 - 0.84 * tokens / most for tokens in fill]
        below.fill_between(times, level, k + 0.42, step="post", color="0.35", linewidth=0.4)
    for axes, names in ((top, tracks), (below, [_most(records, fifo) for fifo in fifos])):
        axes.set_yticks(range(len(names)), names, fontsize=5.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
    top.set_ylabel("stages")
    said = f" ({never} FIFOs hold none for a cycle)" if never else ""
    below.set_xlabel(f"cycle{said}", loc="right")
    below.set(ylabel="tokens held", xlim=(0, last))
    below.xaxis.set_major_locator(MaxNLocator(4 if narrow(inches) else 8))
    below.xaxis.set_major_formatter("{x:,.0f}")
    patches = [Patch(facecolor=LOOKS[kind][0], label=kind) for kind in LOOKS]
    figure.legend(handles=patches, loc="outside upper right", ncols=2 if narrow(inches) else 4, title=title)
    return figure


def _most(records: Sequence[Record], fifo: str) -> str:
    return f"{fifo} (up to {max(r['tokens'] for r in records if r['fifo'] == fifo):,})"


def main(source: Path, out: Path) -> list[Path]:
    """Draw the trace in `source` as `out`.pdf, .svg, .png and .csv."""
    records = read(source)
    return save(drawn(records, source.stem), records, out, f"python -m reports.timeline {source.name} {out.name}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
