"""Studies on a dask cluster: the same answer as alone, with workers killed while they work."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sim.errors import InputError
from tapeout.explore import study as studies
from tapeout.explore import verb, workers
from tapeout.explore.store import Store

distributed = pytest.importorskip("distributed")
pytest.importorskip("moocore")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("cluster")]

STUDY = """
question: "How deep a queue?"
arch: eie
workload: tiny.yaml
parameters: {pes: [16, 32], queue_depth: {low: 2, high: 151}}
objectives: [{minimise: time_s}, {minimise: energy_j}]
"""
TINY = """
name: tiny
source: made up
inputs: {x: [256]}
layers: [{name: fc, op: linear, outputs: 192, bias: false, density: {weight: 0.1, activation: 0.4}}]
"""
POINTS = 300


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


@pytest.fixture
def three(written: Path) -> Iterator[Any]:
    """Three worker processes on this machine, started where the study stands."""
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield cluster


def run(path: Path, out: Path, scheduler: str | None) -> dict[str, bytes]:
    _, folder = verb.run(studies.read(path), out, 1, scheduler, lambda *_: None)
    return {name: (folder / name).read_bytes() for name in ("points.csv", "study.json")}


def keys(out: Path) -> list[str]:
    return sorted(key for part in Store(out / "store").rows({"key"}) for key in part["key"])


def test_one_of_three_workers_is_killed(
    written: Path, three: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(written, tmp_path / "alone", None)
    monkeypatch.setattr(workers, "SECONDS", 0.02)  # some points a chunk: many chunks are under way
    append = Store.append
    killed: list[int] = []

    def slowly(store: Store, rows: Any) -> Path:
        if not killed and len(store.parts()) >= 3:
            killed.append(three.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)
        time.sleep(0.02)
        return append(store, rows)

    monkeypatch.setattr(Store, "append", slowly)
    assert run(written, tmp_path / "cluster", three.scheduler_address) == alone
    assert killed
    assert keys(tmp_path / "cluster") == keys(tmp_path / "alone") and len(keys(tmp_path / "alone")) == POINTS


def test_a_worker_with_other_code_is_refused(
    written: Path, three: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tapeout.explore import search

    monkeypatch.setattr(search, "code", lambda: "another")
    with pytest.raises(InputError, match="another version of this code"):
        run(written, tmp_path / "out", three.scheduler_address)
    assert keys(tmp_path / "out") == []


def test_no_workers(written: Path, tmp_path: Path) -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster,
        pytest.raises(InputError, match="the cluster has no workers"),
    ):
        run(written, tmp_path / "out", cluster.scheduler_address)
