"""docs/parity.md says where ours holds what the peers' suites pin down: this holds it against the tests there are.

What the page promises: a test's name alone is in a module that its section names above the table; `test_x.py::` before
it leads to another module, in test/unit where no folder is given, and `…` to the module of the name before.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"`([^`]*)`")
MODULE = re.compile(r"(?:test/\w+/)?test_\w+\.py")
REFERENCE = re.compile(rf"(?:({MODULE.pattern})::|(…))?(test_\w+)")
PATH = re.compile(r"(?:disvc|test|hack|docs|config|cmd)/[\w./-]*|\w+\.py")


@dataclass
class Section:
    title: str
    introduction: str = ""
    rows: list[str] = field(default_factory=list)

    @property
    def modules(self) -> list[str]:
        return [code for code in CODE.findall(self.introduction) if MODULE.fullmatch(code)]

    def tests(self) -> Iterator[tuple[list[str], str]]:
        """Yield each test that the table names, behind the modules in one of which it must be."""
        for row in self.rows:
            last: list[str] = []
            for code in CODE.findall(row):
                if match := REFERENCE.fullmatch(code):
                    module, same, name = match.groups()
                    last = [module] if module else last if same else self.modules
                    yield last, name


def sections() -> list[Section]:
    found: list[Section] = []
    for line in (ROOT / "docs/parity.md").read_text().splitlines():
        if line.startswith("## "):
            found.append(Section(line.removeprefix("## ")))
        elif found and line.startswith("|"):
            found[-1].rows.append(line)
        elif found:
            found[-1].introduction += line + "\n"
    return found


SECTIONS = sections()
each_section = pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)


def file(module: str) -> Path:
    return ROOT / (module if "/" in module else f"test/unit/{module}")


@cache
def functions_in(path: Path) -> set[str]:
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_the_page_has_sections_on_both_peers_and_names_hundreds_of_tests() -> None:
    assert {section.title.partition(":")[0] for section in SECTIONS} == {"client-go", "controller-runtime"}
    assert sum(1 for section in SECTIONS for _ in section.tests()) > 300


@each_section
def test_a_section_names_the_version_of_its_peer(section: Section) -> None:
    peer = section.title.partition(":")[0]
    assert re.search(rf"{peer} v\d+\.\d+\.\d+\b", section.introduction), f"which version of {peer}?"


@each_section
def test_every_test_that_it_names_is_in_the_module_where_it_says(section: Section) -> None:
    missing = [
        f"{name} is not in {' or '.join(modules) or 'a module: the section names none'}"
        for modules, name in section.tests()
        if not any(file(module).is_file() and name in functions_in(file(module)) for module in modules)
    ]
    assert not missing, "\n".join(missing)


@each_section
def test_no_name_of_a_test_is_written_otherwise(section: Section) -> None:
    text = section.introduction + "\n".join(section.rows)
    understood = [code for code in CODE.findall(text) if REFERENCE.fullmatch(code) or MODULE.fullmatch(code)]
    assert text.count("test_") == sum(code.count("test_") for code in understood)


@each_section
def test_every_file_that_it_names_exists(section: Section) -> None:
    text = section.introduction + "\n".join(section.rows)
    missing = [code for code in CODE.findall(text) if PATH.fullmatch(code) and not file(code).exists()]
    assert not missing
