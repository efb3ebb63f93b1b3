"""How a program starts: a connection to its cluster, and an event loop that ends with an exit code.

async def main() -> None:
async with connect() as transport:
manager = Manager(transport)
manager.add(Controller("sites", for_=SITES, reconciler=Sites(manager)))
await manager.run()

run(main())
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from disvc.runtime.errors import RuntimeFailure
from disvc.runtime.logs import configure_logging

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Coroutine

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Transport

_log = structlog.get_logger("disvc")


@asynccontextmanager
async def connect(
    kubeconfig: str | os.PathLike[str] | None = None,
    *,
    context: str | None = None,
    environment: Environment | None = None,
) -> AsyncIterator[Transport]:
    """Open a connection to a cluster over HTTP; see `connection.connect`.

    kubernetes_asyncio, which knows kubeconfigs and credentials, is imported only here: it costs 65 MB.
    """
    from disvc.runtime.connection import connect as connect_over_http

    async with connect_over_http(kubeconfig, context=context, environment=environment) as transport:
        yield transport


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program's main coroutine, on uvloop where there is one; set up logging if the program has not.

    Exits with 1 and one line in the log where it ends with one of this library's errors.
    """
    if not structlog.is_configured():
        configure_logging()
    try:
        import uvloop
    except ImportError:
        new_loop = asyncio.new_event_loop
    else:
        new_loop = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main)
    except RuntimeFailure as error:
        _log.error("exiting", error=str(error), kind=type(error).__name__)
        sys.exit(1)
