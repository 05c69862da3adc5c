"""Do quantities mean what they say, to the last bit?"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import InputError
from sim.units import parse, scales, show


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("800 MHz", "Hz", 800e6),
        ("1.25GHz", "Hz", 1.25e9),
        ("5 pJ", "J", 5e-12),
        ("1.9 mm2", "m2", 1.9e-6),
        ("40 µm²", "m2", 40e-12),
        ("12.5 GB/s", "B/s", 12.5e9),
        ("20 pJ/bit", "J/bit", 20e-12),
        ("32 KiB", "B", 32768.0),
        ("32 kB", "B", 32000.0),
        ("1e3 ns", "s", 1e-6),
        ("-0.6 V", "V", -0.6),
        ("0 W", "W", 0.0),
    ],
)
def test_parse(text: str, unit: str, value: float) -> None:
    assert parse(text, unit) == value


@pytest.mark.parametrize("text", ["800", "800 MW", "MHz", "800 mhz", "", "1,5 MHz", "1e999 MHz", "nan MHz", "0x10 MHz"])
def test_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, "Hz")
    assert repr(text) in str(caught.value)
    assert "allowed: a number and one of Hz, kHz, MHz, GHz, THz" in str(caught.value)


def test_a_unit_in_the_wrong_case_is_recognised() -> None:
    with pytest.raises(InputError, match=r"did you mean MHz\?"):
        parse("800 mhz", "Hz")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8e8, "Hz", "800 MHz"),
        (0.0, "W", "0 W"),
        (0.5904, "W", "590.4 mW"),
        (40.8e-6, "m2", "40.8 mm2"),
        (999.96, "Hz", "1 kHz"),
        (1e-18, "J", "0.001 fJ"),
        (12.5e9, "B/s", "12.5 GB/s"),
        (-5e-12, "J", "-5 pJ"),
    ],
)
def test_show(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


@given(st.floats(1e-15, 1e12), st.sampled_from(["Hz", "s", "J", "W", "V", "m2", "B", "B/s", "J/bit"]))
def test_shown_quantities_read_back(value: float, unit: str) -> None:
    assert parse(show(value, unit, digits=17), unit) == value


def test_every_unit_offers_itself() -> None:
    assert scales("B")["B"] == 1 and scales("J/bit")["pJ/bit"] == scales("J")["pJ"]


def test_every_prefix_is_worth_what_it_says() -> None:
    """Spelt out, so that no power of ten can slip."""
    si = {
        "f": "1e-15",
        "p": "1e-12",
        "n": "1e-9",
        "u": "1e-6",
        "m": "1e-3",
        "": "1",
        "k": "1e3",
        "M": "1e6",
        "G": "1e9",
    }
    large = {"": "1", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
    area = {"n": "1e-18", "u": "1e-12", "m": "1e-6", "c": "1e-4", "": "1"}
    binary = {"Ki": "1024", "Mi": "1048576", "Gi": "1073741824"}
    for unit, table in (("J", si | {"T": "1e12"}), ("Hz", large), ("m2", area), ("B", large | binary)):
        assert scales(unit) == {prefix + unit: Decimal(worth) for prefix, worth in table.items()}
