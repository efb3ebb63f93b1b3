"""Holds the reference pages against the code: names, parameters, metrics, log lines, errors and numbers."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

import disvc.runtime
from disvc.api.status import Phase
from disvc.reconcilers.metrics import DomainMetrics
from disvc.runtime import Controller, Key, LeaderElection, Manager, Request, Resource, errors
from disvc.testing.stub import StubServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
RUNTIME = Path(disvc.runtime.__file__).parent
CLI = RUNTIME.parent / "cli"
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
UNITS = {"": 1, "ms": 0.001, "s": 1, "min": 60, "h": 3600}


class Table:
    """A table of a page: the heading it stands under, and its cells as they are written."""

    def __init__(self, heading: str) -> None:
        self.heading = heading
        self.rows: list[list[str]] = []

    @property
    def kind(self) -> str:
        return self.rows[0][0]


def tables(page: str) -> Iterator[Table]:
    heading, table = "", Table("")
    tokens: list[Token] = MarkdownIt().enable("table").parse((REFERENCE / page).read_text())
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        match token.type:
            case "heading_open" if following is not None:
                heading = following.content
            case "table_open":
                table = Table(heading)
            case "tr_open":
                table.rows.append([])
            case "th_open" | "td_open" if following is not None:
                table.rows[-1].append(following.content)
            case "table_close":
                yield table


def rows(page: str) -> list[list[str]]:
    """Return the cells of a page's tables, without their heads."""
    return [row for table in tables(page) for row in table.rows[1:]]


def code(cell: str) -> str:
    """Return what stands between the first backticks."""
    found = re.search("`(.+?)`", cell)
    assert found is not None, f"{cell!r} has no code in it"
    return found[1]


def linked(cell: str) -> Path:
    found = re.search(r"\]\((.+?)\)", cell)
    assert found is not None, f"{cell!r} has no link in it"
    return (REFERENCE / found[1]).resolve()


def test_every_public_name_is_listed_with_its_source() -> None:
    listed = {
        code(row[0]): linked(row[0]) for table in tables("README.md") if table.kind == "name" for row in table.rows[1:]
    }
    assert sorted(listed) == sorted(disvc.runtime.__all__)
    for name, source in listed.items():
        module = importlib.import_module(getattr(disvc.runtime, name).__module__)
        assert str(source) == module.__file__, name


def test_every_parameter_is_listed_with_its_default() -> None:
    found = [table for table in tables("README.md") if table.kind == "parameter"]
    assert found
    for table in found:
        parameters = inspect.signature(getattr(disvc.runtime, table.heading)).parameters
        assert [code(row[0]) for row in table.rows[1:]] == list(parameters), table.heading
        for name, default, _ in table.rows[1:]:
            actual = parameters[code(name)].default
            if actual is dict:
                assert default == "`dict`"
            elif default.startswith("`"):
                assert ast.literal_eval(code(default)) == actual, (table.heading, name)
            else:
                assert default or actual is inspect.Parameter.empty, (table.heading, name)


async def test_every_member_is_listed() -> None:
    found = [table for table in tables("README.md") if table.kind == "member"]
    assert found
    for table in found:
        members = set(vars(getattr(disvc.runtime, table.heading)))
        if table.heading == "Manager":
            members |= set(vars(Manager(StubServer().transport())))
        listed = {code(row[0]).partition("(")[0] for row in table.rows[1:]}
        assert listed == {name for name in members if not name.startswith("_")}, table.heading


def test_every_error_is_listed_under_what_it_is() -> None:
    listed = {code(name): code(base) for name, base, *_ in rows("errors.md")}
    assert listed == {
        name: error.__base__.__name__
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, errors.RuntimeFailure) and error.__base__ is not None
    }


class Nothing:
    async def reconcile(self, request: Request) -> None:
        pass


async def test_every_metric_is_listed_with_its_type_and_labels() -> None:
    """The library's and the operator's; a family has its labels on a sample, so there must be an object."""
    server, stop = StubServer(), asyncio.Event()
    election = LeaderElection(name="lease", namespace="default")
    manager = Manager(server.transport(), leader_election=election)
    manager.add(Controller("nothing", for_=CONFIG_MAPS, reconciler=Nothing()))
    DomainMetrics(manager.metrics.registry).observe(Key("default", "a"), Phase.STABLE, 1, 0)
    actual = {}
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stop=stop, handle_signals=False))
        await manager.informers.synced()
        for family in manager.metrics.registry.collect():
            if family.name.startswith(("process_", "python_")):
                continue
            labels = [label for label in family.samples[0].labels if label != "le"]
            name = family.name + ("_total" if family.type == "counter" else "")
            actual[name] = (family.type, sorted(labels))
        stop.set()
    listed = {
        code(name): (kind, sorted(filter(None, labels.split(", ")))) for name, kind, labels, _ in rows("metrics.md")
    }
    assert listed == actual


def logged(call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield the lines that a call may log, with their level."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    match call.func:
        case ast.Attribute(value=logger, attr=level) if level in levels and ast.unparse(logger).endswith("_log"):
            for text in ast.walk(call.args[0]):
                if isinstance(text, ast.Constant):
                    yield str(text.value), "error" if level == "exception" else level


def test_every_log_line_is_listed_with_its_level() -> None:
    listed = {(code(line), level) for line, level, *_ in rows("log.md")}
    in_code = {
        line
        for file in (*RUNTIME.glob("*.py"), *CLI.glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        for line in logged(node)
    }
    assert listed == in_code


@pytest.mark.parametrize("row", [pytest.param(row, id=row[0]) for row in rows("numbers.md")])
def test_a_number_is_the_codes(row: list[str]) -> None:
    _, number, source = row
    text = code(source).replace(r"\|", "|")
    assert text in linked(source).read_text()
    value, _, unit = number.replace(",", "").partition(" ")
    literals: list[Any] = [float(literal) for literal in re.findall(r"-?\d[\d_]*(?:\.\d+)?", text)]
    assert float(value) * UNITS[unit] in literals
