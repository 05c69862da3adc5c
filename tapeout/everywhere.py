"""Every network of the zoo on every machine, timing only: it runs, or one line says why not.

`python -m tapeout.everywhere` writes reports/gallery/zoo.md. A machine's paper configuration is used, with no settings:
what a setting would make possible stands in the reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import archs
from sim.errors import InputError
from tapeout.session import run
from workloads.load import Workload, load, names

PAGE = Path(__file__).parents[1] / "reports" / "gallery" / "zoo.md"
KINDS = ("conv", "linear", "lstm")
"""Layers with a matrix: a network without one asks nothing of a machine."""


class Cell(NamedTuple):
    """One network on one machine: its cycles and how many of its layers with a matrix ran, or why none did."""

    network: str
    machine: str
    cycles: int
    ran: int
    layers: int
    reason: str

    @property
    def text(self) -> str:
        if self.reason:
            return self.reason.replace("|", "/")
        part = "" if self.ran == self.layers else f" ({self.ran} of {self.layers} layers)"
        return f"{self.cycles:,}{part}"


def weights(work: Workload) -> int:
    return sum(work.network.params(layer.name) for layer in work.network.layers)


def cell(machine: str, work: Workload) -> Cell:
    """One run."""
    wanted = {layer.name for layer in work.network.layers if layer.op.kind in KINDS}
    try:
        result = run(machine, work, timing_only=True)
    except InputError as error:
        return Cell(work.name, machine, 0, 0, len(wanted), str(error))
    skipped = {layer["name"]: layer["skipped"] for layer in result.layers if "skipped" in layer}
    ran = wanted - set(skipped)
    why = "" if ran else next((skipped[name] for name in sorted(wanted & set(skipped))), "no layer with a matrix")
    return Cell(work.name, machine, result.total["cycles"], len(ran), len(wanted), why)


def cells(machines: tuple[str, ...] = (), most_weights: int | None = None) -> Iterator[Cell]:
    """All of the zoo; `most_weights` leaves out larger networks."""
    for name in names():
        work = load(name)
        if most_weights is None or weights(work) <= most_weights:
            for machine in machines or tuple(archs.names()):
                yield cell(machine, work)


def page() -> str:
    """A line a network, a column a machine."""
    machines = archs.names()
    found: dict[str, list[Cell]] = {}
    for made in cells():
        found.setdefault(made.network, []).append(made)
    every = [made for row in found.values() for made in row]
    runs = sum(not made.reason for made in every)
    head = (
        "# The zoo on every machine\n\n"
        f"Cycles of one image in each paper's configuration, without settings: {runs} of {len(every)} pairs run; each other "
        "says why not. Layers with a matrix (convolution, linear, LSTM) that a machine passes over are counted.\n\n"
        "Written by `python -m tapeout.everywhere`.\n\n"
        f"| network | {' | '.join(machines)} |\n|---|{'---|' * len(machines)}\n"
    )
    return head + "".join(f"| {name} | {' | '.join(made.text for made in row)} |\n" for name, row in found.items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
