"""Fixtures every test file may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of reference data: $TAPEOUT_DATA, or ../shared/data beside the repository. Absent, the test is skipped."""
    folder = Path(os.environ.get("TAPEOUT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"reference data absent: {folder} (set TAPEOUT_DATA)")
    return folder
