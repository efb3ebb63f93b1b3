"""docs/reference/disvc.md tells every reason and every phase, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from disvc.api.status import Phase
from disvc.rollout.conditions import REASONS

PAGE = (Path(__file__).parents[2] / "docs/reference/disvc.md").read_text()


def rows(heading: str) -> dict[str, str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))


def test_each_reason_is_explained_on_the_page_as_in_the_code() -> None:
    assert rows("Reasons") == REASONS


def test_each_phase_is_explained_on_the_page() -> None:
    assert set(rows("Phases")) == {str(phase) for phase in Phase}
