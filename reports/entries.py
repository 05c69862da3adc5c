"""A row of a comparison: one machine, or several that share the layers, with stored results.

What the row costs at one common frame rate, under any energy boundary and scaling rule, from the results alone. Prices of
links that a machine's own table leaves out are here, printed with every table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, fsum
from typing import Any

import archs
from reports import scaling
from reports.scaling import Rule
from sim.result import Result

BOUNDARIES = ("core", "chip", "system")
LINK_J_PER_BIT = (5e-12, 21e-12, 70e-12)
"""Low, nominal, high of one bit to or from a machine that prices no link of its own. 21: I/O of Hyperdrive."""
LINKLESS = ("eie",)
"""Machines whose energy tables end at the core: the image in and the answer out are charged here."""
OFF_CHIP = ("dram", "io", "host")


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """One machine's share of the layers. `link_bits`: bits an image that enter and leave it."""

    machine: str
    result: Result
    expanded: str = ""
    link_bits: int = 0

    @property
    def images(self) -> int:
        """Images of the batch behind the result."""
        return int(self.result.data["images"])

    @property
    def process(self) -> scaling.Process:
        """What the machine is made in."""
        arch = self.result.data["arch"]
        return scaling.process(arch["name"], arch["config"])

    @property
    def macs(self) -> int:
        """MACs of the uncompressed layers it ran, for one image."""
        return int(self.result.total["macs"]) // self.images

    @property
    def steady_s(self) -> float:
        """Seconds from one image to the next in the steady state."""
        total = self.result.total
        return float(total["steady_cycles_per_image"] * total["time_s"] / total["cycles"])

    @property
    def static_w(self) -> float:
        """Power drawn while idle: its priced static components."""
        total = self.result.total
        names = _static(self.result.data["arch"])
        return fsum(j for name, j in total["energy_by_component_j"].items() if name in names) / float(total["time_s"])

    def replicas(self, rate: float) -> int:
        """Copies of it that reach `rate` images a second."""
        return max(ceil(rate * self.steady_s - 1e-9), 1)

    def energy(self, boundary: str, rule: Rule) -> tuple[float, float, float]:
        """Joule an image: low, nominal, high. The interval is that of the machine's own boundary, in proportion."""
        total = self.result.total
        by_boundary = total["energy_by_boundary_j"]
        core = by_boundary["core"]
        rest = by_boundary[boundary] - core
        low, nominal, high = total["energy_interval_j"]
        memory = fsum(total["energy_by_component_j"].get(name, 0.0) for name in self.process.memories)
        logic_x, memory_x = scaling.factors(self.process, rule)
        scaled = ((core - memory) * logic_x + memory * memory_x + rest) / self.images
        link = self.link_bits if boundary != "core" and self.result.data["arch"]["name"] in LINKLESS else 0
        least, usual, most = (scaled * (end / nominal if nominal else 1.0) for end in (low, nominal, high))
        return least + link * LINK_J_PER_BIT[0], usual + link * LINK_J_PER_BIT[1], most + link * LINK_J_PER_BIT[2]

    @property
    def weights_bytes(self) -> float:
        """Its weights as it stores them, with everything the encoding adds."""
        return sum(int(layer.get("weight_bits", 0)) for layer in self.result.layers) / 8

    def resources(self) -> str:
        """Area, or the share of the device."""
        total = self.result.total
        if "area_m2" in total:
            return f"{total['area_m2'] * 1e6:.3g} mm2"
        return ", ".join(
            f"{total[name]:,.0f} {name.upper()}" for name in ("luts", "dsp", "bram18", "bram") if name in total
        )


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """A row: who ran what. `macs` are those of the whole artifact; `refused` says why there are no parts."""

    name: str
    artifact: str
    macs: int
    parts: tuple[Part, ...] = ()
    refused: str = ""

    @property
    def covered(self) -> float:
        """Share of the artifact's MACs that ran."""
        return sum(part.macs for part in self.parts) / self.macs if self.macs else 0.0

    @property
    def whole(self) -> bool:
        """Whether it ran everything: only then is it ranked."""
        return not self.refused and self.covered >= 1

    @property
    def kinds(self) -> str:
        """ASIC, FPGA, or both."""
        return " + ".join(dict.fromkeys(part.process.kind for part in self.parts))

    @property
    def unscaled(self) -> bool:
        """Whether no part of it can be scaled to the common node."""
        return not any(scaling.scalable(part.process) for part in self.parts)

    @property
    def latency_s(self) -> float:
        """The first image, through one part after the other."""
        return fsum(part.result.total["latency_s"] for part in self.parts)

    @property
    def rate(self) -> float:
        """Images a second in the steady state; the slowest part sets it."""
        return 1 / max(part.steady_s for part in self.parts)

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """That of the part with the last layers, where everything ran."""
        found = [part.result.data.get("accuracy") for part in self.parts if part.result.data.get("accuracy")]
        return found[-1] if found and self.whole else None

    @property
    def equal(self) -> bool | None:
        """Whether every part's numbers equal its reference; None where one did not compute."""
        found = [part.result.data["equivalence"] for part in self.parts]
        return None if None in found else all(one["passed"] for one in found)

    def energy(self, boundary: str, rule: Rule, rate: float | None = None) -> tuple[float, float, float]:
        """Joule an image (low, nominal, high) at `rate` images a second: idle replicas and idle time are paid for."""
        totals = [0.0, 0.0, 0.0]
        for part in self.parts:
            idle = part.static_w * max(part.replicas(rate) / rate - part.steady_s, 0.0) if rate else 0.0
            least = 0.0 if part.process.gated else idle
            for end, (joule, more) in enumerate(zip(part.energy(boundary, rule), (least, idle, idle), strict=True)):
                totals[end] += joule + more
        return totals[0], totals[1], totals[2]

    def replicas(self, rate: float) -> int:
        """Copies of the slowest part that reach `rate`."""
        return max(part.replicas(rate) for part in self.parts)

    def traffic(self, off_chip: bool) -> float:
        """Bytes an image over the chip's edge, or inside it."""
        return fsum(
            size / part.images
            for part in self.parts
            for key, size in part.result.total["traffic_bytes"].items()
            if (key.partition(".")[0] in OFF_CHIP) == off_chip
        )

    def notes(self) -> Iterable[str]:
        """What was expanded, exceeded or left raw, by part."""
        for part in self.parts:
            if part.expanded:
                yield f"{part.machine}: {part.expanded}"
            loads = part.result.total.get("load")
            if loads:
                yield f"{part.machine}: filling its memories, {loads['weights_bytes']:,} bytes once, is in no energy here"
            for over in part.result.total.get("overflow", ()):
                yield (
                    f"{part.machine}: {over['sram']} would need {over['needed_bytes']:,} bytes a PE and has "
                    f"{over['available_bytes']:,}: assumed to fit"
                )
            if part.process.gated:
                yield f"{part.machine}: its clock runs while it idles; the low end has it gated (leakage is not published)"
            if part.process.kind == "ASIC" and not part.static_w:
                yield f"{part.machine}: its prices tell no leakage apart: idle time costs nothing"
            if part.process.kind == "ASIC" and not scaling.scalable(part.process):
                yield f"{part.machine}: {part.process.name} is below {scaling.LEAST_V} V, not scaled"
            if part.result.data["arch"]["config"].get("stride") == "discard":
                discarded = part.result.total["macs_wasted"].get("discard", 0)
                if discarded:
                    yield f"{part.machine}: computes {discarded // part.images:,} MACs an image that strides drop"


def _static(arch: Mapping[str, Any]) -> set[str]:
    """Components with static power, from the machine's price table."""
    plugin = archs.find(arch["name"])
    names = {key: value for key, value in arch["config"].items() if key in plugin.SPEC.model_fields and key != "energy"}
    return set(plugin.machine(plugin.SPEC.model_validate(names)).energy.static)
