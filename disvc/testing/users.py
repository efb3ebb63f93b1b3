"""A user of a test control plane: who it is, the files by which clients act as it, and plain requests.

The requests here are synchronous and meant for setting up and checking a test, not for load.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import urllib3

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["RequestFailedError", "User"]

_TIMEOUT_S = 60.0


class RequestFailedError(Exception):
    """The API server refused a request; the message has the request, the status and the server's words."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class User:
    """A user that is known by its client certificate."""

    name: str
    groups: tuple[str, ...]
    server: str
    """The API server's URL, https://127.0.0.1:PORT."""
    ca_file: Path
    cert_file: Path
    key_file: Path
    kubeconfig: Path
    """A kubeconfig file with the server and this user."""

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "*/*",
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, without retries, and return the answer whatever its status.

        Args:
            method: the HTTP method.
            path: from /api or /apis on, with the query.
            body: sent as JSON, bytes as they are.
            content_type: of the body; for a patch application/merge-patch+json or the like.
            accept: the media types wanted.

        Raises:
            urllib3.exceptions.HTTPError: there was no answer.

        """
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": accept}
        return self._pool.request(method, self.server + path, body=data, headers=headers)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "*/*",
    ) -> dict[str, Any]:
        """Like `request`, but return the answer's decoded JSON.

        Raises:
            RequestFailedError: the status is 400 or above.
            urllib3.exceptions.HTTPError: there was no answer.

        """
        response = self.request(method, path, body, content_type=content_type, accept=accept)
        if response.status >= 400:
            text = response.data.decode(errors="replace")
            msg = f"{method} {path} as {self.name}: {response.status}: {_message(text)}"
            raise RequestFailedError(msg, response.status)
        decoded: dict[str, Any] = response.json()
        return decoded

    def ssl_context(self) -> ssl.SSLContext:
        """Make what an HTTP client needs to act as this user."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.load_cert_chain(self.cert_file, self.key_file)
        return context

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(ssl_context=self.ssl_context(), retries=False, timeout=_TIMEOUT_S, maxsize=4)


def _message(text: str) -> str:
    """Return the message of a Status object, or the text itself."""
    try:
        status: Mapping[str, Any] = json.loads(text)
        return str(status["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
