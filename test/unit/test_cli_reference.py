"""docs/reference/configuration.md lists every setting as the program has it."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt

from disvc.cli.command import options

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def test_every_setting_is_listed_with_its_flag_default_and_meaning() -> None:
    tokens = MarkdownIt().enable("table").parse(PAGE.read_text())
    opened = [number for number, token in enumerate(tokens) if token.type == "td_open"]
    cells = [tokens[number + 1].content for number in opened]
    rows = list(zip(*[iter(cells)] * 3, strict=True))
    assert rows == [
        (f"`{option.opts[0]}`", f"`{option.default}`" if option.default else "", option.help) for _, option in options()
    ]
