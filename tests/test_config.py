"""Is the YAML we read the YAML 1.2 that people mean, and does every mistake say where it is?"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from sim.config import MAX_BYTES, Hertz, Spec, load, parse_yaml, read_yaml
from sim.errors import InputError


class Queue(Spec):
    depth: Annotated[int, Field(ge=2)] = 8


class Settings(Spec):
    pes: Annotated[int, Field(ge=1)] = 64
    clock: Hertz = 800e6
    mode: Literal["paper", "full"] = "full"
    queue: Queue = Queue()
    queues: dict[str, Queue] = Field(default_factory=dict)
    kernel: tuple[int, int] = (3, 3)
    check: bool = False


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("8e6", 8e6),
        ("800e6", 800e6),
        ("1e-9", 1e-9),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ("'8'", "8"),
        ("[1, 2.0, x]", (1, 2.0, "x")),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("1: x", {"1": "x"}),
    ],
)
def test_scalars(text: str, value: object) -> None:
    found = parse_yaml(text).data
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f:3:1: a: a duplicate key; it stands on line 1 already"),
        ("a: &x [1]\nb: *x", "f:1:4: a: an anchor or alias; allowed: values written out"),
        ("a: !!python/object:os.system 1", "f:1:4: a: a tag tag:yaml.org,2002:python/object:os.system;"),
        ("[" * 200 + "]" * 200, "f:1:34: nested deeper than 32 levels"),
        ("[" * 50_000, "f:1:34: nested deeper than 32 levels"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document; allowed: one per file"),
        ("a: [1", "f:2:1: not YAML: did not find expected ',' or ']'"),
        ("a: \x00", "f: not YAML: "),
        ("[a]: 1", "f:1:1: a key that is not plain text"),
        ("a: " + "9" * 5000, "f:1:4: a: a number of 5000 digits; allowed: 64 bits"),
    ],
)
def test_refused_text(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value).startswith(message)


@given(st.text(max_size=60))
def test_any_text_is_data_or_an_input_error(text: str) -> None:
    try:
        parse_yaml(text)
    except InputError as error:
        assert "\n" not in str(error)


@given(st.text(max_size=20), st.text(st.characters(), max_size=40))
def test_any_setting_is_taken_or_an_input_error(key: str, value: str) -> None:
    for name in (key, "clock", "queue.depth", "kernel"):
        try:
            load(Settings, settings={name: value})
        except InputError as error:
            assert error.where == "--set"


def test_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "big.yaml").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="larger than"):
        read_yaml(tmp_path / "big.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    with pytest.raises(InputError, match="not UTF-8 text: byte 3"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml").data is None
    assert load(Settings, tmp_path / "empty.yaml") == Settings()


def test_file_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("pes: 32\nclock: 1.2 GHz\nqueue: {depth: 4}\nkernel: [5, 5]\n")
    spec = load(Settings, path, {"pes": "16", "queue.depth": "2", "mode": "paper", "kernel": "[1, 1]"})
    assert spec == Settings(pes=16, clock=1.2e9, mode="paper", queue=Queue(depth=2), kernel=(1, 1))
    assert load(Settings, settings={"kernel": [7, 7], "pes": 8}) == Settings(kernel=(7, 7), pes=8)
    assert load(Settings, settings={"pes": np.int64(8), "clock": np.float32(1e6)}) == Settings(pes=8, clock=1e6)
    assert load(Settings, path, {"clock": 400e6}).clock == load(Settings, path, {"clock": "400 MHz"}).clock == 4e8
    with pytest.raises(ValidationError, match="frozen"):
        spec.pes = 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pes: 8\nqueu: {depth: 4}\n", "f:2:1: queu: unknown setting; did you mean queue?"),
        ("queue:\n  dept: 4\n", "f:2:3: queue.dept: unknown setting; did you mean depth?"),
        ("queues:\n  a: {depht: 4}\n", "f:2:7: queues.a.depht: unknown setting; did you mean depth?"),
        ("queue: {depth: 1}", "f:1:9: queue.depth: found 1; allowed: 2 or more"),
        ("pes: -4", "f:1:1: pes: found -4; allowed: 1 or more"),
        ("pes: 4.5", "f:1:1: pes: found 4.5; allowed: an integer"),
        ("pes: true", "f:1:1: pes: found True; allowed: an integer"),
        ("pes: '8'", "f:1:1: pes: found '8'; allowed: an integer"),
        ("clock: 800 MW", "f:1:1: clock: found '800 MW'; allowed: a number and one of Hz, kHz, MHz, GHz, THz"),
        (
            "clock: 8e8",
            "f:1:1: clock: found 800000000.0 without a unit; allowed: with its unit, as in '800000000.0 Hz'",
        ),
        ("mode: papr", "f:1:1: mode: found 'papr'; did you mean paper?"),
        ("check: on", "f:1:1: check: found 'on'; allowed: a boolean"),
        ("kernel: [1]", "f:1:1: kernel.1: missing; it has no default"),
        ("- pes", "f:1:1: found a list or a single value; allowed: settings"),
    ],
)
def test_mistakes_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text(text)
    with pytest.raises(InputError) as caught:
        load(Settings, "f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pez", "3", "--set: pez: unknown setting; did you mean pes?"),
        ("pes", "-3", "--set: pes: found -3; allowed: 1 or more"),
        ("pes", "many", "--set: pes: found 'many'; allowed: an integer"),
        ("clock", "5 pJ", "--set: clock: found '5 pJ'; allowed: a number and one of Hz"),
        ("clock", "[", "--set: clock: not YAML"),
        ("clock", "0 MHz", "--set: clock: found 0.0; allowed: more than 0"),
        ("clock", "-1 MHz", "--set: clock: found -1000000.0; allowed: more than 0"),
        ("clock", "400", "--set: clock: found 400 without a unit"),
        ("queue.x", "1", "--set: queue.x: unknown setting; allowed: depth"),
        ("pes.x", "1", "--set: pes: found {'x': 1}; allowed: an integer"),
    ],
)
def test_mistakes_in_settings(tmp_path: Path, key: str, value: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("pes: 32\n")
    for file in (None, path):
        with pytest.raises(InputError) as caught:
            load(Settings, file, {key: value})
        assert str(caught.value).startswith(message)
