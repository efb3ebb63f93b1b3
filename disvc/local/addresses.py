"""Addresses of pods on a laptop: pod-like ones for the API, each port of which is a loopback port.

The API refuses 127.0.0.0/8 in EndpointSlices, so a pod is published as 10.244.x.y. A `Sandbox` is what a network
namespace is to a pod in a cluster: an address, and a loopback port of its own for each of its ports, chosen by the
system and kept for the pod's whole life (`shared_port`). So a container that is started again has the ports that it
had, nobody else gets them meanwhile, and while no server is up connections are refused.

Who routes to pods finds the loopback address of a pod's port by the pod's annotation.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.shared_port import LOOPBACK, share_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Mapping

    from disvc.testing.kserve.resources import Value

LOOPBACK_ANNOTATION: Final = "local.disvc/loopback"
"""Of a pod: JSON, `{"8080": "127.0.0.1:41233"}`, of its ports; it is there before the pod has an IP in its status."""

Address = tuple[str, int]
"""Host and port."""


def loopback(pod: Value) -> dict[int, Address]:
    """Return where each port of a pod listens, by the pod's annotation; nothing for a pod that has none."""
    written: Any = json.loads((pod["metadata"].get("annotations") or {}).get(LOOPBACK_ANNOTATION, "{}"))
    parts = {int(port): address.rpartition(":") for port, address in written.items()}
    return {port: (host, int(number)) for port, (host, _, number) in parts.items()}


@dataclass(frozen=True)
class Sandbox:
    """The address of one pod, and the loopback port behind each of its ports."""

    ip: str
    sockets: Mapping[int, socket.socket]

    def port(self, container_port: int) -> int | None:
        """Return the loopback port behind a port of the pod, None where the pod has no such port."""
        found = self.sockets.get(container_port)
        return None if found is None else int(found.getsockname()[1])

    @property
    def annotations(self) -> dict[str, str]:
        """Return the annotations that tell of it."""
        ports = {str(port): f"{LOOPBACK}:{self.port(port)}" for port in self.sockets}
        return {LOOPBACK_ANNOTATION: json.dumps(ports)}


class Addresses:
    """The table of all sandboxes of this process."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, Sandbox] = {}
        self._candidates = _candidates()

    def open(self, ports: Iterable[int]) -> Sandbox:
        """Return a sandbox with these ports, under an address that no other has."""
        ip = next(ip for ip in self._candidates if ip not in self._sandboxes)
        sandbox = self._sandboxes[ip] = Sandbox(ip, {port: share_port(0) for port in ports})
        return sandbox

    def close(self, sandbox: Sandbox) -> None:
        """Give up its address and its ports; nothing happens the second time."""
        self._sandboxes.pop(sandbox.ip, None)
        for kept in sandbox.sockets.values():
            kept.close()

    def close_all(self) -> None:
        """Give up all of them."""
        for sandbox in list(self._sandboxes.values()):
            self.close(sandbox)


def _candidates() -> Iterator[str]:
    """Yield 10.244.0.2 to 10.244.255.254 over and over, without the first and last of each 256."""
    return itertools.cycle(
        f"10.244.{third}.{fourth}"
        for third in range(256)
        for fourth in range(1, 255)
        if (third, fourth) != (0, 1)  # a bridge's, usually
    )
