"""Where points run: in this process, in processes of this machine, or on a dask cluster. All three are executors.

A worker that dies takes its chunks with it; they are handed out again, and a chunk that has killed several workers is
given up: its points are lost, no row is written, and the next run of the study tries them again.
"""

import fcntl
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sim.errors import InputError
from tapeout.explore.point import Cost, Point, Row, chunk

Chunk = list[tuple[str, Point]]
TRIES = 3
PATIENCE = "10s"
"""How long to look for a scheduler."""
OWNER = "owner"
"""A file that a run locks in the folder its processes share."""
SECONDS = 1.0
"""What a chunk should take: long against what a hand-over costs, short against a user's patience."""


class Here(Executor):
    """Runs at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def shared_folder() -> Iterator[str]:
    """A folder of this run alone, in memory where the machine has such a place; those of runs that were killed go."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    for path in Path(base).glob("tapeout-*"):
        _sweep(path)
    folder = tempfile.mkdtemp(prefix="tapeout-", dir=base)
    try:
        with open(Path(folder) / OWNER, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the folder of a run that is gone: its lock went with it."""
    try:
        with open(folder / OWNER, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # in use, or somebody else's
        return


def local(jobs: int) -> Executor:
    """Processes that share this machine's memory; one job is this process itself."""
    if jobs == 1:
        return Here()
    context = get_context("forkserver")
    context.set_forkserver_preload(["tapeout.explore.point"])
    return ProcessPoolExecutor(jobs, context, _begin, max_tasks_per_child=None)


def _begin() -> None:
    """Interrupts are the driver's; a worker goes when its driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = parent_process()
    if driver is not None:
        threading.Thread(target=_follow, args=[driver], daemon=True).start()


def _follow(driver: BaseProcess) -> None:
    driver.join()
    os._exit(1)


class Dask(Executor):
    """A dask client's executor, which cannot be told to cancel."""

    def __init__(self, client: Executor) -> None:
        self.client = client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.client.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.client.shutdown(wait)


@contextmanager
def cluster(address: str) -> Iterator[tuple[Executor, int]]:
    """A dask cluster's workers as an executor, and how many threads they have."""
    try:
        from distributed import Client
    except ImportError:
        raise InputError("needs dask: pip install 'tapeout[explore]'", where="--scheduler") from None
    if not re.fullmatch(r"[a-z]+://.+:\d+", address):
        raise InputError("no scheduler's address; allowed: tcp://HOST:PORT", where=address or "--scheduler")
    try:
        client: Any = Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"no scheduler there: {reason}", where=address) from None
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError("the cluster has no workers", where=address)
        yield Dask(client.get_executor(pure=False)), threads


class Workers:
    """Hands chunks to an executor, and hands them out again when workers die."""

    def __init__(self, start: Callable[[], Executor], jobs: int, folder: str, version: str = "") -> None:
        self.start, self.jobs, self.folder, self.version = start, jobs, folder, version
        self.executor = start()

    def close(self) -> None:
        """Let the workers go, whatever they are doing."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def rows(self, chunks: Iterator[Chunk]) -> Iterator[tuple[list[Row], Cost, Chunk]]:
        """Rows of each chunk as it is done and what it took, or the chunk where it was lost with its workers.

        An interrupt lets the chunks that are running finish; their rows come before it is raised again.
        """
        pending: dict[Future[Any], Chunk] = {}
        again: list[Chunk] = []
        tries: dict[int, int] = {}
        try:
            while True:
                while len(pending) < 2 * self.jobs and (following := again.pop() if again else next(chunks, None)):
                    pending[self._submit(following)] = following
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future, mine in [(future, pending.pop(future)) for future in done]:
                    error = future.exception()
                    if error is None:
                        yield *future.result(), []
                    elif not died(error):
                        raise error
                    elif (tried := tries.get(id(mine), 1)) < TRIES:
                        tries[id(mine)] = tried + 1
                        again.append(mine)
                    else:
                        yield [], Cost(0, 0), mine
        except KeyboardInterrupt:
            running = [future for future in pending if not future.cancel()]
            wait(running)
            yield from ((*future.result(), []) for future in running if not future.exception())
            raise

    def _submit(self, points: Chunk) -> Future[Any]:
        """Hand out a chunk; a pool that lost a process takes nothing more, and a new one takes its place."""
        try:
            return self.executor.submit(chunk, points, self.folder, self.version)
        except BrokenExecutor:
            self.close()
            self.executor = self.start()
            return self.executor.submit(chunk, points, self.folder, self.version)


def died(error: BaseException) -> bool:
    """Whether a chunk failed because its worker died."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in ("KilledWorker", "CancelledError")
