"""Hands Envoy its configuration, in an order in which no request is lost: xDS by REST, with long polls.

Envoy asks for the resources of a type, or for the endpoints of one cluster, and says which version it has. The answer
is held back until there is another one. So its next question says what became of the last answer: with the new version
it is in effect; with the old one, Envoy refused it.

Promise of `publish`: clusters are ready before a route leads to them, and go when no route does. Endpoints are news at
once. Where Envoy refuses something, it goes on with what it has, and `publish` says so.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from disvc.local.ingress.configuration import Configuration

    Value = dict[str, Any]

_HOLD_SECONDS: Final = 20.0
"""How long a question waits for news; Envoy itself gives up after `request_timeout`."""
_APPLY_SECONDS: Final = 20.0
"""How long Envoy may take for a configuration before something must be wrong."""


class Refused(Exception):
    """Envoy does not take a configuration; why stands in its log."""


class _Subject(NamedTuple):
    """What one question is about: all resources of a type, or the endpoints of one cluster."""

    kind: str
    name: str = ""


class _Answer(NamedTuple):
    version: str
    resources: list[Value]


class Discovery:
    """The server's side of xDS for one Envoy; `application` is what it asks."""

    def __init__(self) -> None:
        self.application = web.Application()
        self.application.router.add_post("/v3/discovery:{kind}", self._poll)
        self._answers: dict[_Subject, _Answer] = {}
        self._sent: dict[_Subject, str] = {}
        self._applied: dict[_Subject, str] = {}
        self._refused: defaultdict[_Subject, set[str]] = defaultdict(set)
        self._clusters: Mapping[str, Value] = {}
        self._changed = asyncio.Condition()

    async def publish(self, configuration: Configuration) -> None:
        """Bring Envoy to a configuration, and return when it serves by it. One call at a time.

        Raises `Refused`, `TimeoutError`.
        """
        endpoints = {_Subject("endpoints", name): [value] for name, value in configuration.endpoints.items()}
        await self._offer(endpoints)
        await self._offer_clusters({**self._clusters, **configuration.clusters})
        await self._in_effect([_Subject("clusters"), *endpoints])
        await self._offer(
            {
                _Subject("listeners"): list(configuration.listeners.values()),
                _Subject("routes"): list(configuration.routes.values()),
            }
        )
        await self._in_effect([_Subject("listeners"), _Subject("routes")])
        await self._offer_clusters(configuration.clusters)

    async def _offer_clusters(self, clusters: Mapping[str, Value]) -> None:
        for gone in self._clusters.keys() - clusters.keys():
            subject = _Subject("endpoints", gone)
            for known in (self._answers, self._sent, self._applied, self._refused):
                known.pop(subject, None)
        self._clusters = clusters
        await self._offer({_Subject("clusters"): list(clusters.values())})

    async def _offer(self, resources: Mapping[_Subject, list[Value]]) -> None:
        async with self._changed:
            for subject, values in resources.items():
                self._answers[subject] = _Answer(_version(values), values)
            self._changed.notify_all()

    async def _in_effect(self, subjects: Iterable[_Subject]) -> None:
        def is_applied(subject: _Subject) -> bool:
            version = self._answers[subject].version
            if version in self._refused[subject]:
                raise Refused(f"Envoy refuses {subject.kind} {subject.name}".rstrip())
            return self._applied.get(subject) == version

        waiting = list(subjects)
        await self._until(lambda: all(map(is_applied, waiting)), _APPLY_SECONDS)

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(is_so)

    async def _poll(self, request: web.Request) -> web.Response:
        question = msgspec.json.decode(await request.read())
        kind = request.match_info["kind"]
        # Of routes, too, Envoy asks by name; but there is one table only.
        subject = _Subject(kind, question["resource_names"][0] if kind == "endpoints" else "")
        has = question.get("version_info", "")
        await self._heard(subject, has)

        def has_news() -> bool:
            answer = self._answers.get(subject)
            return answer is not None and answer.version != has and answer.version not in self._refused[subject]

        try:
            await self._until(has_news, _HOLD_SECONDS)
        except TimeoutError:
            return web.Response(status=304)
        answer = self._answers[subject]
        self._sent[subject] = answer.version
        return web.json_response({"version_info": answer.version, "resources": answer.resources})

    async def _heard(self, subject: _Subject, has: str) -> None:
        async with self._changed:
            sent = self._sent.pop(subject, has)
            # A cluster that has come back asks anew for its endpoints, and knows nothing of what it was sent before.
            is_first = subject.kind == "endpoints" and not has
            if sent != has and not is_first:
                self._refused[subject].add(sent)
            self._applied[subject] = has
            self._changed.notify_all()


def _version(resources: list[Value]) -> str:
    return hashlib.sha256(msgspec.json.encode(resources, order="sorted")).hexdigest()[:16]
