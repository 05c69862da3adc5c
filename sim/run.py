"""The only way in: simulate one design."""

from typing import Literal

from sim.graph import Design
from sim.timeline import Timeline

Engine = Literal["fast", "des"]


def simulate(design: Design, engine: Engine = "fast", values: "object | None" = None) -> Timeline:
    """Run a design to its end on the compiled recurrence ("fast") or the simpy engine ("des"); both give the same times.

    `values` (des only) sends real values through the FIFOs: see `sim.des.run`. Raises DesignError where the design
    breaks its contract, DeadlockError where it cannot finish.
    """
    design.check()
    if engine == "des":
        from sim import des

        return Timeline(design, design, des.run(design, values))  # type: ignore[arg-type]
    from sim import periodic

    return periodic.run(design)
