"""How good is a density? EIE's cycles from real non-zeros against what sparse models assume of them.

Every real pruned matrix at hand meets one input vector; then the same vector meets masks of the same density: uniform
random ones, ones with the layer's own spread of rows and columns, and a formula. `python -m reports.density` writes
gallery/density.md; matrices of the reference data are left out where it is absent.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import archs.eie as eie
from sim.run import simulate
from workloads import generate
from workloads.formats.sparse import Sparse
from workloads.load import load
from workloads.network import Layer, Network
from workloads.ops import Conv, Linear
from workloads.tensor import Array

PAGE = Path(__file__).parent / "gallery" / "density.md"
ACTIVE = 0.35
"""Share of the input vector that is not zero, about that of AlexNet's fully connected layers."""

SEEDS = (0, 1, 2)
TRAINED = ("lenet-300-100", "lenet5-shared4")
DENSE = 0.97
"""Matrices above this density were not pruned."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One matrix: cycles from its real non-zeros, and from each assumption (mean over seeds)."""

    name: str
    shape: tuple[int, int]
    density: float
    row_cv: float
    column_cv: float
    real: int
    uniform: float
    spread: float
    formula: float


def every() -> list[str]:
    """All real pruned networks and matrices: trained here, and published ones where the reference data is there."""
    folder = Path(os.environ.get("TAPEOUT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "deep_compression"
    published = [*sorted(folder.glob("*.net")), *sorted((folder / "skimcaffe_alexnet_conv").glob("*.mtx.gz"))]
    return [*TRAINED, *map(str, published)]


def matrices(texts: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """Names and patterns (bool, outputs by inputs) of the pruned matrices of these workloads."""
    for text in texts:
        work = load(text)
        origin = "AlexNet (SkimCaffe)" if text.endswith(".mtx.gz") else work.network.name
        for layer in work.network.layers:
            if isinstance(layer.op, Linear | Conv) and "weight" in layer.params:
                pattern = layer.array("weight") != 0
                if pattern.mean() < DENSE:
                    yield f"{origin} {layer.name}", pattern.reshape(len(pattern), -1)


def measure(name: str, pattern: Array) -> Measured:
    """Cycles of one matrix on the paper's machine, and what the assumptions say."""
    rows, columns = pattern.shape
    vector = generate.activations(np.random.default_rng(0), (columns,), ACTIVE)
    density = float(pattern.mean())
    row_cv, column_cv = (_beyond_binomial(pattern.sum(axis), pattern.shape[axis], density) for axis in (1, 0))

    def drawn(row: float, column: float) -> float:
        found = []
        for seed in SEEDS:
            rng = generate.generator(seed, name)
            sparse = generate.sparse(rng, pattern.shape, density, row, column, np.array([0, 1], np.float32))
            found.append(cycles(sparse, vector))
        return float(np.mean(found))

    real = cycles(Sparse.encode(pattern.astype(np.float32)), vector)
    sizes = (row_cv, column_cv, real, drawn(0.0, 0.0), drawn(row_cv, column_cv))
    return Measured(name, (rows, columns), density, *sizes, formula(rows, density, int(np.count_nonzero(vector))))


def cycles(pattern: Sparse, vector: Array) -> int:
    """EIE's cycles for one matrix-vector product, 64 PEs, no bias."""
    layer = Layer("fc", Linear(pattern.shape[0], bias=False), ("x",), {"weight": pattern})
    network = Network("one", {"x": (pattern.shape[1],)}, [layer])
    plan = eie.build(eie.SPEC(), network, {"fc": vector, "x": vector})
    return sum(simulate(phase.design).cycles for phase in plan)


def formula(rows: int, density: float, active: int, pes: int = 64, reach: int = 16) -> float:
    """Mean entries a PE reads, fillers included: active rows/pes d / (1 - (1-d)^16), and no less than a cycle a column.

    The filler factor is that of one long stream; EIE starts runs anew in every column, so short ones need fewer.
    """
    own = rows / pes
    fillers = 1 / (1 - (1 - density) ** reach) if own > reach else 1.0
    return active * max(1.0, own * density * fillers)


def _beyond_binomial(counts: Array, trials: int, density: float) -> float:
    """Coefficient of variation of row or column counts beyond that of independent draws."""
    mean = counts.mean()
    extra = counts.var() / mean**2 - (1 - density) / (density * trials)
    return float(np.sqrt(max(0.0, extra)))


def page() -> str:
    """The table, and the median and worst error of every assumption."""
    found = [measure(name, pattern) for name, pattern in matrices(every())]
    lines = [line(row) for row in found]
    summary = []
    for label, values in (
        ("uniform random", [row.uniform / row.real - 1 for row in found]),
        ("with the layer's spread", [row.spread / row.real - 1 for row in found]),
        ("formula", [row.formula / row.real - 1 for row in found]),
    ):
        sizes = np.abs(values)
        worst = found[int(sizes.argmax())].name
        summary.append(f"| {label} | {np.median(values):+.1%} | {np.median(sizes):.1%} | {sizes.max():.0%} ({worst}) |")
    return (
        "# How good is a density?\n\n"
        f"{len(found)} real pruned matrices on EIE (64 PEs, queue of 8), one input vector with {ACTIVE:.0%} non-zeros each. "
        "Statistical models know a matrix by its density; this is what that costs in cycles. Spread is the coefficient of "
        f"variation of rows and columns beyond the binomial; drawn masks are means over seeds {SEEDS[0]}-{SEEDS[-1]}.\n\n"
        "| assumption | median error | median size of error | worst |\n|---|---|---|---|\n"
        + "\n".join(summary)
        + "\n\n"
        "| matrix | rows x columns | density | row spread | column spread | cycles, real "
        "| uniform | with spread | formula |\n"
        f"|{'---|' * 9}\n" + "\n".join(lines) + "\n\nWritten by `python -m reports.density`.\n"
    )


def line(row: Measured) -> str:
    """A matrix as a line of the table."""
    errors = (f"{value / row.real - 1:+.1%}" for value in (row.uniform, row.spread, row.formula))
    cells = (row.name, f"{row.shape[0]} x {row.shape[1]}", f"{row.density:.1%}", f"{row.row_cv:.2f}",
             f"{row.column_cv:.2f}", f"{row.real:,}", *errors)  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def write(path: Path = PAGE) -> Path:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return path


if __name__ == "__main__":
    write()
