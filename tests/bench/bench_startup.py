"""Whole commands: what they cost before the work begins, and that the second of two compiles nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = ("run", "eie", "lenet-300-100")


def user(arguments, cache=None):
    """User CPU seconds of `tapeout ...`: what it costs whoever else uses the machine meanwhile."""
    variables = dict(os.environ) | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    before = os.times().children_user
    command = [Path(sys.executable).with_name("tapeout"), *arguments]
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, check=True)
    return os.times().children_user - before


@pytest.mark.parametrize(("arguments", "goal"), [(("--help",), 0.3), (RUN, 1.5)])
def test_start(table, arguments, goal):
    user(arguments)
    spent = min(user(arguments) for _ in range(5))
    table("Start", command=f"tapeout {' '.join(arguments)}", user_s=spent, goal=f"{goal} or less")


def test_the_second_run_compiles_nothing(table, tmp_path):
    """From an empty cache: the first run writes compiled code, the second none."""

    def kept():
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}

    first, files = user(RUN, tmp_path), kept()
    second = user(RUN, tmp_path)
    assert files
    assert kept() == files
    for which, spent, count in (("first", first, len(files)), ("second", second, 0)):
        told = f"tapeout {' '.join(RUN)}, {which}: {count} functions compiled"
        table("Start", command=told, user_s=spent, goal="")
