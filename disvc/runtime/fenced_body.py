"""A request's body that asks the fence right before its bytes go to the socket.

Why so late, and why there is an alarm: docs/decisions/0004-the-fence.md.
"""

from __future__ import annotations

import signal
import socket
import struct
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from aiohttp.http import StreamWriter
from aiohttp.payload import Payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.abc import AbstractStreamWriter

_LINGER_NOT = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing throws away what is not delivered. Else the kernel would go on trying for minutes."""


class FencedBody(Payload):
    """Bytes to send, and the fence to ask before that.

    `refusal` is what the fence raised, `sent` whether the bytes may have left this process.

    aiohttp sends the headers together with the body's first bytes, so a refusal here means that the server
    never sees a whole request. Between the fence's answer and the kernel's taking the bytes no other code of
    this process runs, and where the process is stopped just there, `_until` ends it. Bytes that the kernel has
    and could not deliver (a partition) are taken back when the connection is closed, or the process ends.
    """

    def __init__(self, value: bytes, content_type: str, fence: Callable[[], float | None] | None) -> None:
        super().__init__(value, content_type=content_type)
        self._size = len(value)
        self._fence = fence
        self.refusal: Exception | None = None
        self.sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the bytes as text; see `Payload.decode`."""
        return str(self._value.decode(encoding, errors))

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the bytes; see `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Ask the fence and send the bytes, once. Raises what the fence raises."""
        if self.sent:  # by aiohttp itself, which repeats a PUT or DELETE when a connection of its pool is dead
            raise ConnectionResetError("the connection broke after the request was sent")
        if self._fence is None:
            self.sent = True
            await writer.write(self._value)
            return
        assert isinstance(writer, StreamWriter)
        if writer.transport is not None:
            sock = writer.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        seconds = self._may_be_sent(self._fence)
        with nullcontext() if seconds is None else _until(seconds):
            self._may_be_sent(self._fence)  # again, as what counts is the time when the alarm is set
            self.sent = True
            await writer.write(self._value, drain=False)
        await writer.drain()

    def _may_be_sent(self, fence: Callable[[], float | None]) -> float | None:
        try:
            return fence()
        except Exception as refusal:
            self.refusal = refusal
            raise


@contextmanager
def _until(seconds: float) -> Iterator[None]:
    """Let the kernel kill this process (SIGALRM) if the block, which must not wait, is not over in time.

    No look at a clock can help a process that is stopped (SIGSTOP, no processor for it) right after the look. A
    signal that came due meanwhile is acted on by the kernel before anything else runs. It cannot be had where
    the program uses SIGALRM itself, nor on Windows; the time that a machine is suspended does not count.
    """
    if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
