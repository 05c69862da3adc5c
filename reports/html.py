"""HTML pages in one file: no network, dark and light, printable, sortable tables. What a page says is another module's."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Cell:
    """Text with the value behind it, for sorting; `kind` is a class of the style sheet: text, prose, good, bad.

    `button` makes it one that shows details: the place they go to, and the number of what is meant (in `store`).
    """

    text: str
    value: float | None = None
    kind: str = ""
    button: tuple[str, str] | None = None
    store: str = ""


Row = Sequence[Cell | str]


def document(
    title: str,
    sections: Iterable[tuple[str, str, str]],
    footer: str,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
) -> str:
    """A page of `sections` (anchor, heading, HTML); one without heading stands under the title. Scripts go before and
    after the page's own."""
    parts = list(sections)
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name, _ in parts if name)
    body = "".join(_section(*part) for part in parts)
    css, js = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    script = "".join(f"<script>{text}</script>" for text in (*before, js, *after))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body>"
        '<a class="skip" href="#main">Skip to the content</a>'
        f'<nav aria-label="On this page">{links}'
        '<button type="button" data-theme-switch aria-label="Dark or light">Dark</button>'
        f'</nav><main id="main"><h1>{escape(title)}</h1>{body}</main>'
        f'<footer class="soft"><p>{footer}</p></footer>{script}</body></html>\n'
    )


def _section(anchor: str, name: str, body: str) -> str:
    head = f"<h2>{escape(name)}</h2>" if name else ""
    return f'<section id="{anchor}">{head}{body}</section>'


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """A handful of figures, each with its name."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="cards">{items}</dl>'


def table(anchor: str, caption: str, head: Sequence[str], rows: Iterable[Row], search: bool = False) -> str:
    """A table whose heads sort it; with `search`, a field that hides rows."""
    lines = [list(map(_cell, row)) for row in rows]
    texts = [all(line[n].kind.startswith(("text", "prose")) for line in lines) for n in range(len(head))]
    heads = "".join(
        f'<th scope="col" aria-sort="none"{" class=text" if text else ""}><button type="button">{escape(name)}</button></th>'
        for name, text in zip(head, texts, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_td, line))}</tr>" for line in lines)
    field = (
        f'<p class="noprint"><input type="search" data-filters="{anchor}" aria-label="Filter: {escape(caption)}" '
        f'placeholder="filter" aria-describedby="{anchor}-said"> '
        f'<span class="soft" id="{anchor}-said" role="status"></span></p>'
        if search
        else ""
    )
    return (
        f'{field}<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table id="{anchor}" data-sortable>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell | str) -> Cell:
    return cell if isinstance(cell, Cell) else Cell(cell, kind="text")


def _td(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-v="{cell.value!r}"'
    kind = f' class="{cell.kind}"' if cell.kind else ""
    text = escape(cell.text)
    if cell.button:
        panel, number = cell.button
        store = f' data-store="{cell.store}"' if cell.store else ""
        text = f'<button type="button" data-details="{panel}" data-point="{number}"{store}>{text}</button>'
    return f"<td{kind}{value}>{text}</td>"


def plot(anchor: str, spec: Mapping[str, Any], caption: str) -> str:
    """The place of a figure, and what plotly is told."""
    text = json.dumps(spec, allow_nan=False).replace("</", "<\\/")
    return (
        f'<div class="plot" id="{anchor}" role="img" aria-label="{escape(caption)}"></div>'
        f'<script type="application/json" data-plot="{anchor}">{text}</script>'
    )


def figure(picture: str, caption: str) -> str:
    """A picture (HTML or SVG) with its caption."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def image(png: Path | bytes, alternative: str) -> str:
    """A PNG inside the page, with what a screen reader says instead."""
    from base64 import b64encode

    data = b64encode(png if isinstance(png, bytes) else png.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'
