"""Does the README tell the truth: its Python runs, and its commands exist?"""

import re
from pathlib import Path

import pytest
import typer

from tapeout import cli, demo

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert "starved" in capsys.readouterr().out


def test_commands() -> None:
    """Every verb and option the README shows is one the command line has."""
    verbs = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    shown = re.findall(r"^    tapeout (\S+)(.*?)(?:#.*)?$", README, re.MULTILINE)
    assert len(shown) > 5
    for verb, rest in shown:
        options = {name for option in verbs[verb].params for name in option.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, verb


def test_demo() -> None:
    text = demo.story(demo.paper(), demo.paper())
    assert text.count("numbers equal: yes") == 2
    assert re.search(r"paper +12\.2 us", text)
    assert re.search(r"error +[+-]\d+\.\d%", text)
