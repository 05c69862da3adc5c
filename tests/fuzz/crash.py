"""Commands killed at random moments: every file that is there afterwards is whole, and the command runs again.

    python -m tests.fuzz.crash --kills 30 --seed 0

Half of the kills come at a random moment of the command's time, half shortly after its first file has appeared: that is
when something is being written.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

ROOT = Path(__file__).parents[2]
TINY = """name: tiny
inputs: {x: [256]}
layers: [{name: fc, op: linear, outputs: 192, bias: false, density: {weight: 0.1, activation: 0.4}}]
"""
STUDY = """question: "?"
arch: eie
workload: tiny.yaml
parameters: {pes: [4, 8, 16, 32, 64], queue_depth: [2, 4, 8, 16]}
objectives: [{minimise: time_s}, {minimise: energy_j}]
"""
COMMANDS = {
    "run": ["run", "eie", "tiny.yaml", "--out", "out"],
    "trace": ["run", "eie", "tiny.yaml", "--trace", "out/trace.json"],
    "import": ["import", "lenet5-dense", "--out", "out"],
    "compress": ["compress", "tiny.yaml", "--apply", "prune(density=0.05)", "--out", "out"],
    "explore": ["explore", "study.yaml", "--jobs", "2", "--out", "out"],
    "report": ["report", "stored", "--out", "out/page.html"],
    "reproduce": ["reproduce", "yodann", "--out", "out"],
}


@dataclass(slots=True)
class Count:
    """Of one command: kills, those that came before the end, whole files seen, hidden leftovers, seconds of a whole run."""

    kills: int = 0
    early: int = 0
    files: int = 0
    leftovers: int = 0
    seconds: float = 0.0


def start(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """The command, in `folder`, in a session of its own."""
    words = [sys.executable, "-m", "tapeout.cli", *COMMANDS[name]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(name: str, folder: Path) -> None:
    """The command to its end; it must succeed."""
    made = start(name, folder)
    _, said = made.communicate(timeout=300)
    assert made.returncode == 0, f"{name}: exit {made.returncode}: {said.decode()[-300:]}"


def prepare(folder: Path) -> None:
    """What the commands read."""
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "out").mkdir(exist_ok=True)


def kill(name: str, folder: Path, rng: random.Random, seconds: float, writing: bool) -> bool:
    """Start and kill -9; whether it was still running."""
    made, began = start(name, folder), time.monotonic()
    before = set((folder / "out").rglob("*"))
    if writing:
        while made.poll() is None and set((folder / "out").rglob("*")) <= before and time.monotonic() < began + 60:
            time.sleep(0.0005)
        time.sleep(rng.choice([0, rng.random() * 0.003, rng.random() * 0.05]))
    else:
        time.sleep(rng.uniform(0.3, 1.05) * seconds)
    early = made.poll() is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(made.pid, signal.SIGKILL)
    made.communicate()
    return early


def whole(path: Path) -> None:
    """Raise where a file is not what its name says, complete."""
    check = _CHECKS.get(path.suffix)
    assert check is not None, f"{path} is of no kind that is known"
    check(path)


def _json(path: Path) -> None:
    import jsonschema

    from sim.result import SCHEMA_FILE

    data = json.loads(path.read_text())
    if path.name == "result.json":
        jsonschema.validate(data, json.loads(SCHEMA_FILE.read_text()))


def _network(path: Path) -> None:
    from workloads.load import load

    load(str(path.parent))


def _safetensors(path: Path) -> None:
    from safetensors.numpy import load_file

    load_file(path)


def _parquet(path: Path) -> None:
    import polars as pl

    assert len(pl.read_parquet(path))


def _csv(path: Path) -> None:
    text = path.read_text()
    rows = list(csv.reader(text.splitlines()))
    assert text.endswith("\n") and len({len(row) for row in rows}) == 1, path


def _ends(tail: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        assert path.read_bytes().rstrip().endswith(tail), path

    return check


_CHECKS: dict[str, Callable[[Path], object]] = {
    ".json": _json, ".yaml": _network, ".safetensors": _safetensors, ".parquet": _parquet, ".csv": _csv,
    ".npy": lambda path: np.load(path, allow_pickle=False), ".svg": ET.parse, ".html": _ends(b"</html>"),
    ".pdf": _ends(b"%%EOF"), ".png": _ends(b"IEND\xaeB`\x82"), ".md": lambda path: path.read_text(),
}  # fmt: skip


def seen(folder: Path) -> Iterator[Path]:
    """Files whose names are no leftover's."""
    return (path for path in sorted((folder / "out").rglob("*")) if path.is_file() and not path.name.startswith("."))


def torture(name: str, folder: Path, kills: int, seed: int) -> Count:
    """Kill a command again and again in one folder, look at every file, run it to its end at last."""
    prepare(folder)
    if name == "report":
        for words in ("run", "explore"):
            finish(words, folder)
        (folder / "out").rename(folder / "stored")
        (folder / "out").mkdir()
    began = time.monotonic()
    finish(name, folder)
    count, rng = Count(seconds=time.monotonic() - began), random.Random(f"{name}/{seed}")
    for number in range(kills):
        if number % 3 == 0:  # into an empty folder; else over what is there
            (folder / "out").rename(folder / f"was{number}")
            (folder / "out").mkdir()
        count.early += kill(name, folder, rng, count.seconds, number % 2 == 0)
        count.kills += 1
        for path in seen(folder):
            whole(path)
            count.files += 1
    count.leftovers = sum(path.is_file() and path.name.startswith(".") for path in (folder / "out").rglob("*"))
    finish(name, folder)
    for path in seen(folder):
        whole(path)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(COMMANDS), action="append")
    asked = parser.parse_args()
    for name in asked.only or COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            found = torture(name, Path(folder), asked.kills, asked.seed)
        print(f"{name:10} {found.kills:4} kills, {found.early:4} of them before the end; {found.files:5} whole files seen, "
              f"{found.leftovers} hidden leftovers; a whole run takes {found.seconds:.1f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
