"""The process of a `MemoryControlPlane`: an `APIServer` over HTTPS on one port, until SIGTERM.

`python -m disvc.testing.memory.serve` takes kube-apiserver's flags for what it needs. For people there is
`python -m disvc.testing.memory`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from disvc.runtime import Manager
from disvc.runtime.environment import Environment
from disvc.runtime.process import run
from disvc.testing.controllers import add_to_manager
from disvc.testing.memory import webhook_client
from disvc.testing.memory.audit import AuditTrail
from disvc.testing.memory.authentication import Authenticator, common_name
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.housekeeping import keep_house
from disvc.testing.memory.http import HTTPServer
from disvc.testing.memory.kubelet_client import KubeletClient
from disvc.testing.memory.requests import User
from disvc.testing.memory.server import APIServer
from disvc.testing.shared_port import share_port

if TYPE_CHECKING:
    Value = dict[str, Any]

_CONTROLLERS: Final = User("kube-controller-manager", ("system:masters", "system:authenticated"))
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--secure-port", type=int, required=True)
@click.option("--tls-cert-file", type=_FILE, required=True)
@click.option("--tls-private-key-file", type=_FILE, required=True)
@click.option("--client-ca-file", type=_FILE, required=True)
@click.option("--requestheader-client-ca-file", type=_FILE, required=True)
@click.option("--requestheader-allowed-names", required=True)
@click.option("--service-account-signing-key-file", type=_FILE, required=True)
@click.option("--audit-log-path", type=_FILE, required=True)
@click.option("--controllers", is_flag=True)
def main(
    secure_port: int,
    tls_cert_file: Path,
    tls_private_key_file: Path,
    client_ca_file: Path,
    requestheader_client_ca_file: Path,
    requestheader_allowed_names: str,
    service_account_signing_key_file: Path,
    audit_log_path: Path,
    controllers: bool,
) -> None:
    """Serve an empty cluster."""
    kubelets = KubeletClient()
    server = APIServer(
        Environment(),
        TYPES,
        ask=webhook_client.ask,
        fetch=kubelets.fetch,
        token_key=service_account_signing_key_file.read_bytes(),
    )
    authenticator = Authenticator(
        proxy_authority=common_name(requestheader_client_ca_file.read_bytes()),
        proxy_name=requestheader_allowed_names,
        tokens=server.tokens,
    )
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tls_cert_file, tls_private_key_file)
    for authorities in (client_ca_file, requestheader_client_ca_file):
        tls.load_verify_locations(authorities)
    tls.verify_mode = ssl.CERT_OPTIONAL
    listener = share_port(secure_port)
    # Connections that have just been closed do not keep the next server from the port.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with audit_log_path.open("ab", buffering=0) as file:
        http = HTTPServer(server, authenticator, tls=tls, listener=listener, audit=AuditTrail(file))
        run(_serve(server, kubelets, http, with_controllers=controllers))


async def _serve(server: APIServer, kubelets: KubeletClient, http: HTTPServer, *, with_controllers: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with kubelets, http, asyncio.TaskGroup() as tasks:
        if with_controllers:
            manager = Manager(server.transport(_CONTROLLERS), name=_CONTROLLERS.name)
            add_to_manager(manager)
            tasks.create_task(manager.run(stop=stop, handle_signals=False))
        housekeeper = tasks.create_task(keep_house(server))
        await stop.wait()
        housekeeper.cancel()


if __name__ == "__main__":
    main()
