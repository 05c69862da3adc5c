"""Networks that processes share: loaded once on a machine, and mapped into memory by every process that needs them.

A process that needs a network maps what stands in the run's folder, or makes it while the others wait. The buffers of
all arrays, encoded tensors included, stand in one file: processes share its pages, and nothing large is sent between
them. The folder belongs to one run and goes with it.
"""

import fcntl
import hashlib
import mmap
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from workloads import load as loading
from workloads.load import Workload

_RUN: list[str] = [""]
_FOLDER: list[Path] = []
ALIGNMENT = 64


def use(folder: str) -> bool:
    """Share networks through `folder`; one that is not there (another machine): keep them to this process.

    Whether that is another run than before, so that what was kept of files that may have changed must go.
    """
    if _RUN[0] == folder:
        return False
    _RUN[0] = folder
    _FOLDER[:] = [Path(folder)] if folder and Path(folder).is_dir() else []
    return True


@cache
def digest(text: str) -> str:
    """Of what `text` loads: its bytes are read once."""
    return loading.digest(text)


def load(text: str, seed: int, batch: int) -> Workload:
    """As `workloads.load.load`, its arrays in memory that all processes share where a folder is used."""
    if not _FOLDER:
        return loading.load(text, seed, batch)
    path = _FOLDER[0] / hashlib.sha256(f"{text} {digest(text)} {seed} {batch}".encode()).hexdigest()[:32]
    try:
        with _locked(path.with_suffix(".lock")):
            if not path.exists():
                _write(path, loading.load(text, seed, batch))
        found: Workload = _mapped(path)
        return found
    except OSError:  # no room to share in, or the folder is gone: keep it to this process
        path.with_suffix(".arrays").unlink(missing_ok=True)
        return loading.load(text, seed, batch)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with a process that dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, value: Any) -> None:
    """Array buffers one after another in `path`.arrays, where they stand and everything else in `path`."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    places = []
    with open(path.with_suffix(".arrays"), "wb") as file:
        file.write(bytes(ALIGNMENT))
        for buffer in buffers:
            with buffer.raw() as raw:
                places.append((file.tell(), raw.nbytes))
                file.write(raw)
            file.write(bytes(-file.tell() % ALIGNMENT))
    path.with_suffix(".new").write_bytes(pickle.dumps((places, body)))
    path.with_suffix(".new").rename(path)


def _mapped(path: Path) -> Any:
    """What was written: arrays are views of the mapped file, private where something writes to them."""
    places, body = pickle.loads(path.read_bytes())
    with open(path.with_suffix(".arrays"), "rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(body, buffers=[view[start : start + size] for start, size in places])
