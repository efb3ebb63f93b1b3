"""Logging: structlog, readable on a terminal and JSON otherwise.

Reconcilers log with `structlog.get_logger()` and nothing else: controller, namespace, name and reconcile_id
of the reconcile under way are on each line by themselves.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

from disvc.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


def configure_logging(
    *, level: str = "info", output: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """Set up structlog and, for libraries that use it, the standard library's logging.

    `auto` is `console` where the stream is a terminal. Raises `ConfigurationError` for an unknown level.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigurationError(f"unknown log level {level!r}; give debug, info, warning or error")
    if output == "auto":
        output = "console" if stream.isatty() else "json"
    on_terminal = output == "console"
    clock = structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if on_terminal else "iso", utc=not on_terminal, key="ts")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        clock,
        structlog.processors.StackInfoRenderer(),
        _tidy,
    ]
    last: list[Processor]
    if on_terminal:
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            timestamp_key="ts",
            sort_keys=False,
            # Without local variables, which other formatters show: a Secret may be among them.
            exception_formatter=structlog.dev.plain_traceback,
        )
        last = [_shorten, renderer]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler: Any = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[
        structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last,
    ], foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared]))  # fmt: skip
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


_FIRST = ("ts", "level", "event", "controller", "namespace", "name")


def _tidy(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put what every line has first, in one order, and leave out what has no value."""
    ordered: EventDict = {key: event[key] for key in _FIRST if key in event}
    ordered.update(event)
    return {key: value for key, value in ordered.items() if value is not None}


def _shorten(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cut down what is only for machines to compare, so that a line fits a terminal."""
    event["ts"] = event["ts"][:-3]
    if "reconcile_id" in event:
        event["reconcile_id"] = event["reconcile_id"][:8]
    return event
