"""`make demo`: real digits on EIE with a really pruned network, one layer of the paper's,
then every machine on the same digits, with a picture and a page."""

from collections.abc import Sequence
from pathlib import Path

from reports import compare, figures, ranking
from reports import page as pages
from reports.compare import Comparison
from reports.tables import footer, operations
from sim.files import write
from sim.result import Result
from sim.units import show
from tapeout import contest
from tapeout.session import run

DIGITS = 200
COMPARED = 50
"""Images of the comparison: its intervals are wide, and it is quick."""
OUT = Path("out/demo")
PAPER_FC7_S = 12.2e-6
"""AlexNet fc7 on 64 PEs, batch 1: Han et al., ISCA 2016, Table IV."""

NEXT = (
    "tapeout run eie alexnet-fc6 --check               both engines, every event compared",
    "tapeout run eie alexnet-fc7 --set pes=128         twice the processing elements",
    "tapeout reproduce eie                             every published figure beside ours",
)


def digits() -> Result:
    """LeNet-300-100, pruned and weight-shared, on held-out digits."""
    return run("eie", "lenet-300-100", batch=DIGITS)


def paper() -> Result:
    """AlexNet fc7 at the paper's densities, as printed."""
    return run("eie", "alexnet-fc7")


def story(first: Result, second: Result) -> str:
    """Both runs as lines of text."""
    total, accuracy = first.total, first.data.get("accuracy")
    fc7 = second.total["time_s"]
    right = f"{accuracy['top1']:.1%} of {accuracy['n']} digits right" if accuracy else "digits absent"
    return "\n".join(
        [
            f"LeNet-300-100, pruned and weight-shared, on EIE: {first.data['images']} held-out handwritten digits",
            f"  accuracy       {right}",
            f"  cycles         {total['cycles']:,} ({total['steady_cycles_per_image']:,.0f} an image)",
            f"  frames/s       {total['images_per_s']:,.0f}",
            f"  traffic        {show(float(sum(total['traffic_bytes'].values())), 'B')} over all on-chip memories",
            f"  energy         {show(total['energy_j'] / first.data['images'], 'J')} an image",
            f"  efficiency     {operations(total['ops_per_j'], 's/W')}, useful operations only",
            f"  numbers equal: {_equal(first)}",
            f"  {footer(first)}",
            "",
            "AlexNet fc7 on EIE, densities as the paper prints them",
            f"  ours           {show(fc7, 's')}",
            f"  paper          {show(PAPER_FC7_S, 's')} (ISCA 2016, Table IV)",
            f"  error          {fc7 / PAPER_FC7_S - 1:+.1%}",
            f"  numbers equal: {_equal(second)}",
            f"  {footer(second)}",
            "",
            "Next:",
            *(f"  .venv/bin/{line}" for line in NEXT),
        ]
    )


def _equal(result: Result) -> str:
    return "yes" if result.data["equivalence"]["passed"] else "NO"


def comparison(out: Path = OUT) -> Comparison:
    """Table A: every machine on the digits, each on its best variant; saved with its picture into `out`."""
    table = contest.compare("digits", [], COMPARED, False, None, "system", "raw", lambda what, done, steps: None)
    compare.save(table, out, "digits")
    points = ranking.rows(compare.records(table))
    figures.save(ranking.compared(points, table.boundary), points, out / "machines", "make demo")
    return table


def page(results: Sequence[Result], out: Path = OUT) -> Path:
    """One HTML file of these runs."""
    write(out / "page.html", pages.page(results, [], "Four machines, one task: handwritten digits"))
    return out / "page.html"


def main() -> None:
    """Tell the story, then compare the machines."""
    first, second = digits(), paper()
    print(story(first, second), flush=True)  # noqa: T201 - a script: printing is its job
    table = comparison()
    print(f"\n{compare.short(table)}\n")  # noqa: T201
    ran = [part.result for entry in table.order() for part in entry.parts]
    made = page([first, second, *ran])
    print(f"  table    {OUT}/digits.txt, with its rules and notes")  # noqa: T201
    print(f"  picture  {OUT}/machines.png\n  page     {made}")  # noqa: T201


if __name__ == "__main__":
    main()
