"""Logging: structlog, readable on a terminal and JSON otherwise.

Reconcilers log with `structlog.get_logger()` and nothing else: controller, namespace, name and reconcile_id
of the reconcile under way are on each line by themselves.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor


def configure_logging(
    *, level: str = "info", output: Literal["auto", "json", "console"] = "auto", stream: TextIO | None = None
) -> None:
    """Set up structlog and, for libraries that use it, the standard library's logging.

    `auto` is `console` where the stream is a terminal. Raises `ValueError` for an unknown level.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}; give debug, info, warning or error")
    if output == "auto":
        output = "console" if stream.isatty() else "json"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if output == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="ts")]
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
