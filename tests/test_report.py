"""The page: one file that needs no network, the same numbers as the results, and alive in a real browser."""

import csv
import html as entities
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reports import page, points, stored
from sim.errors import InputError
from sim.units import show
from tapeout import run
from tapeout.cli import app

pytest.importorskip("plotly", reason="the extra `page` is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

SPY = """<script>
window.said = []; addEventListener("error", (e) => said.push(String(e.message)));
console.error = (...words) => said.push(words.join(" "));
</script>"""
TOUCH = """<script>
addEventListener("load", () => setTimeout(() => {
  const out = { errors: window.said, plots: document.querySelectorAll(".plot .main-svg").length };
  const first = (id) => document.querySelector(`#${id} tbody tr`).cells[0].textContent;
  const heads = [...document.querySelectorAll("#layers0 thead button")];
  if (heads.length) {
    heads[2].click(); out.least = first("layers0"); heads[2].click(); out.most = first("layers0");
    out.sorted = heads[2].closest("th").getAttribute("aria-sort");
    document.querySelector("#layers0 button[data-details]").click();
    out.layer = document.getElementById("d0").textContent;
    document.getElementById("stalls0").emit("plotly_click", { points: [{ x: "fc2", data: {}, pointNumber: 1 }] });
    out.clicked = document.getElementById("d0").textContent;
  }
  const filter = document.querySelector("input[data-filters='metrics']");
  if (filter) {
    filter.value = "steady"; filter.dispatchEvent(new Event("input"));
    out.left = document.getElementById("metrics-said").textContent;
  }
  document.querySelector("[data-theme-switch]").click(); out.theme = document.documentElement.dataset.theme;
  if (document.getElementById("front0")) {
    const front = document.getElementById("front0");
    front.emit("plotly_click", { points: [{ data: front.data[0], pointNumber: 0 }] });
    out.point = document.getElementById("inspect0").textContent;
  }
  out.width = document.documentElement.scrollWidth; out.window = innerWidth;
  const nav = performance.getEntriesByType("navigation")[0]; out.loaded_ms = nav.loadEventStart;
  const node = document.createElement("pre");
  node.id = "verdict"; node.textContent = JSON.stringify(out); document.body.append(node);
}, 300));
</script>"""


def visit(path: Path, width: int = 1200) -> dict[str, object]:
    """What a browser found: errors said, plots drawn, what clicks showed."""
    text = path.read_text(encoding="utf-8")
    watched = path.with_name(f"watched-{path.name}")
    watched.write_text(
        text.replace("<head>", f"<head>{SPY}", 1).replace("</body>", f"{TOUCH}</body>", 1), encoding="utf-8"
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", f"--window-size={width},900"]
    words = [str(BROWSER), *flags, f"--user-data-dir={path.parent / 'profile'}", "--dump-dom", watched.as_uri()]
    seen = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<pre id="verdict">(.*?)</pre>', seen, re.DOTALL)
    assert found, "the page did not come to an end"
    verdict = json.loads(entities.unescape(found[1]))
    assert isinstance(verdict, dict)
    return verdict


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    run("eie", "lenet-300-100", batch=3).save(out)
    run("eie", "lenet5-shared4", settings={"pes": 32}).save(out)
    return out


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up exploration of 10,000 points."""
    out = tmp_path_factory.mktemp("study")
    rows = [
        {"key": f"{n:032x}", "arch": "eie", "workload": "lenet-300-100", "pes": 1 + n % 97, "queue_depth": 2 + n % 31,
         "status": "done", "feasible": True, "front": n % 500 == 0, "why": "", "time_s": 1e-6 * (1 + n % 997),
         "ops_per_j": 1e10 * (1 + n % 89)}
        for n in range(10_000)
    ]  # fmt: skip
    with open(out / "points.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    goals = [{"minimise": "time_s", "maximise": None}, {"minimise": None, "maximise": "ops_per_j"}]
    front = [
        {"key": r["key"], "arch": "eie", "workload": "lenet-300-100", "settings": {"pes": r["pes"]},
         "figures": {"time_s": r["time_s"], "ops_per_j": r["ops_per_j"]}, "command": "tapeout run"}
        for r in rows if r["front"]
    ]  # fmt: skip
    counts = {"asked": 10_000, "done": 10_000, "failed": 0, "lost": 0, "feasible": 10_000}
    said = {
        "schema": points.SCHEMA,
        "study": {"question": "Made up?", "objectives": goals},
        "points": counts,
        "front": front,
    }
    (out / "study.json").write_text(json.dumps(said))
    return out


def test_the_page_is_one_file_without_network(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    answer = CliRunner().invoke(app, ["report", str(results), "--out", str(target)])
    assert answer.exit_code == 0, answer.output
    text = target.read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#|data:)', own) and "@import" not in own
    assert len(text.encode()) < 6_000_000
    for result in stored.read_all([results]):
        assert f"{result.total['cycles']:,}" in text and page.name(result) in text


def test_energy_stacks_say_whose_interval_it_is(results: Path) -> None:
    found = stored.read_all([results])
    text = page.page(found, [])
    for result in found:
        low, _, high = result.total["energy_interval_j"]
        ends = f"{show(low, 'J', 3)} to {show(high, 'J', 3)}"
        said = f"the range of the constants is that of the total, {ends}, not of a layer"
        assert f"<figcaption>Energy of each layer by component, nominal; {said}." in text


def test_same_results_same_bytes(results: Path) -> None:
    found = stored.read_all([results])
    assert page.page(found, []) == page.page(found, [])


def test_shares_of_a_layer_add_up(results: Path) -> None:
    """Useful and stalled unit-cycles fill each bar."""
    for result in stored.read_all([results]):
        layers = [layer for layer in result.layers if "skipped" not in layer]
        spec = page.stalls(layers)
        for n in range(len(layers)):
            assert sum(trace["y"][n] for trace in spec["data"]) == pytest.approx(1)


@browser
def test_in_a_browser(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    found = stored.read_all([results])
    target.write_text(page.page(sorted(found, key=page.name), []), encoding="utf-8")
    seen = visit(target)
    assert seen["errors"] == []
    assert int(str(seen["plots"])) >= 7
    assert (seen["least"], seen["most"], seen["sorted"]) == ("fc3", "fc1", "descending")
    assert "fc1 (linear)" in str(seen["layer"]) and "fc2 (linear)" in str(seen["clicked"])
    assert seen["theme"] in ("dark", "light") and str(seen["left"]).startswith("1 of")


@browser
def test_on_a_phone_the_page_does_not_overflow(results: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text(page.page(stored.read_all([results]), []), encoding="utf-8")
    seen = visit(target, width=500)
    assert int(str(seen["width"])) <= int(str(seen["window"]))


@browser
def test_ten_thousand_points(study: Path, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    target = tmp_path / "page.html"
    target.write_text(page.page([], [points.read(study)]), encoding="utf-8")
    assert target.stat().st_size < 15_000_000
    seen = visit(target)
    assert seen["errors"] == []
    assert "tapeout run eie lenet-300-100 --set pes=" in str(seen["point"])
    record_property("loaded_ms", seen["loaded_ms"])  # told, not gated: machines are busy


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to show"):
        page.page([], [])
    (tmp_path / "study.json").write_text('{"schema": "other"}')
    (tmp_path / "points.csv").write_text("key\n")
    with pytest.raises(InputError, match="schema"):
        points.read(tmp_path)
