"""How a program starts: a connection to its cluster, and an event loop that ends with an exit code.

    async def main() -> None:
        async with connect() as transport:
            manager = Manager(transport)
            manager.add(Controller("sites", for_=SITES, reconciler=Sites(manager)))
            await manager.run()

    run(main())

What `run` promises: the process ends when `main` does. Its exit code is 0, or 1 where `main` failed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from disvc.runtime.cancellation import cancel
from disvc.runtime.errors import RuntimeFailure
from disvc.runtime.logs import configure_logging

if TYPE_CHECKING:
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

    Exits with 1 and one line in the log where it ends with one of this library's errors. Tasks that `main` leaves
    behind are cancelled; should one go on nevertheless, the process exits with 1 and does not wait for it.
    """
    if not structlog.is_configured():
        configure_logging()
    try:
        import uvloop
    except ImportError:
        new_loop = asyncio.new_event_loop
    else:
        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(main)
        except RuntimeFailure as error:
            notes = getattr(error, "__notes__", None)  # which task of the manager raised it
            _log.error("exiting", error=str(error), kind=type(error).__name__, notes=notes)
            sys.exit(1)
        except KeyboardInterrupt:  # Ctrl-C before the manager runs, or twice at once; a traceback tells nobody anything
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        finally:
            deaf = runner.run(_cancel_what_is_left())
            if deaf:
                _log.error("exiting without the tasks that go on though they were cancelled", tasks=deaf)
                sys.stdout.flush()
                os._exit(1)  # anything gentler waits for them


async def _cancel_what_is_left() -> list[str]:
    """Cancel all other tasks, and return the names of those that go on nevertheless."""
    deaf = await cancel([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
    return [task.get_name() for task in deaf]
