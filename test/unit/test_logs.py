"""Logging: JSON and readable lines, of this library and of others."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from disvc.runtime.logs import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Yield a stream to log to, and put logging back afterwards as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_time_level_event_and_what_is_bound(stream: io.StringIO) -> None:
    configure_logging(output="json", stream=stream)
    with bound_contextvars(controller="sites", namespace="default", name="a", reconcile_id="1"):
        structlog.get_logger().info("created", page="p")
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "event": "created",
        "level": "info",
        "page": "p",
        "controller": "sites",
        "namespace": "default",
        "name": "a",
        "reconcile_id": "1",
    }


def test_an_exception_is_one_json_line_with_its_traceback(stream: io.StringIO) -> None:
    configure_logging(output="json", stream=stream)
    try:
        raise ValueError("no")
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = lines(stream)
    assert "ValueError: no" in line["exception"]
    assert "Traceback" in line["exception"]


def test_what_json_cannot_show_is_shown_as_python_does(stream: io.StringIO) -> None:
    configure_logging(output="json", stream=stream)
    structlog.get_logger().info("odd", value={1j})
    assert lines(stream)[0]["value"] == "{1j}"


def test_libraries_log_in_the_same_form_with_what_is_bound_from_warnings_on(stream: io.StringIO) -> None:
    configure_logging(output="json", stream=stream)
    library = logging.getLogger("aiohttp.client")
    with bound_contextvars(controller="sites"):
        library.warning("slow answer after %d s", 5)
        library.info("not this")
    (line,) = lines(stream)
    assert line.pop("ts")
    assert line == {
        "event": "slow answer after 5 s",
        "level": "warning",
        "logger": "aiohttp.client",
        "controller": "sites",
    }


def test_an_exception_of_a_library_is_one_json_line(stream: io.StringIO) -> None:
    configure_logging(output="json", stream=stream)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    (line,) = lines(stream)
    assert "ValueError: no" in line["exception"]


def test_the_readable_form_is_no_json(stream: io.StringIO) -> None:
    configure_logging(output="console", stream=stream)
    structlog.get_logger().warning("created", page="p")
    text = stream.getvalue()
    assert "created" in text
    assert "page=p" in text
    assert "\x1b" not in text  # colours are for terminals


def test_auto_is_readable_on_a_terminal_and_json_elsewhere(stream: io.StringIO) -> None:
    terminal = Terminal()
    configure_logging(stream=terminal)
    structlog.get_logger().info("created")
    assert "\x1b" in terminal.getvalue()
    configure_logging(stream=stream)
    structlog.get_logger().info("created")
    assert lines(stream)[0]["event"] == "created"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("WARNING", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_is_below_the_level_is_not_shown(stream: io.StringIO, level: str, shown: list[str]) -> None:
    configure_logging(level=level, output="json", stream=stream)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("x")
    assert [line["level"] for line in lines(stream)] == shown


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown log level 'loud'; give debug, info, warning or error"):
        configure_logging(level="loud")


def test_loggers_that_modules_made_when_imported_follow_the_configuration(stream: io.StringIO) -> None:
    early = structlog.get_logger("disvc.test")
    configure_logging(output="json", stream=stream)
    early.info("one")
    configure_logging(level="error", output="json", stream=stream)
    early.info("two")
    assert [line["event"] for line in lines(stream)] == ["one"]
