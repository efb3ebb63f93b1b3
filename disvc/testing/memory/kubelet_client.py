"""Fetches logs from kubelets over HTTPS; for the server that runs as a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from disvc.runtime.transport import Stream
from disvc.testing.memory.go_net import dial_failure
from disvc.testing.memory.pod_logs import KubeletError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

__all__ = ["KubeletClient"]

_DIAL_SECONDS: Final = 30.0


class KubeletClient:
    """`async with KubeletClient() as kubelets:`; leaving ends the logs that are still followed."""

    async def __aenter__(self) -> Self:
        # As kube-apiserver does where it is told no --kubelet-certificate-authority: any certificate is good.
        connector = aiohttp.TCPConnector(ssl=False, limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_DIAL_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: str) -> Stream:
        """Send a GET; see `pod_logs.Fetch`. Raises `KubeletError`."""
        at = URL(url, encoded=True)
        try:
            return _Response(await self._session.get(at, allow_redirects=False))
        except aiohttp.ClientConnectorError as error:
            raise KubeletError(f'Get "{url}": {dial_failure(error)}') from error
        except TimeoutError as error:
            raise KubeletError(f'Get "{url}": dial tcp {at.authority}: i/o timeout') from error
        except aiohttp.ClientError as error:
            raise KubeletError(f'Get "{url}": {error}') from error


class _Response(Stream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; where it breaks off it ends, as that of a kube-apiserver does."""
        async with self._response:
            try:
                async for chunk in self._response.content.iter_any():
                    yield chunk
            except aiohttp.ClientError:
                return
