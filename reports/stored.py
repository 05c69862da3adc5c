"""Stored results read back: a result.json, the folder that `--out` made around it, or a folder of such folders."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from reports import schema
from sim.errors import InputError
from sim.result import SCHEMA_FILE, Result

NAME, RUN = "result.json", "run.json"


def read(path: str | Path) -> Result:
    """One result. InputError where there is none, several, or something else."""
    found = list(files(Path(path)))
    if len(found) != 1:
        raise InputError(f"{len(found)} results are here; allowed: one", where=str(path))
    return load(found[0])


def read_all(paths: Iterable[str | Path]) -> list[Result]:
    """Every result below `paths`, in the order given; folders by name."""
    return [load(file) for path in paths for file in files(Path(path))]


def files(path: Path) -> Iterator[Path]:
    """The result files that `path` means. InputError where there are none."""
    if path.is_dir():
        found = [path / NAME] if (path / NAME).is_file() else sorted(path.glob(f"*/{NAME}"))
        if not found:
            raise InputError(
                f"no {NAME} here or one folder below; `tapeout run ... --out DIR` writes one", where=str(path)
            )
        yield from found
    else:
        yield path


def load(path: Path) -> Result:
    """The result in a file, with run.json where one stands beside it."""
    data = schema.read(path)
    schema.check(data, SCHEMA_FILE, str(path))
    run = data.pop("run", {})  # `tapeout run --json > FILE` has it inside
    beside = path.with_name(RUN)
    if not run and path.name == NAME and beside.is_file():
        run = schema.read(beside)
    return Result(data, data["digest"], run)
