"""The pages hang together: every link leads somewhere, and every piece of code is a piece of a file that is run.

A fenced block of code names its file, relative to the page, after the language: GitHub shows only the language.
The files are run by `test_docs_tutorial` and `test_docs_how_to`; the reference is held by `test_docs_reference`.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "cmd").rglob("*.md")]
NOT_A_FILE = {"console", "sh", "mermaid", "text"}


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text())


def links(page: Path) -> Iterator[str]:
    for token in chain.from_iterable(token.children or () for token in tokens(page)):
        if token.type == "link_open":
            yield str(token.attrs["href"])


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to the page's headings."""
    headings = [
        following.content
        for token, following in zip(tokens(page), tokens(page)[1:], strict=False)
        if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page_ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_every_block_of_code_is_a_piece_of_the_file_that_it_names(page: Path) -> None:
    for block in tokens(page):
        language, _, name = block.info.partition(" ")
        if block.type == "fence" and language not in NOT_A_FILE:
            assert name, f"this block does not name its file:\n{block.content}"
            assert block.content in (page.parent / name).read_text(), f"{name} has no such piece:\n{block.content}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, to_look_at = set(), [ROOT / "README.md"]
    while to_look_at:
        page = to_look_at.pop().resolve()
        if page.suffix == ".md" and page not in reached:
            reached.add(page)
            to_look_at += [page.parent / link.partition("#")[0] for link in links(page) if "://" not in link]
    assert {page for page in PAGES if "docs" in page.parts} <= reached
