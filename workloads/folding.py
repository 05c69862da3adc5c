"""FINN's folding JSON: PE, SIMD and memory style per hardware unit, in stream order, read and written.

    {"Defaults": {}, "MVAU_hls_0": {"PE": 16, "SIMD": 49, "ram_style": "block"}, ...}

Only matrix units fold here; other units (sliding windows, thresholds, labels) are kept out on reading.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError

MATRIX = ("MVAU", "MVA_", "MatrixVectorActivation", "StreamingFCLayer")
MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Folding:
    """PE and SIMD of the matrix unit called `name`."""

    name: str
    pe: int
    simd: int
    ram_style: str = "auto"


def read_folding(path: str | Path) -> tuple[Folding, ...]:
    """The matrix units of a folding file, in its order."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
        table = json.loads(raw, object_pairs_hook=lambda pairs: _unique(pairs, where))
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=where) from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}:{error.colno}") from None
    except (UnicodeDecodeError, RecursionError):
        raise InputError("not JSON", where=where) from None
    if not isinstance(table, dict):
        raise InputError("found no table of units", where=where)
    found = tuple(_unit(name, entry, where) for name, entry in table.items() if name.startswith(MATRIX))
    if not found:
        raise InputError("no matrix units (MVAU_...)", where=where)
    return found


def _unique(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        name = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise InputError("a duplicate key", where=where, setting=name)
    return table


def _unit(name: str, entry: Any, where: str) -> Folding:
    if not isinstance(entry, dict):
        raise InputError(f"found {entry!r}; allowed: PE and SIMD", where=where, setting=name)
    numbers = []
    for key in ("PE", "SIMD"):
        value = entry.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"found {value!r}; allowed: 1 or more", where=where, setting=f"{name}.{key}")
        numbers.append(value)
    return Folding(name, numbers[0], numbers[1], str(entry.get("ram_style", "auto")))


def write_folding(units: Sequence[Folding]) -> str:
    """Folding JSON text."""
    table: dict[str, Any] = {"Defaults": {}}
    table |= {unit.name: {"PE": unit.pe, "SIMD": unit.simd, "ram_style": unit.ram_style} for unit in units}
    return json.dumps(table, indent=2) + "\n"
