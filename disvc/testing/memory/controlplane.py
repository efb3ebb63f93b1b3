"""A control plane for tests whose API server is the in-memory one: ready in a second, with nothing to build.

It has the face of `disvc.testing.controlplane.ControlPlane`, and its promises (`disvc.testing.plane`), for tests that
talk HTTP: other processes, other languages, kubectl. What it keeps is gone when its process ends, so it cannot be
restarted. A test in Python that needs no HTTP is better off with `APIServer` itself.
"""

from __future__ import annotations

import asyncio
import sys

from disvc.testing.memory.compaction import COMPACT_PATH
from disvc.testing.plane import Plane

__all__ = ["MemoryControlPlane"]

_NAME = "memory-apiserver"


class MemoryControlPlane(Plane):
    """An in-memory API server in a process of its own; use as `async with` or `with`, or call `start` and `stop`.

    Args:
        controller_manager: also run the controllers of `disvc.testing.controllers`: Deployments, ReplicaSets,
            EndpointSlices. Garbage is collected, and namespaces are emptied, in any case.
        port: to serve on, 0 for a free one.
        start_timeout_s: how long it may take to be ready, in seconds.

    """

    components = (_NAME,)

    def __init__(self, *, controller_manager: bool = False, port: int = 0, start_timeout_s: float = 60.0) -> None:
        self._flags = ("--controllers",) if controller_manager else ()
        super().__init__(_NAME, start_timeout_s=start_timeout_s, port=port)

    async def compact(self) -> int:
        """Make the server forget all but the current state, and return its revision.

        A watch from a resourceVersion before it, and a list continued at one, are answered with 410 Expired.
        """
        answer = await asyncio.to_thread(self._launcher.call, "POST", COMPACT_PATH)
        return int(answer["revision"])

    def _launch_components(self) -> None:
        self._spawn(
            _NAME,
            sys.executable,
            "-m",
            "disvc.testing.memory.serve",
            f"--secure-port={self._port(_NAME)}",
            f"--tls-cert-file={self.serving.cert_file}",
            f"--tls-private-key-file={self.serving.key_file}",
            f"--client-ca-file={self.ca_file}",
            f"--requestheader-client-ca-file={self._front_proxy_authority.ca_file}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--service-account-signing-key-file={self._token_key}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            *self._flags,
        )
        self._wait(_NAME, lambda: self._launcher.request("GET", "/readyz").status)
