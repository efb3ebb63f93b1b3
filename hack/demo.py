"""`make demo`: three workflows, scaling, good and bad rollouts under load, with models that really answer.

It needs Python packages only. It ends with 0 when all that it promises was so; docs/how-to/try-it.md says more.
"""

from __future__ import annotations

import sys

try:
    import asyncio
    import signal
    from pathlib import Path
    from typing import TYPE_CHECKING, Any

    import click
except KeyboardInterrupt:
    sys.exit(130)

if TYPE_CHECKING:
    from collections.abc import Coroutine

CONFIG = Path(__file__).parents[1] / "config"


@click.command(context_settings={"show_default": True})
@click.option("--keep", is_flag=True, help="leave it up afterwards, until Ctrl-C, and say what to type")
@click.option(
    "--http-port", type=click.IntRange(1, 65535), help="port for REST and h2c; without it 8080, or a free one"
)
@click.option("--https-port", type=click.IntRange(1, 65535), help="port for TLS; without it 8443, or a free one")
def main(*, keep: bool, http_port: int | None, https_port: int | None) -> None:
    """Show DISVCs from YAML to predictions, under load, on this machine."""
    try:
        print("DistributedInferenceServices, from YAML to predictions; Ctrl-C stops everything.", flush=True)
        sys.exit(0 if _run(keep=keep, http_port=http_port, https_port=https_port) else 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nStopped; nothing is left running.")
        sys.exit(130)


def _run(*, keep: bool, http_port: int | None, https_port: int | None) -> bool:
    from disvc.testing.extra import MissingExtra, require

    try:
        require("local", "A cluster on this machine")
    except MissingExtra as error:
        print(error, file=sys.stderr)
        return False
    from disvc.local.demo.narrator import Narrator
    from disvc.local.demo.run import run
    from disvc.local.ingress import EnvoyError, PortInUse
    from disvc.local.operator import OperatorError
    from disvc.runtime import TransportError, configure_logging
    from disvc.testing.plane import ControlPlaneError

    configure_logging(level="error", stream=sys.stderr)
    try:
        return asyncio.run(
            _until_sigterm(run(Narrator(), CONFIG, keep=keep, http_port=http_port, https_port=https_port))
        )
    except (ControlPlaneError, EnvoyError, OperatorError, PortInUse, TransportError) as error:
        print(f"\n{error}", file=sys.stderr)
        return False


async def _until_sigterm(demo: Coroutine[Any, Any, bool]) -> bool:
    task = asyncio.create_task(demo)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


if __name__ == "__main__":
    main()
