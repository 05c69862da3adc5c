"""`tapeout report`: stored results as one HTML file that needs no network: figures to touch, tables to sort.

Drawn by plotly's own script, which is inlined; everything a figure shows stands in a table too.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from archs import metrics
from reports import html, points
from reports.figures import COLOURS
from reports.html import Cell
from reports.runs import CAUSES
from reports.tables import operations
from sim.errors import InputError
from sim.result import METRICS, VERSION, Result
from sim.units import show

INKS = tuple(colour for colour in COLOURS if colour != "#000000")
"""Colours that are seen on a dark page too."""
WORDS = {"J": "energy", "B": "traffic"}
MIDDLE = "#8a94a0"
"""Seen on a light and on a dark page."""
PLOTS = Path(__file__).with_name("plots.js")
ENERGIES = (
    "Energy an image within each result's own boundary, with the range of its constants; where boundaries differ this is no "
    "ranking (tapeout compare makes one)"
)
LAYER_HEAD = (
    "layer", "op", "cycles", "time", "MACs", "useful MACs", "utilization", "most stalled by", "of its unit-cycles",
    "traffic", "energy", "weights stored",
)  # fmt: skip


def page(results: Sequence[Result], studies: Sequence[points.Study], title: str = "") -> str:
    """The page. InputError where plotly is not installed, or there is nothing to show."""
    if not results and not studies:
        raise InputError("nothing to show", where="report")
    sections = [("overview", "", _overview(results) if results else "")]
    sections += [
        part for n, study in enumerate(studies) for part in [(f"study{n}", study.name, points.section(study, n))]
    ]
    for n, result in enumerate(results):
        heading = f"{n + 1}. {name(result)}" if len(results) > 1 else name(result)
        sections.append((f"r{n}", heading, _result(result, n)))
    sections.append(("words", "What the words mean", _words(results)))
    head = title or (name(results[0]) if len(results) == 1 and not studies else "tapeout report")
    return html.document(head, sections, f"tapeout {VERSION}", (_plotly(),), (PLOTS.read_text(encoding="utf-8"),))


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("needs plotly: pip install 'tapeout[page]'", where="report") from None
    return str(get_plotlyjs())


def name(result: Result) -> str:
    """`alexnet-fc7 on eie`."""
    return f"{result.data['workload']['name']} on {result.data['arch']['name']}"


def _overview(results: Sequence[Result]) -> str:
    """One line a result."""
    head = (
        "result",
        "images",
        "cycles",
        "time",
        "images/s",
        "energy",
        "low",
        "high",
        "boundary",
        "efficiency",
        "numbers equal",
    )
    rows = [
        (
            f"{n + 1}. {name(result)}",
            Cell(str(result.data["images"]), result.data["images"]),
            Cell(f"{result.total['cycles']:,}", result.total["cycles"]),
            quantity(result.total["time_s"], "s"),
            Cell(rate(result.total["images_per_s"]), result.total["images_per_s"]),
            quantity(result.total["energy_j"], "J"),
            quantity(result.total["energy_interval_j"][0], "J"),
            quantity(result.total["energy_interval_j"][2], "J"),
            result.total["boundary"],
            Cell(operations(result.total["ops_per_j"], "s/W"), result.total["ops_per_j"]),
            _equal(result),
        )
        for n, result in enumerate(results)
    ]
    picture = (
        html.figure(html.plot("energies", energies(results), ENERGIES), ENERGIES + ".") if len(results) > 1 else ""
    )
    return html.table("overview-table", "Results on this page", head, rows) + picture


def energies(results: Sequence[Result]) -> dict[str, Any]:
    """Energy an image of each result, with its interval, on a log axis."""
    each = [[j / result.data["images"] for j in result.total["energy_interval_j"]] for result in results]
    interval = {"type": "data", "symmetric": False, "array": [high - mid for _, mid, high in each]}
    interval |= {"color": MIDDLE, "thickness": 2}
    bar = {
        "type": "bar",
        "x": [f"{n + 1}. {name(result)}, {result.total['boundary']}" for n, result in enumerate(results)],
        "y": [mid for _, mid, _ in each],
        "error_y": interval | {"arrayminus": [mid - low for low, mid, _ in each]},
        "marker": {"color": COLOURS[0]},
        "hovertemplate": "%{x}<br>%{y:.4s}J<extra></extra>",
    }
    axis = {"type": "log", "title": {"text": "J/image"}, "tickformat": "~s", "dtick": "D2"}
    return {"data": [bar], "layout": {"yaxis": axis, "xaxis": {"type": "category"}, "bargap": 0.5}, "names": []}


def _equal(result: Result) -> Cell:
    found = result.data["equivalence"]
    if found is None:
        return Cell("not computed", kind="text")
    return Cell("yes", kind="text good") if found["passed"] else Cell("NO", kind="text bad")


def rate(value: float | None) -> str:
    """A rate without a power of ten."""
    return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def quantity(value: float | None, unit: str) -> Cell:
    """A figure with its unit, sorted by its value."""
    return Cell("", None) if value is None else Cell(show(float(value), unit), float(value))


def _result(result: Result, n: int) -> str:
    """Cards, figures, what was clicked, the layers, the settings and the command."""
    total, layers = result.total, [layer for layer in result.layers if "skipped" not in layer]
    low, _, high = total["energy_interval_j"]
    accuracy = result.data.get("accuracy")
    facts = [
        ("cycles", f"{total['cycles']:,}"),
        ("time, all images", show(total["time_s"], "s")),
        ("first image after", show(total["latency_s"], "s")),
        ("throughput", f"{rate(total['images_per_s'])} images/s"),
        (f"energy, {total['boundary']}", show(total["energy_j"], "J")),
        ("energy, low to high", f"{show(low, 'J', 3)} to {show(high, 'J', 3)}"),
        ("useful operations", operations(total["ops_per_s"], "s")),
        ("efficiency", operations(total["ops_per_j"], "s/W")),
        ("utilization", f"{total['utilization']:.1%}"),
        ("numbers equal", _equal(result).text),
        *([("top-1", f"{accuracy['top1']:.1%} of {accuracy['n']}")] if accuracy else []),
    ]
    names = [layer["name"] for layer in layers]
    drawn = [layer for layer in layers if layer["cycles"] or any(layer["energy_j"].values())] or layers
    panel = f"d{n}"
    hidden = "".join(f'<template id="{panel}-{k}">{_details(layer)}</template>' for k, layer in enumerate(layers))
    return (
        html.cards(facts)
        + '<div class="plots">'
        + _plot(f"stalls{n}", stalls(drawn), panel, names, "Where the unit-cycles of each layer go")
        + _plot(f"energy{n}", stacked(drawn, "energy_j", "J"), panel, names, _ranged(low, high))
        + _plot(f"traffic{n}", stacked(drawn, "traffic_bytes", "B"), panel, names, "Traffic of each layer by memory")
        + f'</div><div id="{panel}" role="status" aria-live="polite">'
        + f'<p class="soft">Click a bar, or a layer below.</p></div>{hidden}'
        + html.table(
            f"layers{n}", f"Layers of {name(result)}", LAYER_HEAD, [_layer(r, panel, k) for k, r in enumerate(layers)]
        )
        + _skipped(result)
        + _settings(result)
    )


def _ranged(low: float, high: float) -> str:
    """What the energy of layers is, and what its interval is not."""
    return (
        "Energy of each layer by component, nominal; the range of the constants is that of the total, "
        f"{show(low, 'J', 3)} to {show(high, 'J', 3)}, not of a layer"
    )


def _plot(anchor: str, spec: dict[str, Any], panel: str, names: list[str], caption: str) -> str:
    spec |= {"details": panel, "names": names}
    return html.figure(html.plot(anchor, spec, caption), caption + ".")


def stalls(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of unit-cycles by layer: useful, then each cause."""
    causes = dict.fromkeys(cause for layer in layers for cause in layer["stalls"])
    slots = [layer["units"] * layer["cycles"] or 1 for layer in layers]
    parts = {"useful": [layer["unit_cycles_useful"] for layer in layers]}
    parts |= {cause: [layer["stalls"].get(cause, 0) for layer in layers] for cause in causes}
    traces = [
        _bar(label, layers, [value / slot for value, slot in zip(values, slots, strict=True)], k, ".1%")
        for k, (label, values) in enumerate(parts.items())
    ]
    return {"data": traces, "layout": _bars("share of unit-cycles", {"tickformat": ".0%", "range": [0, 1]})}


def stacked(layers: Sequence[Mapping[str, Any]], key: str, unit: str) -> dict[str, Any]:
    """A group of figures by layer, in SI units with prefixes on the axis."""
    names = dict.fromkeys(part for layer in layers for part, value in layer[key].items() if value)
    traces = [
        _bar(part, layers, [layer[key].get(part, 0) for layer in layers], k, ".4s") for k, part in enumerate(names)
    ]
    return {"data": traces, "layout": _bars(f"{WORDS[unit]}, {unit}", {"tickformat": ".3s", "ticksuffix": unit})}


def _bar(label: str, layers: Sequence[Mapping[str, Any]], values: list[float], k: int, pretty: str) -> dict[str, Any]:
    colour = CAUSES.get(label, INKS[k % len(INKS)])
    return {
        "type": "bar",
        "name": label,
        "x": [layer["name"] for layer in layers],
        "y": values,
        "marker": {"color": colour, "pattern": _hatch(k)},
        "hovertemplate": f"%{{x}}<br>{label}: %{{y:{pretty}}}<extra></extra>",
    }


def _hatch(k: int) -> dict[str, Any]:
    """Told apart in greyscale too."""
    shape = ["", "/", "\\", "x", ".", "-", "|"][k % 7]
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.55, "size": 7, "solidity": 0.25}


def _bars(title: str, axis: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "barmode": "stack",
        "bargap": 0.3,
        "yaxis": {"title": {"text": title}} | dict(axis),
        "xaxis": {"type": "category"},
    }


def _layer(layer: Mapping[str, Any], panel: str, k: int) -> list[Cell | str]:
    slots = layer["units"] * layer["cycles"] or 1
    cause, amount = max(layer["stalls"].items(), key=lambda pair: pair[1], default=("", 0))
    return [
        html.Cell(layer["name"], kind="text", button=(panel, str(k))),
        layer["op"],
        Cell(f"{layer['cycles']:,}", layer["cycles"]),
        quantity(layer["time_s"], "s"),
        Cell(f"{layer['macs']:,}", layer["macs"]),
        Cell(f"{layer['macs_useful']:,}", layer["macs_useful"]),
        Cell(f"{layer['utilization']:.1%}", layer["utilization"]),
        cause.replace("_", " ") if amount else "",
        Cell(f"{amount / slots:.1%}", amount / slots),
        quantity(sum(layer["traffic_bytes"].values()), "B"),
        quantity(sum(layer["energy_j"].values()), "J"),
        quantity(layer["weight_bits"] / 8, "B"),
    ]


def _details(layer: Mapping[str, Any]) -> str:
    """Everything known of a layer."""
    groups = (("stalls", "unit-cycles"), ("macs_wasted", "MACs"), ("traffic_bytes", "B"), ("energy_j", "J"))
    rows = [
        (f"{key.removesuffix('_bytes').removesuffix('_j').replace('_', ' ')}: {part}", _pretty(value, unit))
        for key, unit in groups
        for part, value in layer[key].items()
        if value
    ]
    plain = [(key, f"{layer[key]:,}") for key in ("cycles", "units", "macs", "macs_useful", "weight_bits")]
    body = "".join(
        f'<tr><th scope="row" class="text">{escape(key)}</th><td>{escape(value)}</td></tr>'
        for key, value in [*plain, *rows]
    )
    head = f"<h3>{escape(layer['name'])} ({escape(layer['op'])})</h3>"
    return f'{head}<div class="wide"><table><tbody>{body}</tbody></table></div>'


def _pretty(value: float, unit: str) -> str:
    return show(float(value), unit) if unit in ("B", "J") else f"{value:,} {unit}"


def _skipped(result: Result) -> str:
    reasons: dict[str, list[str]] = {}
    for layer in result.layers:
        if "skipped" in layer:
            reasons.setdefault(layer["skipped"], []).append(layer["name"])
    notes = [f"not on the machine: {', '.join(names)}: {why}" for why, names in reasons.items()]
    items = "".join(f"<li>{escape(note)}</li>" for note in [*notes, *result.data["notes"]])
    return f"<ul>{items}</ul>" if items else ""


def _settings(result: Result) -> str:
    """The configuration, and the command that remakes the result."""
    data = result.data
    rows = [(key, str(value)) for key, value in data["arch"]["config"].items() if value is not None]
    rows += [("seed", str(data["seed"])), ("engine", data["engine"]), ("workload sha256", data["workload"]["sha256"])]
    words = result.run.get("command")
    command = shlex.join(["tapeout", *words[1:]]) if words and len(words) > 1 and words[1] == "run" else ""
    said = f"<pre><code>{escape(command)}</code></pre>" if command else ""
    return (
        f"<details><summary>Settings of result {escape(result.digest)}, and how to remake it</summary>{said}"
        + html.table(f"settings-{result.digest}", "Settings", ("setting", "value"), rows)
        + "</details>"
    )


def _words(results: Iterable[Result]) -> str:
    keys = {key for result in results for key in (*result.total, *(k for layer in result.layers for k in layer))}
    rows = [
        (key, Cell(metric["definition"], kind="prose"), metric["unit"], Cell(metric.get("formula", ""), kind="prose"))
        for figures in (METRICS, *metrics().values())
        for key, metric in figures.items()
        if key in keys or not keys
    ]
    return html.table(
        "metrics", "Figures, as in the JSON", ("figure", "definition", "unit", "formula"), rows, search=True
    )
