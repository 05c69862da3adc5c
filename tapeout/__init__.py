"""tapeout: what would my compressed network do on that accelerator? The Python API.

from tapeout import run

result = run("eie", "alexnet-fc7", settings={"pes": 32})
result.total["time_s"], result.layers[0]["stalls"], result.to_json()
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # imported where they are used: `tapeout --help` must not wait for them
    from pathlib import Path

    from reports.compare import Comparison
    from sim.plan import Array
    from sim.result import Result
    from workloads.load import Workload

__all__ = ["compare", "run"]


def run(
    arch: str,
    workload: "str | Path | Workload",
    inputs: "Mapping[str, Array] | Array | None" = None,
    settings: Mapping[str, object] | None = None,
    config: str | None = None,
    batch: int = 1,
    engine: Literal["fast", "des"] = "fast",
    seed: int = 0,
    check: bool = False,
    timing_only: bool = False,
) -> "Result":
    """Run a workload on an accelerator; see `tapeout run --help` for what each argument means.

    `arch` is a name or NAME:CONFIG. `inputs` are `[images, *shape]` (or one image), by name where the network has
    several inputs; without them the workload's own are taken, `batch` images of them. Raises sim.errors.SimError.
    """
    from tapeout import session

    return session.run(arch, workload, inputs, settings, config, batch, engine, seed, check, timing_only)


def compare(
    name: str,
    on: Sequence[str] = (),
    batch: int = 0,
    timing_only: bool = False,
    rate: float | None = None,
    boundary: str = "system",
    scaling: str = "raw",
) -> "Comparison":
    """Every machine on one task ("digits") or one artifact; see `tapeout compare --help`. `batch` 0 is the default's.

    `print(reports.compare.table(found))` is the table; `reports.compare.records(found)` are its rows as plain data.
    """
    from tapeout import contest

    return contest.compare(name, on, batch, timing_only, rate, boundary, scaling, lambda what, done, steps: None)
