"""The table of mutants: what was tried in which module, and every survivor with its reason (from survivors.yaml)."""

import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "reports" / "gallery"
REASONS = Path(__file__).with_name("survivors.yaml")
HEAD = """# Mutants of sim/

One small change at a time (a comparison, an operator, a constant off by one, a branch, a value not returned, a statement
left out); killed when a test fails. Remade by `make mutants`, by module: `make mutants MODULES="graph des"`. Where a
module has more mutants than are tried, the tried ones are drawn with a seed. Kernels run as plain Python.

"""


def known() -> dict[str, Any]:
    """What is known so far, by module."""
    path = FOLDER / "mutants.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(module: str, found: dict[str, Any]) -> None:
    """Put one module's result into the JSON beside the table."""
    text = json.dumps(dict(sorted((known() | {module: found}).items())), indent=1) + "\n"
    (FOLDER / "mutants.json").write_text(text, encoding="utf-8")


def write() -> None:
    """mutants.md from mutants.json and survivors.yaml."""
    rows, lists = ["| module | mutants | tried | killed | survived | without a reason | killed |", "|---" * 7 + "|"], []
    sums = [0, 0, 0, 0, 0]
    for module, found in known().items():
        why = {change["change"]: reason(module, change["change"]) for change in found["survived"]}
        open_ = sum(reason is None for reason in why.values())
        counts = [found["mutants"], found["tried"], found["tried"] - len(why), len(why), open_]
        sums = [a + b for a, b in zip(sums, counts)]
        rows.append(_row(f"sim/{module}.py", counts))
        if why:
            lists += ["", f"## sim/{module}.py", "", "| line | change | why it survives |", "|---|---|---|"]
            for change in found["survived"]:
                text = change["change"].replace("|", "\\|")
                lists.append(f"| {change['line']} | {text} | {why[change['change']] or '**a test is missing**'} |")
    text = HEAD + "\n".join([*rows, _row("**all**", sums), *lists]) + "\n"
    (FOLDER / "mutants.md").write_text(text, encoding="utf-8")


def reason(module: str, change: str) -> str | None:
    """The reason of the longest beginning of a change that has one: a reason may hold for a whole function."""
    reasons: dict[str, str] = (yaml.safe_load(REASONS.read_text(encoding="utf-8")) or {}).get(module, {})
    fits = [start for start in reasons if change.startswith(start)]
    return reasons[max(fits, key=len)] if fits else None


def _row(name: str, counts: list[int]) -> str:
    return f"| {name} | {' | '.join(map(str, counts))} | {counts[2] / counts[1]:.1%} |"


if __name__ == "__main__":
    write()
