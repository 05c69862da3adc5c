"""Finished points on disk: append-only parquet parts, each written beside its name and renamed, never changed.

A part is named after the keys in it. Several studies, and several processes, may share a store: a part that is there is
whole, and the same rows have the same name. A row's key is the content hash of its point (`point.Point.key`), so that a
point is done when any study did it.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.files import write

if TYPE_CHECKING:
    import polars as pl

SCHEMA, VERSION = "tapeout.store", 1
TEXTS = ("key", "arch", "workload", "settings", "status", "why")
"""Columns of text; all others are figures."""


class Store:
    """The parts in one folder. Raises InputError where it cannot be read or written; parts are never damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "store.json").exists():
                write(folder / "store.json", json.dumps({"schema": f"{SCHEMA}/{VERSION}"}).encode())
            self._check()
        except OSError as error:
            raise InputError(f"{(error.strerror or 'cannot be written').lower()}", where=str(folder)) from None

    def _check(self) -> None:
        path = self.folder / "store.json"
        try:
            said = json.loads(path.read_bytes())["schema"]
            name, _, version = said.partition("/")
            known = name == SCHEMA and int(version) <= VERSION
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError("not a store's", where=str(path)) from None
        if not known:
            message = f"written by a newer version: {said}; this one reads up to {SCHEMA}/{VERSION}"
            raise InputError(message, where=str(path))

    def parts(self) -> list[Path]:
        """All parts, by name."""
        return sorted(self.folder.glob("*.parquet"))

    def append(self, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Keep rows for good; returns their part."""
        import polars as pl

        names = list(dict.fromkeys(name for row in rows for name in row))
        kinds = {name: pl.String if name in TEXTS else pl.Float64 for name in sorted(names, key=_order)}
        frame = pl.DataFrame([dict(row) for row in rows], schema=kinds).sort("key")
        digest = hashlib.sha256(" ".join(frame["key"]).encode()).hexdigest()[:32]
        path = self.folder / f"{digest}.parquet"
        whole = io.BytesIO()
        frame.write_parquet(whole)
        try:
            write(path, whole.getvalue())
        except OSError as error:
            raise InputError(f"{(error.strerror or 'cannot be written').lower()}", where=str(path)) from None
        return path

    def rows(self, columns: Collection[str], prefixes: Collection[str] = ()) -> Iterator["pl.DataFrame"]:
        """Each part's rows, with those of its columns that are asked for, or begin with a prefix and a dot."""
        import polars as pl

        for path in self.parts():
            try:
                names = pl.read_parquet_schema(path)
                wanted = [n for n in names if n in columns or any(n.startswith(f"{p}.") for p in prefixes)]
                yield pl.read_parquet(path, columns=wanted)
            except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"not a part of a store: {reason}", where=str(path)) from None

    def done(self, metrics: Iterable[str] = ()) -> set[str]:
        """Keys of all rows that have these metrics (those that have not are done again for a study that asks more)."""
        keys: set[str] = set()
        beyond = list(metrics)
        for part in self.rows({"key", "status", *beyond}):
            missing = [name for name in beyond if name not in part.columns]
            keys |= set(part.filter(status="failed")["key"] if missing else part["key"])
        return keys


def _order(name: str) -> tuple[bool, int, str]:
    return name not in TEXTS, TEXTS.index(name) if name in TEXTS else 0, name
