"""The verb `explore`: a plan's estimate, and a whole study from its start to the files it leaves."""

import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from sim.errors import InputError
from tapeout.explore import report
from tapeout.explore.report import table
from tapeout.explore.search import Progress, explore, probe
from tapeout.explore.store import Store
from tapeout.explore.study import Plan

__all__ = ["estimate", "run", "table"]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def estimate(plan: Plan, jobs: int | None) -> str:
    """How many points, and how long they would take: two of each accelerator are run for it."""
    seconds, jobs = probe(plan), jobs or cores()
    points = plan.study.budget or plan.space.size() if plan.study.method != "grid" else plan.space.size()
    axes = ", ".join(f"{axis.name} {axis.domain.count or 'any'}" for axis in plan.space.axes)
    return (
        f"{points:,} points ({plan.study.method}; {axes})\n"
        f"about {seconds * 1e3:.1f} ms a point once networks are encoded: {points * seconds / jobs:.0f} s with {jobs} jobs"
    )


def run(plan: Plan, out: Path, jobs: int | None, scheduler: str | None, told: Progress) -> tuple[dict[str, Any], Path]:
    """Run the study; its summary and the folder it was written to. An interrupt says what was kept."""
    _needs_extras()
    began = time.perf_counter()
    tally = explore(plan, out, jobs or cores(), scheduler, told)
    wall = time.perf_counter() - began
    found = report.records(plan, Store(out / "store"), tally.asked, tally.networks)
    said = report.summary(plan, found, len(tally.asked))
    about = {
        "command": sys.argv,
        "jobs": jobs or cores(),
        "scheduler": scheduler,
        "wall_s": wall,
        "first_point_s": tally.first_s,
        "fresh_points": tally.fresh,
        "points_per_s": tally.fresh / wall,
        "worker_s": tally.worker_s,
        "points_per_cpu_s": tally.fresh / tally.cpu_s if tally.cpu_s else None,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return said, report.save(plan, out, found, said, about)


def _needs_extras() -> None:
    try:
        import moocore
        import polars as pl
    except ImportError as error:
        raise InputError(f"needs {error.name}: pip install 'tapeout[explore]'", where="explore") from None
    del moocore, pl
