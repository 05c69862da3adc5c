"""Generated inputs through every reader: it returns, or says in one line what is wrong. Found cases are printed.

    python -m tests.fuzz.loop --inputs 100000 --seed 0 [--only ONNX] [--report]

Each reader runs in a process of its own that cannot take more than 1 GiB; an alarm ends an input after 5 s of processor time
(others may be busy on the machine), the parent a process that does not answer for 90 s. An audit hook sees every file opened for writing, every process, socket and pickle. One
input in ten goes through the command line too: exit 0, or exit 2 with one line on stderr. Input N of a reader depends
on the seed and N alone: `--only NAME --first N --inputs 1` repeats it.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

SECONDS, GRACE = 5.0, 90.0
BYTES = 1 << 30
THROUGH_CLI = 10
PAGE = Path(__file__).parents[2] / "reports" / "gallery" / "fuzz.md"
ALONE = {"OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")


class Hang(BaseException):
    """The alarm; no reader catches it by mistake."""


@dataclass(slots=True)
class Tally:
    """What became of one reader's inputs. `found` are failures, `(input, what)`."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    wall_s: float = 0.0

    @property
    def inputs(self) -> int:
        return self.outcomes.total()


class Watch:
    """The audit hook: what a reader opens for writing outside its `out`, starts, connects to or unpickles."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = args
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else "w" in (mode or "")
            if writes and isinstance(path, str | bytes) and not _allowed(os.fsdecode(path)):
                self.seen.append(f"wrote {os.fsdecode(path)}")
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree"):
            if not _allowed(os.fsdecode(args[0])):
                self.seen.append(f"{event} {args[0]}")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect") or (
            event == "pickle.find_class" and not _within("numba")
        ):
            self.seen.append(event)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        self.on, self.seen = True, []
        try:
            yield
        finally:
            self.on = False


def _allowed(path: str) -> bool:
    """Below `out` of the folder one stands in (a store is made where it is absent), or compiled code that is kept."""
    relative = os.path.relpath(path)
    return relative.split("/")[0] in ("out", "store") or path == "/dev/null" or "__pycache__" in path


def _within(package: str) -> bool:
    """Whether a function of `package` is being called: numba keeps its own compiled code pickled."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_globals.get("__name__", "").startswith(package):
            return True
    return False


def check(case: Any, watch: Watch, through_cli: bool) -> str:
    """`taken` or `refused`; anything else is a failure, told in a line."""
    outcome = "taken"
    with watch.reading(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers made from noise overflow
        outcome = _guarded(case.read)
        if outcome in ("taken", "refused") and through_cli and case.words:
            wrong = _guarded(lambda: _command(case.words))
            outcome = outcome if wrong == "taken" else f"command {wrong}"
    return f"{watch.seen[0]}" if watch.seen and outcome in ("taken", "refused") else outcome


def _guarded(read: Any) -> str:
    from sim.errors import SimError

    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        read()
        return "taken"
    except SimError as error:
        text = str(error)
        lines = len(text.splitlines())
        return "refused" if lines == 1 and text.strip() else f"{lines} lines: {text[:80]!r}"
    except Hang:
        return f"hang: {_place(sys.exc_info()[2])}"
    except BaseException as error:  # a reader may raise nothing else, whatever it is
        return f"{type(error).__name__}: {str(error)[:120]!r} at {_place(error.__traceback__)}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _place(trace: Any) -> str:
    """The innermost line of ours, and of all."""
    frames = traceback.extract_tb(trace)
    root = str(PAGE.parents[2])
    own = [
        f
        for f in frames
        if f.filename.startswith(root) and ".venv" not in f.filename and "tests/fuzz" not in f.filename
    ]
    return " < ".join(dict.fromkeys(f"{Path(f.filename).name}:{f.lineno}" for f in [*frames[-1:], *own[-1:]]))


def _command(words: tuple[str, ...]) -> None:
    """The command line in this process: exit 0 (or 1, a check that failed), or 2 with one line."""
    from tapeout import cli

    said, told, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["tapeout", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    text = told.getvalue()
    assert code in (0, 1, 2), f"exit {code}"
    assert code == 0 or (text.count("\n") == 1 and text.strip()), f"exit {code} said {text[:200]!r}"
    assert "Traceback" not in text, "a traceback"


def _put(folder: Path, files: Any) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def work(name: str, seed: int, first: int, count: int, pipe: int, limit: bool = True) -> None:
    """Inputs `first ... first + count - 1` of a reader; a JSON line to `pipe` before and after each."""
    from tests.fuzz.targets import TARGETS

    make = TARGETS[name][0]
    make(Random(0))  # seeds are made, and modules imported, before memory is limited
    _warm(name)
    signal.signal(signal.SIGPROF, _ring)
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="fuzz.") as text:
        folder = Path(text)
        os.chdir(folder)
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (_room(), resource.RLIM_INFINITY))
        for number in range(first, first + count):
            try:
                case = make(Random(f"{name}/{seed}/{number}"))
            except Exception as error:  # our own mistake, not the reader's
                _tell(pipe, f"{name} {number} could not be made: {error!r} at {_place(error.__traceback__)}")
                return
            _put(folder, case.files)
            began = time.process_time()
            outcome = check(case, watch, number % THROUGH_CLI == 0)
            spent = time.process_time() - began
            _tell(pipe, [number, outcome, spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024])
        os.chdir("/")


def _room() -> int:
    """The address space with which no more than BYTES can become resident: what is mapped, and what is left to BYTES."""
    mapped, resident = (int(n) * resource.getpagesize() for n in Path("/proc/self/statm").read_text().split()[:2])
    return mapped - resident + BYTES


def _ring(*_: Any) -> None:
    raise Hang


def _tell(pipe: int, said: Any) -> None:
    os.write(pipe, json.dumps(said).encode() + b"\n")


RUNS = ("whole runs", "energy YAML", "folding JSON", "input .npy")
"""Readers whose command line runs a machine: what numba compiles is compiled, once, before time is taken."""


def _warm(name: str) -> None:
    """Import what readers import late: modules take address space of their own."""
    import onnx.reference
    import scipy.io

    import reports.page
    import tapeout.cli
    import workloads.read_qonnx
    import workloads.save

    if name in RUNS:
        from tests.fuzz.targets import warm

        warm()
    del onnx, scipy, reports, tapeout, workloads


def fuzz(name: str, seed: int, first: int, count: int, limit: bool = True) -> Tally:
    """One reader's inputs, in a child process that is started again after each death."""
    tally, number, began = Tally(name), first, time.perf_counter()
    while number < first + count:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            code = 1
            try:
                work(name, seed, number, first + count - number, writing, limit)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        number = _listen(tally, reading, child, number, first + count)
    tally.wall_s = time.perf_counter() - began
    return tally


def _listen(tally: Tally, pipe: int, child: int, number: int, end: int) -> int:
    """Take a child's lines until it ends; the number of the input that is next."""
    with open(pipe, "rb", buffering=0) as file:
        rest, patience = b"", 60.0
        while select.select([file], [], [], patience)[0] and (piece := file.read(1 << 16)):
            patience = GRACE
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if isinstance(said, str):
                    raise RuntimeError(said)
                number, outcome, spent, peak = said
                _count(tally, number, outcome, spent, peak)
                number += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if number < end:
        _count(tally, number, f"died: status {status}", GRACE, 0)
        number += 1
    return number


def _count(tally: Tally, number: int, outcome: str, spent: float, peak: int) -> None:
    fine = outcome in ("taken", "refused")
    tally.outcomes[outcome if fine else "failed"] += 1
    tally.slowest_s, tally.peak_bytes = max(tally.slowest_s, spent), max(tally.peak_bytes, peak)
    if not fine:
        tally.found.append((number, outcome))
    elif spent > SECONDS:
        tally.found.append((number, f"slow: {spent:.1f} s"))


def main() -> None:
    """Share the inputs among the readers, and print what was found."""
    from tests.fuzz import report
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all; of one reader with --only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(TARGETS), action="append")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--report", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    names = asked.only or list(TARGETS)
    whole = sum(TARGETS[name][1] for name in names)
    tallies = []
    for name in names:
        count = -(-asked.inputs * TARGETS[name][1] // whole)
        tallies.append(fuzz(name, asked.seed, asked.first, count))
        print(report.line(tallies[-1]), flush=True)
        for what, numbers in report.grouped(tallies[-1]):
            print(f"    {len(numbers):6} x {what}   first: {numbers[0]}", flush=True)
        if asked.report:
            report.write(PAGE, tallies, asked.seed)
    sys.exit(any(tally.found for tally in tallies))


if __name__ == "__main__":
    if any(os.environ.get(key) != value for key, value in ALONE.items()):
        os.execve(sys.executable, [sys.executable, "-m", "tests.fuzz.loop", *sys.argv[1:]], {**os.environ, **ALONE})
    main()
