"""Counts what was asked of a test control plane, from the API server's own audit log.

Promise: after `await settled()`, every request that was answered before it is in `calls()`, once, whoever
sent it. The log is read incrementally. The server writes it at level Metadata, without the stage
RequestReceived; a watch is logged when it starts and again when it ends
(https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["AuditLog", "AuditLogError", "Call"]

_SETTLE_S = 30.0


class AuditLogError(Exception):
    """The audit log did not show a request that was made; the API server may be stopped or very slow."""


class _UserInfo(msgspec.Struct, frozen=True):
    username: str = ""
    groups: tuple[str, ...] = ()


class _ObjectReference(msgspec.Struct, frozen=True, rename={"api_group": "apiGroup"}):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    api_group: str = ""


class _ResponseStatus(msgspec.Struct, frozen=True):
    code: int = 0


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    """audit.k8s.io/v1 Event, as far as it is used."""

    stage: str
    verb: str
    user: _UserInfo
    audit_id: str = msgspec.field(name="auditID")
    request_uri: str = msgspec.field(name="requestURI")
    request_received_timestamp: datetime
    stage_timestamp: datetime
    object_ref: _ObjectReference = _ObjectReference()
    response_status: _ResponseStatus = _ResponseStatus()
    user_agent: str = ""


class Call(msgspec.Struct, frozen=True):
    """One request to the API server, in the last stage that was logged of it."""

    user: str
    groups: tuple[str, ...]
    user_agent: str
    verb: str  # the API's: get, list, watch, create, update, patch, delete, deletecollection
    group: str  # "" for the core group, and for what is no resource
    resource: str  # the plural; "" for what is no resource
    subresource: str
    namespace: str
    name: str  # "" for collections, and for a create that leaves the name to the server
    code: int  # the HTTP status
    uri: str
    stage: str  # ResponseStarted (a watch that still runs), ResponseComplete or Panic
    received: datetime
    staged: datetime  # when the stage was reached


class AuditLog:
    """Reads the audit log of one control plane, from its first request on."""

    def __init__(self, path: Path, marker: Callable[[str], object]) -> None:
        """Read the log at `path`; `marker` makes a request to the server with the given text in its URI."""
        self._path = path
        self._marker = marker
        self._offset = 0
        self._decoder = msgspec.json.Decoder(_Event)
        self._calls: dict[str, Call] = {}

    def calls(
        self,
        *,
        user: str | None = None,
        verb: str | None = None,
        group: str | None = None,
        resource: str | None = None,
        subresource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        code: int | None = None,
        since: datetime | None = None,
    ) -> list[Call]:
        """Return the requests logged so far, in the order in which they were first logged.

        What is given must be equal; `since` (aware) keeps requests received at that time or later.
        """
        self._read()
        wanted = {
            "user": user,
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
            "code": code,
        }
        given = [(field, value) for field, value in wanted.items() if value is not None]
        return [
            call
            for call in self._calls.values()
            if (since is None or call.received >= since)
            and all(getattr(call, field) == value for field, value in given)
        ]

    async def settled(self) -> AuditLog:
        """Wait until every request that was answered before this call is in the log; returns the log itself.

        Raises:
            AuditLogError: the log did not show it within 30 s.

        """
        # The server logs a request just after it answered it, so that one may overtake another: hence twice.
        for _ in range(2):
            mark = f"disvc-audit-{uuid.uuid4()}"
            await asyncio.to_thread(self._marker, mark)
            deadline = time.monotonic() + _SETTLE_S
            while not self._seen(mark):
                if time.monotonic() > deadline:
                    msg = f"a request answered {_SETTLE_S:.0f} s ago is not in the audit log {self._path}"
                    raise AuditLogError(msg)
                await asyncio.sleep(0.01)
        return self

    def _seen(self, mark: str) -> bool:
        self._read()
        return any(mark in call.uri for call in reversed(self._calls.values()))

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                complete, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:  # before the first request
            return
        self._offset += len(complete) + len(newline)
        for line in complete.splitlines():
            event = self._decoder.decode(line)
            self._calls[event.audit_id] = _call(event)


def _call(event: _Event) -> Call:
    reference = event.object_ref
    return Call(
        user=event.user.username,
        groups=event.user.groups,
        user_agent=event.user_agent,
        verb=event.verb,
        group=reference.api_group,
        resource=reference.resource,
        subresource=reference.subresource,
        namespace=reference.namespace,
        name=reference.name,
        code=event.response_status.code,
        uri=event.request_uri,
        stage=event.stage,
        received=event.request_received_timestamp,
        staged=event.stage_timestamp,
    )
