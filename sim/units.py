"""Quantities as people write them ("800 MHz", "5 pJ", "1.9 mm2", "20 pJ/bit") to SI floats and back.

Only text belongs here; inside the program every quantity is a float in SI base units (bytes for storage).
"""

import re
from decimal import Decimal
from math import isfinite

from sim.errors import InputError

_SI = {"f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_AREA = {"n": -18, "u": -12, "m": -6, "c": -4, "": 0}
_LARGE = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

_PREFIXES = {
    "Hz": _LARGE,
    "s": _SI,
    "J": _SI,
    "W": _SI,
    "V": _SI,
    "F": _SI,
    "m2": _AREA,
    "B": _LARGE,
    "B/s": _LARGE,
    "bit/s": _LARGE,
    "J/bit": _SI,
}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*(\S.*?)?\s*")


def scales(unit: str) -> dict[str, Decimal]:
    """Every allowed spelling of `unit` and what it is worth: {"Hz": 1, "kHz": 1000, ...}."""
    table = {prefix + unit: Decimal(10) ** power for prefix, power in _PREFIXES[unit].items()}
    if unit in ("B", "B/s"):
        table |= {prefix + unit: Decimal(worth) for prefix, worth in _BINARY.items()}
    return table


def parse(text: str, unit: str) -> float:
    """The SI value of `text`, correctly rounded: parse("5 pJ", "J") == 5e-12. InputError for another unit."""
    table = scales(unit)
    match = _NUMBER.fullmatch(text)
    spelled = (match[2] or "").replace("µ", "u").replace("μ", "u").replace("²", "2") if match else ""
    if not match or spelled not in table:
        meant = next((name for name in table if match and name.lower() == spelled.lower()), None)
        hint = f"; did you mean {meant}?" if meant else ""
        raise InputError(f"found {text!r}; allowed: a number and one of {', '.join(table)}{hint}")
    value = float(Decimal(match[1]) * table[spelled])
    if not isfinite(value):
        raise InputError(f"found {text!r}; allowed: a number and one of {', '.join(table)}, finite")
    return value


def show(value: float, unit: str, digits: int = 4) -> str:
    """`value` with the prefix that leaves 1 to 999 before the point: show(8e8, "Hz") == "800 MHz"."""
    if not isfinite(value) or value == 0:
        return f"{value:g} {unit}"
    steps = sorted((power, prefix) for prefix, power in _PREFIXES[unit].items() if prefix != "c")
    fits = [step for step in steps if float(f"{abs(value):.{digits}g}") >= float(f"1e{step[0]}")]
    power, prefix = fits[-1] if fits else steps[0]
    number = Decimal(f"{value:.{digits}g}").scaleb(-power).normalize()
    shown = f"{number:f}" if -6 < number.adjusted() < 7 else f"{number:g}"
    return f"{shown} {prefix}{unit}"
