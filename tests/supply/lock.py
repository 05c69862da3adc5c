"""The locked environment: hashes of its files, and the licences of what is in it.

    .venv/bin/python -m tests.supply.lock            # requirements-hashes.txt and reports/gallery/licences.md again

Hashes are those of the files that pip takes on this platform (they are named at the top); versions are those of
requirements-dev.txt. In an empty environment: `pip install --require-hashes -r requirements-hashes.txt`.
"""

import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCK, HASHES, LICENCES = (
    ROOT / "requirements-dev.txt",
    ROOT / "requirements-hashes.txt",
    ROOT / "reports/gallery/licences.md",
)


def locked() -> dict[str, str]:
    """Version by name, as requirements-dev.txt has them."""
    lines = (line.partition("#")[0].strip() for line in LOCK.read_text().splitlines())
    return dict(line.split("==", 1) for line in lines if line)


def hashes() -> str:
    """requirements-hashes.txt, from what pip would take."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--quiet",
                   "--requirement", str(LOCK), "--report", str(report)]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return hashed(json.loads(report.read_text()))


def hashed(report: dict[str, Any]) -> str:
    """The file's text from pip's own report of an installation."""
    found = {}
    for entry in report["install"]:
        digest = entry["download_info"]["archive_info"]["hashes"]["sha256"]
        found[canonical(entry["metadata"]["name"])] = f"    --hash=sha256:{digest}"
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    head = (
        f"# requirements-dev.txt with hashes, for {python} on {sysconfig.get_platform()}; made by tests/supply/lock.py."
    )
    pinned = [f"{name}=={version} \\\n{found[canonical(name)]}" for name, version in locked().items()]
    return "\n".join([head, *pinned]) + "\n"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """What a package says its licence is: the SPDX expression, the field, or the classifiers."""
    about = distribution(name).metadata
    field = about.get("License") or ""
    named = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or () if line.startswith("License ::")]
    short = field if field and "\n" not in field and len(field) < 60 else ""
    return about.get("License-Expression") or short or ", ".join(named) or "not said"


def licences() -> str:
    """The page: every locked package, its version and licence, and the counts."""
    rows = {}
    for name, version in locked().items():
        try:
            rows[name] = (version, licence(name))
        except PackageNotFoundError:
            rows[name] = (version, "not installed here")
    table = [f"| {name} | {version} | {said.replace('|', '/')} |" for name, (version, said) in rows.items()]
    return "\n".join([HEAD, "| package | version | licence, as it says itself |", "|---|---|---|", *table]) + "\n"


HEAD = """# Licences

Of everything in the locked development environment (`requirements-dev.txt`), as each package's own metadata says it.
`.venv/bin/python -m tests.supply.lock` makes this page again; a test compares it with the locked versions.
"""


def main() -> None:
    HASHES.write_text(hashes())
    LICENCES.write_text(licences())


if __name__ == "__main__":
    main()
