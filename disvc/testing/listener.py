"""A loopback port that can be made to refuse connections, or not to answer them, and keeps its number.

asyncio's own server accepts whatever comes until it is closed, and cannot be told to leave a connection in
the kernel's queue, which is what a client sees of a host behind a broken network.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"


class Listener:
    """Accepts connections on 127.0.0.1 and gives each a protocol, while `gate` is set.

    While `gate` is not set, connecting succeeds (the kernel does it) and nothing is read or answered,
    not even a TLS handshake.
    """

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        *,
        gate: asyncio.Event,
        port: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._protocol = protocol
        self._gate = gate
        self._tls = tls
        self._sock = _bound(port)
        self.port: int = self._sock.getsockname()[1]
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Accept connections. Nothing happens where it does so already."""
        if self._accepting is None:
            self._sock.listen(1024)
            self._accepting = asyncio.create_task(self._accept(), name=f"accept on port {self.port}")

    async def refuse(self) -> None:
        """Answer new connections with RST, and keep the port; connections that are open stay so."""
        await self._stop()
        self._sock.close()
        # A socket that is bound and does not listen holds the port, and the kernel refuses for it.
        self._sock = _bound(self.port)

    async def close(self) -> None:
        """Give the port back."""
        await self._stop()
        self._sock.close()

    async def _stop(self) -> None:
        tasks = list(self._handshakes)
        if self._accepting is not None:
            tasks.append(self._accepting)
            self._accepting = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._gate.wait()
            connection, _ = await loop.sock_accept(self._sock)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # In a task, as one client that is slow with its handshake must not keep out the others.
            task = asyncio.create_task(self._hand_over(connection))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await self._gate.wait()
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self._tls
            )
        except OSError:
            # ssl.SSLError is one: the client went away, or does not trust the certificate.
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


def _bound(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((LOOPBACK, port))
    except OSError as error:
        sock.close()
        message = f"{error.strerror}: the proxy cannot listen on {LOOPBACK}:{port}; port=0 takes a free one"
        raise OSError(error.errno, message) from error
    return sock
