"""The part of a kubelet that an API server asks for logs: HTTPS on a loopback port."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from aiohttp import web

from disvc.local.logs import NoLog, read
from disvc.runtime import Key
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.log_options import LogOptions
from disvc.testing.shared_port import LOOPBACK

if TYPE_CHECKING:
    from typing import Self

    from disvc.local.runner import ProcessRunner
    from disvc.testing.certificates import Credentials

_PATH: Final = "/containerLogs/{namespace}/{pod}/{container}"
_GRACE_SECONDS: Final = 0.1


class LogServer:
    """Serves the logs of a runner's pods; `async with LogServer(...) as server` ends those that are still followed.

    `port` is where, on 127.0.0.1. Unlike a kubelet it asks nobody who he is: a log can be read by whoever can connect.
    """

    port: int

    def __init__(self, runner: ProcessRunner, serving: Credentials) -> None:
        self._runner = runner
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(serving.cert_file, serving.key_file)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(_PATH, self._answer)
        self._serving = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE_SECONDS)
        await self._serving.setup()
        await web.TCPSite(self._serving, LOOPBACK, 0, ssl_context=self._tls).start()
        self.port = self._serving.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._serving.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[name] for name in ("namespace", "pod", "container"))
        try:
            options = LogOptions.read(request.query, pod)
            log = self._runner.log(Key(namespace, pod), container, previous=options.previous)
        except Refused as refused:
            return web.Response(status=refused.code, text=refused.message)
        except NoLog as error:
            return web.Response(status=error.status, text=str(error))
        response = web.StreamResponse()
        await response.prepare(request)
        async for text in read(log, options):
            await response.write(text)
        return response
