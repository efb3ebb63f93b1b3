"""A loopback port that can be made to refuse connections, or not to answer them, and keeps its number.

asyncio's own server accepts whatever comes until it is closed, and cannot be told to leave a connection
without a TLS handshake, which is what a client sees of a host behind a broken network.
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
        self._handing_over: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Accept connections. Nothing happens where it does so already."""
        self._sock.listen(1024)
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    async def refuse(self) -> None:
        """Answer new connections with RST, and keep the port; connections that are open stay so."""
        await self.close()
        # A socket that is bound and does not listen holds the port, and the kernel refuses for it.
        self._sock = _bound(self.port)

    async def close(self) -> None:
        """Give the port back, and close what was not handed over yet."""
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        tasks = list(self._handing_over)
        self.drop_waiting()
        await asyncio.gather(*tasks, return_exceptions=True)

    def drop_waiting(self) -> None:
        """Close the connections that were not handed over yet: those that wait for the gate, or for TLS."""
        for task in self._handing_over:
            task.cancel()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # the client has left the queue again
        connection.setblocking(False)
        # In a task, as one client that is slow with its handshake must not keep out the others.
        task = asyncio.create_task(self._hand_over(connection), name=f"new connection on {self.port}")
        self._handing_over.add(task)

        def end(_: asyncio.Task[None]) -> None:
            self._handing_over.discard(task)
            if task.cancelled():  # here, as one that is cancelled before it began runs no line of its own
                connection.close()

        task.add_done_callback(end)

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await self._gate.wait()
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except OSError:
            # ssl.SSLError is one: the client went away, or does not trust the certificate.
            connection.close()


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
