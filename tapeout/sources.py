"""Which code made a figure: a digest of the sources, so that results of a changed checkout are not taken for each other."""

import hashlib
from functools import cache
from pathlib import Path

import archs
from sim.result import VERSION


@cache
def code() -> str:
    """Of the version, and of every source file and table that a figure may depend on (about 30 ms, once a process)."""
    digest = hashlib.sha256(VERSION.encode())
    root = Path(archs.__path__[0]).parent
    for room in ("sim", "workloads", "archs"):
        for path in sorted((root / room).rglob("*")):
            if path.suffix in (".py", ".yaml") and path.parent.name not in ("studies", "zoo"):
                digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
