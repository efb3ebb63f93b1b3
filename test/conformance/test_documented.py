"""The reference page has the differential test's table of exceptions word for word."""

from __future__ import annotations

from pathlib import Path

from differential.rules import ARRANGED, RULES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "in-memory-api-server.md"


def test_the_page_lists_all_that_may_differ_and_nothing_else() -> None:
    text = PAGE.read_text().partition("| what may differ | why |\n| --- | --- |\n")[2]
    rows = text.partition("\n\n")[0].splitlines()
    assert rows == [f"| {rule.what} | {rule.reason} |" for rule in (*RULES, *ARRANGED)]
