"""The server behind the proxy: its connections, and as whom it is asked.

A request is sent once: never repeated, and never redirected.
"""

from __future__ import annotations

import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping, Sequence

    from disvc.testing.match import APIRequest

LONGEST_HEADER = 1 << 20
"""Bytes; a kube-apiserver takes 1 MiB of headers (http.DefaultMaxHeaderBytes)."""

# About one connection and not about the message: RFC 9110, 7.6.1.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Host and length are written by aiohttp; who the caller is, is not for the caller to say.
_NOT_SENT_ON = _HOP_BY_HOP | {"host", "content-length", "x-remote-user", "x-remote-group"}

# aiohttp warns about a larger body that is passed as bytes.
_LARGEST_BYTES = 1 << 20


class Upstream:
    """Sends requests to one server."""

    def __init__(
        self,
        url: str,
        *,
        ssl: ssl.SSLContext | None,
        user: str | None,
        groups: Sequence[str],
        headers: Mapping[str, str],
    ) -> None:
        self._url = url.rstrip("/")
        self._identity = [("X-Remote-User", user)] if user is not None else []
        self._identity += [("X-Remote-Group", group) for group in groups]
        self._headers = headers
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl or True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        # aiohttp repeats GET, PUT and DELETE by itself when a kept connection turns out to be dead. A write
        # that is done twice is a fault that no test asked for. There is no public switch; aiohttp's own
        # test client does the same.
        self._session._retry_connection = False

    @asynccontextmanager
    async def send(self, request: APIRequest, target: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request, with this request target (path and query as they came), for its answer.

        Raises:
            aiohttp.ClientError: the server cannot be reached, or broke off.

        """
        body = request.body
        async with self._session.request(
            request.method,
            URL(self._url + target, encoded=True),
            data=(body if len(body) <= _LARGEST_BYTES else io.BytesIO(body)) if body else None,
            headers=self._headers_for(request.headers),
            allow_redirects=False,
        ) as answer:
            yield answer

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._session.close()

    def _headers_for(self, headers: Mapping[str, str]) -> CIMultiDict[str]:
        sent = CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _NOT_SENT_ON)
        if "Authorization" not in sent:
            sent.extend(self._identity)
        sent.update(self._headers)
        return sent


def headers_to_pass_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return an answer's headers without those that are about the connection to the server."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)
