"""Studies: what a file may say, that stopping costs nothing, and that the answer does not depend on who ran the points."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.errors import InputError
from tapeout.explore import study as studies
from tapeout.explore import verb
from tapeout.explore.store import Store

pytest.importorskip("polars")
pytest.importorskip("moocore")

STUDY = """
question: "How deep a queue?"
arch: eie
workload: tiny.yaml
parameters:
  density.weight: [0.05, 0.1]
  pes: [16, 32]
  queue_depth: {low: 2, high: 31}
objectives: [{minimise: time_s}, {minimise: energy_j}]
"""
TINY = """
name: tiny
source: made up
inputs: {x: [256]}
layers: [{name: fc, op: linear, outputs: 192, bias: false, density: {weight: 0.1, activation: 0.4}}]
"""
POINTS = 120
Run = Callable[..., dict[str, object]]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test stands in its folder, beside a small network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)


def run(path: Path, out: Path, jobs: int = 1, scheduler: str | None = None) -> dict[str, object]:
    """The summary of a study and, under "files", what it wrote of what must not differ."""
    said, folder = verb.run(studies.read(path), out, jobs, scheduler, lambda *_: None)
    files = {name: (folder / name).read_bytes() for name in ("points.csv", "study.json", "front.csv", "front.svg")}
    return {**said, "files": files}


def stored(out: Path) -> list[str]:
    """Every key in the store, as often as it is there."""
    return [key for part in Store(out / "store").rows({"key"}) for key in part["key"]]


def test_two_processes_and_one_write_the_same(written: Path, tmp_path: Path) -> None:
    one, two = run(written, tmp_path / "one"), run(written, tmp_path / "two", jobs=2)
    assert one == two
    assert one["points"] == {"asked": POINTS, "done": POINTS, "failed": 0, "lost": 0, "feasible": POINTS}
    assert len(stored(tmp_path / "two")) == POINTS


def test_a_point_is_what_run_says(written: Path, tmp_path: Path) -> None:
    import shlex

    front = run(written, tmp_path)["front"]
    assert isinstance(front, list)
    words = shlex.split(front[0]["command"])[1:]
    done = subprocess.run([sys.executable, "-m", "tapeout.cli", *words, "--json"], capture_output=True, check=True)
    assert json.loads(done.stdout)["total"]["time_s"] == front[0]["figures"]["time_s"]
    assert json.loads(done.stdout)["total"]["energy_j"] == front[0]["figures"]["energy_j"]


def test_networks_are_encoded_once(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workloads.formats.csc import Csc

    made = []
    encode = Csc.encode

    def counted(*args: int) -> object:
        made.append(args[1:])
        return encode(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Csc, "encode", counted)
    run(written, tmp_path)
    assert len(made) == 4  # two densities, two counts of PEs; the layer has no bias


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_driver(written: Path, tmp_path: Path, jobs: int) -> None:
    whole = run(written, tmp_path / "whole")
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    words = [sys.executable, str(slow), str(written), str(tmp_path / "out"), str(jobs)]
    driver = subprocess.Popen(words, start_new_session=True)
    store = tmp_path / "out" / "store"
    wait_for(lambda: len(list(store.glob("*.parquet"))) >= 3)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    half = stored(tmp_path / "out")
    assert 0 < len(half) < POINTS
    assert run(written, tmp_path / "out")["files"] == whole["files"]
    assert (
        sorted(stored(tmp_path / "out")) == sorted(stored(tmp_path / "whole")) == sorted(set(stored(tmp_path / "out")))
    )
    wait_for(lambda: not in_session(driver.pid))


SLOW = """
import sys, time
from pathlib import Path
from tapeout.explore import study, verb, workers
from tapeout.explore.store import Store
workers.SECONDS = 0.02
append = Store.append
Store.append = lambda *args: (append(*args), time.sleep(0.1))
if __name__ == "__main__":
    verb.run(study.read(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), None, lambda *_: None)
"""


def wait_for(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def in_session(leader: int) -> list[int]:
    """Processes of the session that `leader` began."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            said = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(said[3]) == leader and said[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def test_interrupt_keeps_what_is_done(written: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    driver = subprocess.Popen([sys.executable, str(slow), str(written), str(tmp_path / "out"), "2"], stderr=-1)
    wait_for(lambda: len(list((tmp_path / "out" / "store").glob("*.parquet"))) >= 2)
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=60)
    half = stored(tmp_path / "out")
    assert 0 < len(half) < POINTS and len(half) == len(set(half))
    run(written, tmp_path / "out")
    assert len(stored(tmp_path / "out")) == POINTS


def test_killed_worker(written: Path, tmp_path: Path) -> None:
    """A process of the pool dies at one point, once: its chunk is handed out again."""
    whole = run(written, tmp_path / "whole")
    script = tmp_path / "kill.py"
    script.write_text(KILL)
    subprocess.run([sys.executable, str(script), str(written), str(tmp_path / "out")], check=True)
    assert sorted(stored(tmp_path / "out")) == sorted(stored(tmp_path / "whole"))
    assert run(written, tmp_path / "out")["files"] == whole["files"]


KILL = """
import os, signal, sys, threading, time
from pathlib import Path
from tapeout.explore import study, verb, workers
from tapeout.explore.store import Store
workers.SECONDS = 0.02
append = Store.append
Store.append = lambda *args: (append(*args), time.sleep(0.05))

def kill():
    import multiprocessing
    seen = []
    while not seen:
        time.sleep(0.01)
        seen = [w for w in multiprocessing.active_children()] if list(Path(sys.argv[2], "store").glob("*.parquet")) else []
    os.kill(seen[0].pid, signal.SIGKILL)
if __name__ == "__main__":
    threading.Thread(target=kill, daemon=True).start()
    said, folder = verb.run(study.read(sys.argv[1]), Path(sys.argv[2]), 2, None, lambda *_: None)
    assert said["points"]["done"] == said["points"]["asked"] == 120, said["points"]
"""


def test_failed_points_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "question: q\narch: eie\nworkload: tiny.yaml\nobjectives: [{minimise: time_s}]\n"
        "settings: {overflow: refuse}\n"
        "parameters: {spmat_width_bits: [8, 16], index_bits: [4, 5], spmat_kib: [0.05, 128.0]}\n"
    )
    said = run_single(path, tmp_path)
    assert said["points"] == {"asked": 8, "done": 3, "failed": 5, "lost": 0, "feasible": 3}
    assert any("spmat_width_bits 8 is less than one entry of 9 bits" in why for why in said["failed"])
    assert any("spmat SRAM exceeded" in why for why in said["failed"])


def run_single(path: Path, out: Path) -> dict[str, dict[str, int]]:
    said, _ = verb.run(studies.read(path), out, 1, None, lambda *_: None)
    return said


@pytest.mark.parametrize("method", ["random", "sobol", "tpe", "nsga2"])
def test_methods_are_seeded_and_go_on(method: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.replace("31}", "200, log: true}") + f"method: {method}\nbudget: 40\nseed: 3\n")
    first = run(path, tmp_path / "out")
    assert first["points"]["asked"] == 40  # type: ignore[index]
    assert run(path, tmp_path / "out") == first
    assert len(stored(tmp_path / "out")) == 40


def test_studies_share_a_store(written: Path, tmp_path: Path) -> None:
    run(written, tmp_path / "out")
    other = tmp_path / "other.yaml"
    other.write_text(STUDY.replace("minimise: energy_j", "maximise: ops_per_s").replace("[16, 32]", "[16, 64]"))
    said = run(other, tmp_path / "out")
    assert said["points"]["done"] == POINTS  # type: ignore[index]
    assert len(stored(tmp_path / "out")) == POINTS + POINTS // 2


def test_fronts_apart(written: Path, tmp_path: Path) -> None:
    """A denser network is never better: on one front it has no point, apart it has its own."""
    whole = run_single(written, tmp_path / "out")
    written.write_text(STUDY + "apart: [workload]\n")
    apart = run_single(written, tmp_path / "out")
    assert {p["workload"] for p in whole["front"]} == {"tiny.yaml@weight=0.05"}  # type: ignore[index]
    assert {p["workload"] for p in apart["front"]} == {f"tiny.yaml@weight={d}" for d in (0.05, 0.1)}  # type: ignore[index]


def test_points_without_a_figure_say_so(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "question: q\narch: yodann\nworkload: lenet5\nobjectives: [{minimise: time_s}, {minimise: area_ge}]\n"
        "parameters: {channels: [16, 32]}\n"
    )
    said = run_single(tmp_path / "one.yaml", tmp_path)
    assert said["points"]["feasible"] == 1 and said["failed"] == {"no figure: area_ge": 1}


BAD = {
    "parameters: {pse: [1, 2]}": "parameters.pse: eie has no such setting; did you mean pes?",
    "parameters: {pes: {low: 8, high: 8}}": "parameters.pes: an empty range: 8 is not less than 8",
    "parameters: {pes: []}": "parameters.pes",
    "parameters: {pes: [0, 8]}": "parameters.pes: found 0; allowed: 1 or more",
    "parameters: {clock: {low: 1 MHz, high: 2 GHz}}": "parameters.clock: found '1 MHz' and '2 GHz'; allowed: the same unit",
    "parameters: {clock: {low: 1 MHz, high: 9 MHz}}": "parameters.clock: a grid needs `steps` of a range",
    "parameters: {pes: {values: [8], when: {queue: [1]}}}": "parameters.pes.when.queue: no parameter before it",
    "constraints: [{metric: area_m2, least: 2, most: 1}]": "constraints.0: nothing is at least 2 and at most 1",
    "constraints: [{metric: area_m2}]": "constraints.0: allowed: least, most or both",
    "parameters: {workload: [a]}": "parameters.workload: stands beside the parameters: workload: [...]",
    "method: random": "budget: missing; random needs a number of points",
    "method: magic": "method: found 'magic'",
    "budget: 0": "budget: found 0; allowed: 1 or more",
    "parameters: {pes: {values: [8], when: {arch: eye}}}": "parameters.pes.when.arch: arch is never eye; allowed: eie",
    "workloud: x": "workloud: unknown setting; did you mean workload?",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_studies(line: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("question: q\narch: eie\nworkload: tiny.yaml\nobjectives: [{minimise: time_s}]\n" + line + "\n")
    with pytest.raises(InputError, match=r"bad\.yaml:\d+:\d+: ") as caught:
        studies.read(path)
    assert BAD[line] in str(caught.value)


def test_an_objective_twice(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "question: q\narch: eie\nworkload: tiny.yaml\nobjectives: [{minimise: time_s}, {maximise: time_s}]\n"
    )
    with pytest.raises(InputError, match="time_s is an objective twice"):
        studies.read(path)


def test_nothing_is_feasible(written: Path, tmp_path: Path) -> None:
    """The table says what is missed, and by how much it is."""
    written.write_text(STUDY + "constraints: [{metric: power_w, most: 1 nW}, {metric: area_m2, least: 1 mm2}]\n")
    said = run_single(written, tmp_path)
    assert said["points"]["feasible"] == 0
    assert [(miss["metric"], miss["points"]) for miss in said["missed"]] == [("power_w", POINTS)]  # type: ignore[index]
    assert "120 miss power_w at most 1 nW: the closest has 1" in verb.table(said)


def test_a_machine_that_takes_no_layer_is_no_winner(tmp_path: Path) -> None:
    """It would need no time and no energy."""
    (tmp_path / "one.yaml").write_text(
        "question: q\narch: [yodann, eie]\nworkload: tiny.yaml\nobjectives: [{minimise: time_s}]\n"
    )
    said = run_single(tmp_path / "one.yaml", tmp_path)
    assert said["failed"] == {"tiny.yaml: yodann takes no layer of it": 1}
    assert [point["arch"] for point in said["front"]] == ["eie"]  # type: ignore[index]


def test_conditions_of_conditions(tmp_path: Path) -> None:
    """A parameter reaches only accelerators that what it depends on reaches."""
    path = tmp_path / "study.yaml"
    path.write_text(
        "question: q\narch: [eie, yodann]\nworkload: lenet5\nobjectives: [{minimise: time_s}]\nparameters:\n"
        "  lower: {values: [none, im2col], when: {arch: eie}}\n"
        "  pes: {values: [8, 16], when: {lower: im2col}}\n"
        "  queue_depth: {low: 2, high: 9, steps: 2, when: {pes: 16}}\n"
    )
    assert studies.read(path).space.size() == 1 + 1 + 1 + 2


def test_unknown_metric(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("question: q\narch: eie\nworkload: tiny.yaml\nobjectives: [{minimise: tims_s}]\n")
    with pytest.raises(InputError, match=r"tims_s: no such figure; did you mean time_s\?"):
        run(path, tmp_path)


def test_newer_store(written: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text('{"schema": "tapeout.store/2"}')
    with pytest.raises(InputError, match=r"written by a newer version: tapeout.store/2"):
        run(written, tmp_path)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["store.json"]


def test_torn_part(written: Path, tmp_path: Path) -> None:
    Store(tmp_path / "store")
    (tmp_path / "store" / "part.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"part\.parquet: not a part of a store"):
        run(written, tmp_path)


def test_no_scheduler(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from tapeout.explore import workers

    monkeypatch.setattr(workers, "PATIENCE", "300ms")
    with pytest.raises(InputError, match=r"here: no scheduler's address"):
        run(written, tmp_path, scheduler="here")
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:1: no scheduler there"):
        run(written, tmp_path, scheduler="tcp://127.0.0.1:1")


def test_full_disk(written: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 2 kB: one line, exit 2, and what is in the store can be read."""
    limit = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); from tapeout import cli; cli.main()"
    )
    words = [sys.executable, "-c", limit, "explore", str(written), "--out", str(tmp_path / "out"), "--jobs", "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "file too large" in done.stderr
    stored(tmp_path / "out")
    assert not list((tmp_path / "out" / "store").glob(".part*"))
