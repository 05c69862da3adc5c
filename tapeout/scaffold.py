"""A folder to start a new accelerator from."""

import keyword
from pathlib import Path

from sim.errors import InputError

TEMPLATE = Path(__file__).parent / "template"


def write(name: str, archs: Path) -> list[Path]:
    """Write `archs`/NAME from the template; the files written. Nothing is ever overwritten."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise InputError(f"found {name!r}; allowed: a lower-case Python name", where="NAME")
    if not archs.is_dir():
        raise InputError("no such folder; run this where tapeout is checked out", where=str(archs))
    folder = archs / name
    if folder.exists():
        raise InputError("the folder exists already", where=str(folder))
    written = []
    for source in sorted(TEMPLATE.rglob("*.txt")):
        path = folder / source.relative_to(TEMPLATE).with_suffix("")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.read_text(encoding="utf-8").format(name=name), encoding="utf-8")
        written.append(path)
    return written
