"""`disvc-manager`: the operator as a process of its own."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING

import structlog

from disvc.cli.command import PROGRAM, read_settings
from disvc.runtime import Manager, configure_logging, connect, run

if TYPE_CHECKING:
    from disvc.cli.settings import Settings

_log = structlog.get_logger("disvc.cli")


def main() -> None:
    """Run the operator with the settings of this process's arguments, until it is told to stop."""
    settings = read_settings(sys.argv[1:])
    configure_logging(level=settings.log.log_level, output=settings.log.log_format)
    run(operate(settings))


async def operate(settings: Settings) -> None:
    """Run the operator in this event loop; raises what `connect` and `Manager.run` do."""
    from disvc.reconcilers import add_to_manager  # not before the settings are known to be right: it takes its time

    work, endpoints, election = settings.work, settings.endpoints, settings.leader_election.election()
    _log.info(
        "disvc-manager starting",
        version=metadata.version("disvc"),
        namespaces=",".join(work.watch_namespaces) or "all",
        label_selector=work.watch_label_selector or None,
        leader_election=f"{election.namespace}/{election.name}" if election else "off",
        metrics=endpoints.metrics_bind_address or "off",
        probes=endpoints.health_probe_bind_address or "off",
    )
    async with connect(settings.cluster.kubeconfig or None, context=settings.cluster.context or None) as transport:
        manager = Manager(
            transport,
            name=PROGRAM,
            namespaces=work.watch_namespaces,
            label_selector=work.watch_label_selector,
            leader_election=election,
            metrics_bind_address=endpoints.metrics_bind_address,
            health_probe_bind_address=endpoints.health_probe_bind_address,
            grace_seconds=work.grace_seconds,
            resync_seconds=work.resync_seconds,
        )
        add_to_manager(manager, routing=settings.routing, max_concurrent=work.max_concurrent_reconciles)
        await manager.run()
