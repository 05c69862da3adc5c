"""The survey page: every row is there, every figure it claims is what the code gives, every other row has a reason."""

from pathlib import Path

import pytest

from reports import survey

CLAIMS = [claim for claim in survey.CLAIMS if "compression with" not in claim.what]


def test_all_rows_are_there_once() -> None:
    found = survey.rows()
    assert [row.id for row in found] == list(range(1, 152))
    assert {row.kind for row in found} == {"W", "H", "H+W", "D", "T", "M"}
    assert {claim.row for claim in survey.CLAIMS} <= {row.id for row in found}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.row} {claim.what}")
def test_claims_stand_within_three_percent(claim: survey.Claim) -> None:
    assert claim.ours() == pytest.approx(claim.published, rel=0.03)


def test_deep_compression_lies_between_fillers_and_none() -> None:
    with_fillers, without = (survey.coded("alexnet-deep-compression", survey.ALEXNET_MEANS, f) for f in (True, False))
    assert with_fillers < 35 < without
    assert (round(with_fillers, 1), round(without, 1)) == (32.9, 39.6)


def test_every_other_row_says_why_not() -> None:
    assert all(len(survey.reason(row)) > 10 for row in survey.rows())


def test_the_page_in_the_gallery_has_a_line_for_every_row() -> None:
    text = Path(survey.PAGE).read_text(encoding="utf-8")
    for row in survey.rows():
        assert f"\n| {row.id} | " in text
    assert "python -m reports.survey" in text
