"""What the fuzzer counted: a line for each reader, and all of them as a page beside the same counts as JSON."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.fuzz.loop import Tally

FOUND = Path(__file__).with_name("found.yaml")
"""What was found, and what became of it; a line each, kept by hand."""

TEXT = """# Spoilt inputs

Generated inputs through every reader: {inputs:,} of them, {taken:,} read, {refused:,} refused in one line, {failed} failures.

A reader must return, or raise an error of ours whose text is one line, which the command line prints with exit code 2:
no traceback, no hang over 5 s, no more than 1 GiB, nothing written outside `--out`, no process, socket or pickle. Each
runs in a process of its own whose address space ends 1 GiB above what its imports hold; an alarm watches the processor time, an
audit hook files, processes and sockets. One input in ten goes through the command line as well.

Seeds are small files made here, or what tapeout brings along (zoo, configurations, price tables, studies). They are spoilt
as bytes, as trees (values exchanged, keys renamed, parts dropped, doubled, nested, moved) and, for ONNX, inside the
protobuf (shapes, types, missing initialisers, cycles, attributes, versions, external data, functions, graphs in graphs).

    make fuzz                          # this page again: 100,000 inputs; FUZZ="--inputs 1000 --seed 7" for another run
    .venv/bin/python -m tests.fuzz.loop --only ONNX --first 17 --inputs 1      # one input again

{table}

The columns: inputs; how many were read; refused; failed; the slowest; peak resident memory of the reader's process (its
imports hold 110 to 350 MiB of it). A network that declares more than 4 M values is read but not filled with
drawn tensors: they are as large as was asked for.

## Found and mended

The reader's mistakes are mended at their cause; most cases are kept in `tests/test_fuzz.py`. Without a test of their own are
the bandwidth, the density of a study, the block and mode sizes, and the panic.

{found}

## Where it falls short

- Readers in C and C++ (protobuf, onnx's checker and shape inference, safetensors, polars, scipy's Matrix Market) are driven
  through our readers only, without coverage guidance; one of them crashed the process (see above), others may.
- Whole runs are taken on tiny networks only: a setting that is allowed may still ask for more time or memory than there is.
  The one failure left among them is such a one: FINN with its outputs padded to a million.
- The committed counts are of two seeds (`seed` in the JSON): readers in which the first round found nothing were not run
  again after the others had been mended. The one failure of `compress --apply` is mended too: that input was run again
  alone, its 4,687 neighbours were not.
- Terminal control characters in names are printed as they are.
"""


def line(tally: "Tally") -> str:
    """One reader in a line."""
    o = tally.outcomes
    counts = f"{tally.inputs:7} inputs {o['taken']:7} taken {o['refused']:7} refused {o['failed']:5} failed"
    spent = f"slowest {tally.slowest_s:5.2f} s  peak {tally.peak_bytes / 2**20:4.0f} MiB  {tally.wall_s:5.0f} s"
    return f"{tally.name:24} {counts}  {spent}"


def grouped(tally: "Tally") -> list[tuple[str, list[int]]]:
    """Failures by what happened, the texts quoted in it left out; most first."""
    found: dict[str, list[int]] = {}
    shown: dict[str, str] = {}
    for number, what in tally.found:
        key = re.sub(r"'.*'|\".*\"", "", what)
        shown.setdefault(key, what)
        found.setdefault(key, []).append(number)
    return sorted(((shown[key], numbers) for key, numbers in found.items()), key=lambda pair: -len(pair[1]))


def record(tally: "Tally", seed: int) -> dict[str, Any]:
    """One reader's counts."""
    o = tally.outcomes
    counts = {"inputs": tally.inputs, "taken": o["taken"], "refused": o["refused"], "failed": o["failed"]}
    return {"seed": seed, **counts, "slowest_s": round(tally.slowest_s, 2), "peak_bytes": tally.peak_bytes}


def write(path: Path, tallies: "list[Tally]", seed: int) -> None:
    """The page, and the counts as JSON beside it; readers that this run left out keep the counts they had."""
    kept = path.with_suffix(".json")
    counts = json.loads(kept.read_text()) if kept.exists() else {}
    counts |= {tally.name: record(tally, seed) for tally in tallies}
    kept.write_text(json.dumps(counts, indent=1) + "\n")
    path.write_text(page(counts))


def page(counts: dict[str, dict[str, Any]]) -> str:
    """The page of stored counts."""
    rows = [
        "| reader | inputs | read | refused | failed | slowest, s | peak, MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, c in counts.items():
        cells = [f"{c[key]:,}" for key in ("inputs", "taken", "refused", "failed")]
        rows.append(f"| {name} | {' | '.join(cells)} | {c['slowest_s']:.2f} | {c['peak_bytes'] / 2**20:.0f} |")
    sums = {key: sum(c[key] for c in counts.values()) for key in ("inputs", "taken", "refused", "failed")}
    found = "\n".join(
        f"- {reader}: {text}" for reader, texts in yaml.safe_load(FOUND.read_text()).items() for text in texts
    )
    return TEXT.format(**sums, table="\n".join(rows), found=found)
