"""`make gallery`: every finished figure and page, remade from runs. `python -m tapeout.gallery [NAME]...` remakes some.

A figure is four files: PDF, SVG, PNG, and its points as CSV; `--column` draws it for one column of a paper instead, into
out/column. A test remakes the points (of slow figures some) and compares: what our code no longer makes is stale.
"""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reports import density, figures, survey
from tapeout import everywhere
from tapeout.pictures import FOLDER, PICTURES, Picture, Record

COLUMN = Path("out/column")
PAGES: dict[str, tuple[Path, Callable[[], str]]] = {
    "survey": (survey.PAGE, survey.page),
    "density": (density.PAGE, density.page),
    "zoo": (everywhere.PAGE, everywhere.page),
}


def text(records: Sequence[Record]) -> str:
    """Records as the CSV that stands beside a figure."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def make(picture: Picture, folder: Path = FOLDER, inches: float = figures.PAGE_INCHES) -> list[Path]:
    """Remake one figure: PDF, SVG, PNG and CSV."""
    records, source = picture.records(), f"python -m tapeout.gallery {picture.name}"
    return figures.save(picture.draw(records, inches), records, folder / picture.name, source)


def main(words: Sequence[str]) -> None:
    """Remake what is named, or everything."""
    names = [word for word in words if word != "--column"]
    column = len(names) < len(words)
    for picture in PICTURES:
        if not names or picture.name in names:
            place = (COLUMN, figures.COLUMN_INCHES) if column else (FOLDER, figures.PAGE_INCHES)
            for path in make(picture, *place):
                print(path)  # noqa: T201 - a script: printing is its job
    for name, (path, page) in PAGES.items():
        if not column and (not names or name in names):
            path.write_text(page(), encoding="utf-8")
            print(path)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
