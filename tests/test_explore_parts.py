"""What studies are made of: spaces, fronts, importance, the store, networks in shared memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("polars")
pytest.importorskip("moocore")

from tapeout.explore import sharing, workers
from tapeout.explore import study as studies
from tapeout.explore.front import Front, hypervolume, importance, pareto
from tapeout.explore.space import Axis, Range, Space, Values, shares
from tapeout.explore.store import Store
from tapeout.explore.study import gathered
from workloads.load import load

STUDIES = sorted((Path(__file__).parents[1] / "archs").glob("*/studies/*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_ready_studies_can_be_read(path: Path) -> None:
    plan = studies.read(path)
    assert plan.study.question.endswith("?") and plan.space.size() > 1


def test_ranges() -> None:
    assert Range(low=2, high=16, log=True, steps=4).all() == [2, 4, 8, 16]
    assert Range(low=2, high=5).all() == [2, 3, 4, 5]
    assert Range(low="200 MHz", high="800 MHz", log=True, steps=3).all() == ["200 MHz", "400 MHz", "800 MHz"]
    assert Range(low=0.0, high=1.0).count is None
    with pytest.raises(ValueError, match="an empty range"):
        Range(low=3, high=2)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 50), st.integers(1, 200), st.booleans())
def test_every_share_is_in_the_range(share: float, low: int, width: int, log: bool) -> None:
    domain = Range(low=low, high=low + width, log=log)
    assert domain.at(share) in domain.all() if not log else low <= domain.at(share) <= low + width
    assert {domain.at(0.0), domain.at(1 - 1e-9)} == {low, low + width}


def space() -> Space:
    axes = [
        Axis("arch", Values(values=("eie", "finn:x"))),
        Axis("pes", Range(low=1, high=3), {"arch": ("eie",)}),
        Axis("fold", Values(values=("a", "b")), {"arch": ("finn",)}),
        Axis("workload", Values(values=("net",))),
    ]
    return Space.of(axes, ("workload", "pes"))


def test_conditions() -> None:
    grid = list(space().grid())
    assert len(grid) == space().size() == 5
    assert {"workload": "net", "arch": "finn:x", "fold": "b"} in grid
    assert [axis.name for axis in space().axes] == ["workload", "arch", "pes", "fold"]


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_draws_are_different_points_of_the_space(method: str) -> None:
    drawn = list(space().drawn(shares(method, 4, 16, seed=1)))
    grid = list(space().grid())
    assert all(point in grid for point in drawn) and len(drawn) == len(grid)
    assert drawn == list(space().drawn(shares(method, 4, 16, seed=1)))


def test_items_of_a_list_are_gathered() -> None:
    varied = {"clock": "1 MHz", "fold.layers.1.pe": 4, "fold.layers.0.pe": 2, "fold.layers.0.simd": 8, "pipes.dma": 3}
    assert gathered(varied) == {"clock": "1 MHz", "fold.layers": [{"pe": 2, "simd": 8}, {"pe": 4}], "pipes.dma": 3}


points = st.lists(st.tuples(*[st.integers(0, 6)] * 2), min_size=1, max_size=30)


@given(points)
def test_front_against_its_definition(given_points: list[tuple[int, int]]) -> None:
    values = np.array(given_points, float)
    beaten = [any((other <= mine).all() and (other < mine).any() for other in values) for mine in values]
    assert pareto(values).tolist() == [not b for b in beaten]


@given(points)
@settings(max_examples=50)
def test_hypervolume_counts_cells(given_points: list[tuple[int, int]]) -> None:
    values = np.array(given_points, float)
    cells = sum(any(x <= i and y <= j for x, y in given_points) for i in range(6) for j in range(6))
    assert hypervolume(values, np.zeros(2), np.full(2, 6.0)) == pytest.approx(cells / 36)


@given(points, st.integers(1, 29))
def test_front_does_not_depend_on_the_pieces(given_points: list[tuple[int, int]], at: int) -> None:
    values = np.array(given_points, float)
    whole, pieces = Front(2), Front(2)
    whole.add(values)
    pieces.add(values[:at])
    pieces.add(values[at:])
    assert np.array_equal(whole.values, pieces.values) and whole.hypervolume == pieces.hypervolume


def test_importance_of_a_product() -> None:
    """log(a * b) on a full grid: the shares are those of the logarithms' variances, and add up to one."""
    chosen = [{"a": a, "b": b, "c": c} for a in (1, 2, 4) for b in (1, 16) for c in (0, 1)]
    found = importance(chosen, np.array([c["a"] * c["b"] for c in chosen], float))
    of_a, of_b = np.var(np.log([1, 2, 4])), np.var(np.log([1, 16]))
    assert found == pytest.approx({"a": of_a / (of_a + of_b), "b": of_b / (of_a + of_b), "c": 0.0}, abs=1e-12)


def test_store_keeps_rows_of_different_figures(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append([{"key": "b", "status": "done", "x": 1.0}, {"key": "a", "status": "failed", "why": "because"}])
    store.append([{"key": "c", "status": "done", "y.z": 2.0}])
    found = {row["key"]: row for part in store.rows({"key", "x"}, {"y"}) for row in part.iter_rows(named=True)}
    assert found == {"a": {"key": "a", "x": None}, "b": {"key": "b", "x": 1.0}, "c": {"key": "c", "y.z": 2.0}}


def test_shared_networks_are_views_of_one_file(tmp_path: Path) -> None:
    sharing.use(str(tmp_path))
    try:
        first, second = sharing.load("neuraltalk-we", 0, 1), sharing.load("neuraltalk-we", 0, 1)
    finally:
        sharing.use("")
    plain = load("neuraltalk-we")
    weights = [work.network.layers[0].params["weight"] for work in (first, second, plain)]
    assert np.array_equal(weights[0].decode(), weights[2].decode())  # type: ignore[union-attr]
    rows = weights[0].rows  # type: ignore[union-attr]
    assert not rows.flags.owndata and rows.flags.writeable
    rows[0] += 1  # what one writes stays its own
    assert np.array_equal(weights[1].rows, weights[2].rows)  # type: ignore[union-attr]
    assert len(list(tmp_path.glob("*.arrays"))) == 1


def test_a_folder_that_is_gone_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    sharing.use(str(tmp_path / "gone"))
    (tmp_path / "gone").rmdir()
    try:
        assert sharing.load("neuraltalk-we", 0, 1).name == "neuraltalk-we"
    finally:
        sharing.use("")


def test_folders_of_killed_runs_go() -> None:
    """Whoever comes next removes them, and leaves those of runs that go on."""

    def start() -> tuple["subprocess.Popen[str]", Path]:
        process = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=-1, stdout=-1, text=True)
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    (killed, left), (running, held) = start(), start()
    with killed, running:
        killed.kill()
        killed.wait()
        with workers.shared_folder() as mine:
            assert Path(mine).is_dir() and held.is_dir() and not left.exists()
        running.communicate("\n")
    assert not held.exists() and not Path(mine).exists()


HOLDS = """
from tapeout.explore import workers
with workers.shared_folder() as folder:
    print(folder, flush=True)
    input()
"""

FAULTS = """
import resource
import numpy as np
from tapeout.explore import memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        np.ones(100_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
thrifty = faults()
memory.keep()
faults()
print(thrifty, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or "glibc" not in platform.libc_ver(), reason="glibc's malloc")
def test_freed_memory_stays_where_dask_would_give_it_back() -> None:
    words, setting = [sys.executable, "-c", FAULTS], {"MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(words, env=os.environ | setting, capture_output=True, text=True, check=True)
    thrifty, kept = map(int, done.stdout.split())
    assert thrifty > 200 * 100 and kept < thrifty / 10
