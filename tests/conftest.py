"""Fixtures every test file may use."""

import os
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of reference data: $TAPEOUT_DATA, or ../shared/data beside the repository. Without it: skip."""
    folder = Path(os.environ.get("TAPEOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data absent: {folder} (set TAPEOUT_DATA)")
    return folder


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What tests recorded (installed size, largest modules), and how many were skipped."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    recorded = {name: value for report in reports for name, value in getattr(report, "user_properties", [])}
    for name, value in sorted(recorded.items()):
        terminalreporter.write_line(f"{name}: {value}")
    terminalreporter.write_line(f"skipped tests: {len(terminalreporter.stats.get('skipped', []))}")
