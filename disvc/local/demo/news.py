"""What happens in the cluster: told as it does, and waited for."""

from __future__ import annotations

import asyncio
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, PODS, SERVICES
from disvc.runtime import Resource, Selection
from disvc.testing.controllers.kinds import is_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime import Delta, Manager

    Value = dict[str, Any]

UNTYPED_DISVCS: Final[Resource[Value]] = Resource(DISVCS.api_version, DISVCS.kind, DISVCS.plural)
EVENTS: Final[Resource[Value]] = Resource("events.k8s.io/v1", "Event", "events")

_LONGEST: Final = 160
"""Of a note in full, which may quote a traceback, the status tells."""


class News:
    """Follows DISVCs, what they own, and their Events, in a manager that does not run yet."""

    def __init__(self, manager: Manager, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._told: dict[tuple[str, str], str] = {}
        self._disvcs = manager.cache(UNTYPED_DISVCS)
        self._workload = manager.cache(ISVCS), manager.cache(PODS)
        self._changed = asyncio.Condition()
        for resource, handler in (
            (UNTYPED_DISVCS, self._disvc),
            (ISVCS, self._child),
            (SERVICES, self._child),
            (INGRESSES, self._child),
            (PODS, self._pod),
            (EVENTS, self._event),
        ):
            manager.informers.subscribe(Selection(resource, manager.namespaces), handler, "demo")

    async def until(self, name: str, is_so: Callable[[Value], bool], seconds: float) -> Value:
        """Wait until the status of a DISVC is so, and return it. Raises `TimeoutError` with what it is."""
        found: Value = {}

        def holds() -> bool:
            nonlocal found
            disvc = next((obj for obj in self._disvcs if obj.metadata.name == name), None)
            found = disvc.decode().get("status") or {} if disvc else {}
            return is_so(found)

        await self._until(holds, seconds, lambda: f"DISVC {name} is not as awaited; its status: {found}")
        return found

    async def until_gone(self, *prefixes: str, seconds: float) -> None:
        """Wait until no InferenceService and no pod has a name that begins so. Raises `TimeoutError`."""

        def left() -> list[str]:
            return [
                obj.metadata.name for cache in self._workload for obj in cache if obj.metadata.name.startswith(prefixes)
            ]

        await self._until(lambda: not left(), seconds, lambda: f"these are still there: {', '.join(left())}")

    async def _until(self, holds: Callable[[], bool], seconds: float, words: Callable[[], str]) -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            raise TimeoutError(f"after {seconds:g} s {words()}") from None

    async def _disvc(self, delta: Delta[Value]) -> None:
        if delta.new is not None:
            status = delta.new.decode().get("status") or {}
            self._say("DISVC", delta.new.metadata.name, f"is {status['phase']}" if status.get("phase") else "")
        await self._notify()

    async def _child(self, delta: Delta[Value]) -> None:
        obj = delta.object
        owner = obj.metadata.controller
        if owner is not None and owner.kind == DISVCS.kind:
            kind = obj.resource.kind
            if delta.new is None:
                self._say(kind, obj.metadata.name, "is gone")
            else:
                self._say(kind, obj.metadata.name, in_words(kind, delta.new.decode()))
        await self._notify()

    async def _pod(self, delta: Delta[Value]) -> None:
        if delta.new is None:
            await self._notify()

    async def _event(self, delta: Delta[Value]) -> None:
        if delta.new is None or delta.old is not None:
            return
        event = delta.new.decode()
        if event["regarding"]["kind"] == DISVCS.kind:
            style = "yellow" if event["type"] == "Warning" else "cyan"
            self._tell(f"Event {event['reason']}: {shorten(event['note'], _LONGEST, placeholder=' …')}", style)

    def _say(self, kind: str, name: str, words: str) -> None:
        if words and self._told.get((kind, name)) != words:
            self._told[kind, name] = words
            self._tell(f"{kind} {name} {words}", "")

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def in_words(kind: str, value: Value) -> str:
    """Return what matters of a DISVC's child."""
    spec = value["spec"]
    if kind == SERVICES.kind:
        return f"leads to {spec['selector'].get('disvc.group')}"
    if kind == INGRESSES.kind:
        (rule,) = spec["rules"]
        return f"leads from {rule['host']} to {rule['http']['paths'][0]['backend']['service']['name']}"
    if value["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    return "is ready" if is_ready(value) else "is starting"
