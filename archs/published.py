"""Published figures as data: the rows of `archs/*/published.yaml` and what our models say to each.

A row's value is measured by `measure(row)` in `archs/<name>/published.py`; what comes of it is judged here, strictly: a
reproduced row must stay within its tolerance, a gap must stay a gap, and `ours` must stay what it was.
"""

from dataclasses import dataclass
from importlib import import_module
from math import isclose
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

import archs
from sim.config import Spec, read_yaml
from sim.errors import SimError, nearest

Outcome = Literal["reproduced", "gap", "reported", "broken", "data absent"]


class Row(Spec):
    """One published figure.

    `use`: input (the model was given it), fitted, or check (it was not). `grade`: found in print, recalled, or derived.
    `tolerance` is relative. `ours` is a golden; null where a value depends on the host. `settings` override the
    configuration for this row.
    """

    id: str
    metric: str
    workload: str | None = None
    config: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    value: float
    unit: str
    source: str
    grade: Literal["found", "recalled", "derived"]
    use: Literal["input", "fitted", "check"]
    evidence: Literal["board", "post-layout", "simulator", "formula", "claim"]
    tolerance: float | None = None
    ours: float | None = None
    status: Literal["reproduced", "gap", "reported"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row, what we measured (None where its data is absent), and what that means."""

    arch: str
    row: Row
    ours: float | None
    outcome: Outcome
    why: str

    @property
    def error(self) -> float | None:
        """Relative error, where both values are there and the published one is not zero."""
        return None if self.ours is None or not self.row.value else self.ours / self.row.value - 1


def rows(arch: str) -> list[Row]:
    """The published rows of an accelerator; mistakes are InputErrors that point into the file."""
    path = archs.folder(arch) / "published.yaml"
    if not path.is_file():
        return []
    document = read_yaml(path)
    try:
        found = TypeAdapter(list[Row]).validate_python(list(document.data or ()), context=frozenset())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        hint = f"; {nearest(str(first['loc'][-1]), Row.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise document.error(f"{first['msg']}, found {first['input']!r}{hint}", tuple(first["loc"])) from None
    for n, row in enumerate(found):
        if row.status != "reported" and row.tolerance is None:
            raise document.error(f"{row.id}: a row that is {row.status} needs a tolerance", (n,))
        if row.status == "gap" and not row.why:
            raise document.error(f"{row.id}: a gap needs a why", (n,))
        if row.id in {other.id for other in found[:n]}:
            raise document.error(f"{row.id}: the id is taken", (n,))
    return found


def measure(arch: str, row: Row) -> Measured:
    """Evaluate one row and judge it."""
    try:
        ours = float(import_module(f"archs.{arch}.published").measure(row))
    except FileNotFoundError as error:
        return Measured(arch, row, None, "data absent", str(error))
    except SimError as error:
        return Measured(arch, row, None, "broken", str(error))
    return Measured(arch, row, ours, *judge(row, ours))


def judge(row: Row, ours: float) -> tuple[Outcome, str]:
    """What a measured value makes of a row. Recalled and reported rows have only their golden."""
    if row.ours is not None and not isclose(ours, row.ours, rel_tol=1e-12):
        return "broken", f"ours was {row.ours!r}, now {ours!r}"
    if row.status == "reported" or row.grade == "recalled" or row.tolerance is None:
        return "reported", row.why
    close = abs(ours - row.value) <= row.tolerance * abs(row.value)
    if row.status == "reproduced":
        return ("reproduced", row.why) if close else ("broken", f"no longer within {row.tolerance:.2%} of the paper")
    return ("gap", row.why) if not close else ("broken", "the gap has closed: set its status to reproduced")


def all_rows() -> list[tuple[str, Row]]:
    """Every row of every accelerator."""
    return [(arch, row) for arch in archs.names() for row in rows(arch)]
