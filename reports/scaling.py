"""What a machine's energy would be in another process, for machines that can be put side by side at all.

Only chips are scaled, and only to the largest node among ours (65 nm, 1.0 V); FPGA designs are compared as they are, by
their share of a named device. Memories and logic scale apart; links and DRAM do not scale. Below 0.8 V the laws fail (near
the threshold YodaNN slows 28-fold where Stillmaker's polynomial says 2.8), so such a corner stays raw and says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Rule = Literal["raw", "classical", "stillmaker"]
RULES: tuple[Rule, ...] = ("raw", "classical", "stillmaker")
SOURCES = {
    "raw": "as modelled, each in its own process",
    "classical": "logic and memory: node x V^2, to 65 nm and 1.0 V",
    "stillmaker": "logic: Stillmaker and Baas, Integration 2017 (45 nm 0.9 V to 65 nm 1.0 V: 1.91; within 65 nm "
    "3.755 V^2 - 4.398 V + 1.975); memory: node x V^2",
}
TARGET_NM, TARGET_V = 65.0, 1.0
LEAST_V = 0.8
LOGIC_45_TO_65 = 1.91


@dataclass(frozen=True, slots=True)
class Process:
    """What a machine is made in.

    `memories` are its energy components that are SRAM; `gated`: its static power is a clock that an idle chip could stop.
    """

    kind: Literal["ASIC", "FPGA"]
    name: str
    nm: float = 0.0
    volts: float = 0.0
    memories: tuple[str, ...] = ()
    gated: bool = False


PROCESSES = {
    "eie": Process("ASIC", "45 nm, 0.9 V", 45, 0.9, ("spmat_read", "ptr_read", "act_sram"), gated=True),
    "yodann": Process("ASIC", "65 nm", 65, 1.2),
    "finn": Process("FPGA", "Zynq-7000"),
    "fused": Process("FPGA", "Virtex-7 690T"),
}


def process(arch: str, config: Mapping[str, object]) -> Process:
    """The process of a machine; its supply is the configuration's where that has one."""
    known = PROCESSES.get(arch, Process("ASIC", "process not known"))
    volts = config.get("voltage")
    if known.kind == "ASIC" and isinstance(volts, int | float):
        return replace(known, name=f"{known.nm:g} nm, {volts:g} V", volts=float(volts))
    return known


def scalable(made: Process) -> bool:
    """Whether the laws hold for this machine."""
    return made.kind == "ASIC" and made.nm > 0 and made.volts >= LEAST_V


def factors(made: Process, rule: Rule) -> tuple[float, float]:
    """What logic and memory energy are multiplied with; 1 for machines that are not scaled."""
    if rule == "raw" or not scalable(made):
        return 1.0, 1.0
    classical = TARGET_NM / made.nm * (TARGET_V / made.volts) ** 2
    if rule == "classical":
        return classical, classical
    if made.nm == TARGET_NM:
        return _stillmaker(TARGET_V) / _stillmaker(made.volts), classical
    return LOGIC_45_TO_65, classical


def _stillmaker(volts: float) -> float:
    """Relative energy of logic at 65 nm."""
    return 3.755 * volts**2 - 4.398 * volts + 1.975
