"""Are the bytes the same whatever surrounds the run: threads, hash seeds, time zone, locale, folder, umask, home?"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz import crash

ROOT = Path(__file__).parents[1]
SCRIPT = """
import sys
from pathlib import Path
from tapeout import session
from tapeout.explore import study, verb
from workloads import load, save
from workloads.compress import steps
from workloads.generate import fill

out = Path(sys.argv[1])
runs = (("eie", "lenet-300-100", 4), ("yodann", "bc-digits", 1), ("finn", "sfc-digits", 4), ("fused", "lenet5", 2))
for arch, workload, images in runs:
    session.run(arch, workload, batch=images).save(out / "runs")
dense = fill(load.load("lenet-300-100-dense").network, 0)
made = steps.compress(dense, [steps.parse_step(text) for text in ("prune(density=0.1)", "share(bits=4)")], 0)
save.save(made.network, out / "small", "here")
plan = study.read("study.yaml")
_, folder = verb.run(plan, out / "explored", 1, None, lambda *_: None)
"""
PLAIN = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "TZ": "UTC", "LC_ALL": "C"}
OTHER = {"PYTHONHASHSEED": "random", "OPENBLAS_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2", "TZ": "Asia/Kathmandu",
         "LC_ALL": "tr_TR.UTF-8", "HOME": "/nonexistent"}  # fmt: skip


def made(folder: Path, out: Path, around: dict[str, str], umask: int) -> dict[str, str]:
    """Digest by file of everything written but what says when and where (run.json, the store)."""
    folder.mkdir(parents=True)
    crash.prepare(folder)
    own = ("HOME", "TZ", "LANG", *PLAIN)
    environment = {k: v for k, v in os.environ.items() if k not in own} | {"PYTHONPATH": str(ROOT)} | around
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(out)]
    done = subprocess.run(command, cwd=folder, env=environment, umask=umask, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    files = [
        path for path in out.rglob("*") if path.is_file() and path.name != "run.json" and path.suffix != ".parquet"
    ]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_bytes_wherever_it_runs(tmp_path: Path) -> None:
    first = made(tmp_path / "a", tmp_path / "a" / "here", PLAIN, 0o022)
    again = made(tmp_path / "b" / "c", tmp_path / "elsewhere", OTHER, 0o077)
    names = {path.rsplit("/", 1)[-1] for path in first}
    assert names >= {
        "result.json",
        "layers.csv",
        "outputs.npy",
        "network.yaml",
        "study.json",
        "points.csv",
        "front.svg",
    }
    assert first == again


def test_nowhere_to_keep_compiled_code(tmp_path: Path) -> None:
    """Neither beside the code nor at home: a folder of the process's own is used, and removed."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom sim import cache\n"
        "cache.__file__ = '/proc/code/sim/cache.py'\nos.environ.pop('NUMBA_CACHE_DIR', None)\ncache.provide()\n"
        "folder = Path(os.environ['NUMBA_CACHE_DIR'])\nassert folder.stat().st_mode & 0o777 == 0o700\nprint(folder)"
    )
    around = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    around |= {"HOME": "/proc/home", "XDG_CACHE_HOME": "/proc/cache", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=around, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path))
    assert not Path(done.stdout.strip()).exists()
