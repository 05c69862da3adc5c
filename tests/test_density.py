"""The table of density errors: exact where it can be checked, and the finding it reports still stands."""

import numpy as np

from reports import density
from workloads import generate


def test_a_full_matrix_leaves_no_room_for_error() -> None:
    found = density.measure("full", np.ones((128, 40), dtype=bool))
    assert found.real == found.uniform == found.spread
    assert (found.row_cv, found.column_cv) == (0.0, 0.0)
    assert found.formula == round(density.ACTIVE * 40) * 2


def test_a_mask_drawn_with_spread_is_met_by_its_spread_and_missed_by_its_density() -> None:
    mask = generate.sparse(np.random.default_rng(0), (384, 1500), 0.08, row_cv=0.8, column_cv=1.5)
    found = density.measure("drawn", mask.decode() != 0)
    assert abs(found.row_cv - 0.8) < 0.15
    assert found.uniform < 0.85 * found.real
    assert abs(found.spread / found.real - 1) < abs(found.uniform / found.real - 1) / 2


def test_the_page_in_the_gallery_names_its_command() -> None:
    text = density.PAGE.read_text(encoding="utf-8")
    assert "python -m reports.density" in text
    assert "| uniform random |" in text


def test_the_page_in_the_gallery_is_what_our_code_measures() -> None:
    """One matrix of each network trained here; the others take minutes."""
    text = density.PAGE.read_text(encoding="utf-8")
    seen: set[str] = set()
    for name, pattern in density.matrices(density.TRAINED):
        network = name.rsplit(" ", 1)[0]
        if network not in seen:
            assert f"\n{density.line(density.measure(name, pattern))}\n" in text, (
                "stale: python -m tapeout.gallery density"
            )
        seen.add(network)
    assert len(seen) == len(density.TRAINED)
