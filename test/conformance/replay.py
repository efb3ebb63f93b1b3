"""Replays seeds of the differential test, and shrinks those that fail.

\b
  replay.py 17                       seed 17 on a kube-apiserver and the in-memory server
  replay.py 17 --shrink              … down to the requests that matter
  replay.py 0-99 --right envtest     two kube-apiservers: must find nothing
  replay.py 0-99 --left KUBECONFIG   on a server that runs already, with the definitions installed
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click
from differential.campaign import LENGTH, Campaign
from differential.kinds import KINDS
from differential.servers import memory, real, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from differential.campaign import Failure
    from differential.run import Side


@click.command(help=__doc__)
@click.argument("seeds")
@click.option("--length", default=LENGTH, show_default=True, help="Requests of a sequence.")
@click.option("--left", default="envtest", show_default=True, help="memory, envtest or a kubeconfig.")
@click.option("--right", default="memory", show_default=True, help="The same.")
@click.option("--kind", "kinds", multiple=True, help="Only of this kind; may be repeated.")
@click.option("--shrink", is_flag=True, help="Drop requests while the difference stays.")
@click.option("--width", default=2000, show_default=True, help="Characters of a line that are shown.")
@click.option("--lines", default=1000, show_default=True, help="Lines of an account that are shown.")
def main(seeds: str, left: str, right: str, width: int, lines: int, **options: Any) -> None:
    first, _, last = seeds.partition("-")
    options["kinds"] = [kind for kind in KINDS if kind.kind in options["kinds"]] or KINDS
    failures = asyncio.run(_campaign(range(int(first), int(last or first) + 1), left, right, options))
    for failure in failures:
        for line in failure.text.splitlines()[:lines]:
            click.echo(line[:width])
        click.echo()
    for what, times in Counter(failure.what for failure in failures).most_common():
        click.echo(f"{times:5} {what}")
    raise SystemExit(1 if failures else 0)


async def _campaign(seeds: Iterable[int], left: str, right: str, options: Mapping[str, Any]) -> list[Failure]:
    async with _side(left) as one, _side(right) as other:
        campaign = Campaign(one, other, **options)
        start = time.monotonic()
        failures = await campaign.failures(seeds)
        seconds = time.monotonic() - start
    click.echo(f"{campaign.requests} requests to each server in {seconds:.0f} s, {len(failures)} seeds failed\n")
    return failures


def _side(name: str) -> AbstractAsyncContextManager[Side]:
    match name:
        case "memory":
            return memory()
        case "envtest":
            return real()
        case kubeconfig:
            return standing(kubeconfig)


if __name__ == "__main__":
    main()
