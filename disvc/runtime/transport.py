"""What carries requests to an API server: the one seam between this library and a network.

`disvc.runtime.connection` carries them over HTTP; a simulation's in-memory server implements the same two
methods without a socket. A transport knows nothing of Kubernetes beyond paths, headers and bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager


class Answer(NamedTuple):
    """A whole answer: HTTP status, headers (names in lower case, values of one name joined by ", ") and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An answer whose body arrives bit by bit."""

    status: int
    headers: Mapping[str, str]
    """As an `Answer`'s."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, cut anywhere. Raises `AnswerLost` where it breaks off."""
        ...


class Transport(Protocol):
    """Carries requests to one API server, with the credentials of one user."""

    host: str
    """The server's `host:port`, for metrics and messages."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        fence: Callable[[], float | None] | None,
    ) -> Answer:
        """Send a request and return the whole answer, whatever its status.

        `fence` is called as late as possible before the body's bytes leave this process; what it raises ends
        the request, so that the server never gets a whole one. What it returns is after how many seconds the
        bytes must not leave any more (None: no limit). `timeout` is in seconds, for everything.

        Raises `Unreachable` where nothing was sent and `AnswerLost` where the server may have acted on it.
        """
        ...

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        timeout: float,
    ) -> AbstractAsyncContextManager[Stream]:
        """Send a GET request whose answer is read as it arrives.

        `timeout` is in seconds, until the answer's headers are there. Raises as `request` does.
        """
        ...

    async def fork(self) -> Transport:
        """Return a transport to the same server that shares no connection with this one; close it yourself."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
