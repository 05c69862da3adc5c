"""The survey page: every row is there, every figure it claims is what the code gives, every other row has a reason."""

from pathlib import Path

import pytest

from reports import pruned, survey

CLAIMS = [claim for claim in survey.CLAIMS if "compression with" not in claim.what and not claim.run]
TABLE = "the same on the mobile GPU"
"""4.75 where its abstract says 3 to 4."""


def test_all_rows_are_there_once() -> None:
    found = survey.rows()
    assert [row.id for row in found] == list(range(1, 152))
    assert {row.kind for row in found} == {"W", "H", "H+W", "D", "T", "M"}
    assert {claim.row for claim in survey.CLAIMS} <= {row.id for row in found}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.row} {claim.what}")
def test_claims_stand_within_three_percent(claim: survey.Claim) -> None:
    assert abs(claim.error(claim.ours())) < (0.2 if claim.what == TABLE else 0.03)


def test_deep_compression_lies_between_fillers_and_none() -> None:
    with_fillers, without = (survey.coded("alexnet-deep-compression", survey.ALEXNET_MEANS, f) for f in (True, False))
    assert with_fillers < 35 < without
    assert (round(with_fillers, 1), round(without, 1)) == (32.9, 39.6)


def test_references_of_eie_follow_the_entries_and_not_their_places() -> None:
    assert pruned.reference_ratio() == pytest.approx(1, abs=0.01)


def test_a_range_has_no_error_inside() -> None:
    claim = survey.Claim(1, "", (3, 4), lambda: 5)
    assert [round(claim.error(ours), 2) for ours in (3.5, 5.0, 2.4)] == [0, 0.25, -0.2]


def test_every_other_row_says_why_not() -> None:
    assert all(len(survey.reason(row)) > 10 for row in survey.rows())


def test_the_page_in_the_gallery_has_a_line_for_every_row() -> None:
    text = Path(survey.PAGE).read_text(encoding="utf-8")
    for row in survey.rows():
        assert f"\n| {row.id} | " in text
    assert "python -m reports.survey" in text


def test_the_page_in_the_gallery_is_what_our_code_claims() -> None:
    """Every claim that is quick to compute, and every row without one; lines are found by their ends."""
    text = Path(survey.PAGE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    for claim in CLAIMS:
        ours = claim.ours()
        numbers = f"{survey._published(claim)} | {survey._number(ours)} | {claim.error(ours):+.1%}"
        end = f" | {claim.what} | {numbers} | {claim.why} |"
        assert any(line.endswith(end) for line in lines), f"stale: python -m tapeout.gallery survey: {end}"
    claimed = {claim.row for claim in survey.CLAIMS}
    for row in (row for row in survey.rows() if row.id not in claimed):
        assert survey._line(row, "", "", "", "", survey.reason(row)) in lines, (
            f"stale: python -m tapeout.gallery survey: {row.id}"
        )
