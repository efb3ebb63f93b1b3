"""Writes the audit log of the server over HTTP: the same JSON lines as a kube-apiserver's, at level Metadata.

A watch is logged when it starts and when it ends, any other request when it is answered: `disvc.testing.audit` reads
it. Each line is flushed, as readers wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from disvc.testing.match import APIRequest

if TYPE_CHECKING:
    from datetime import datetime

    from disvc.testing.memory.requests import Request, User

    Value = dict[str, Any]

__all__ = ["AuditTrail"]


class AuditTrail:
    """Writes to a binary file that it does not buffer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(
        self, request: Request, uri: str, audit_id: str, received: datetime, now: datetime, code: int, stage: str
    ) -> None:
        """Log that a request has reached a stage, `ResponseStarted` or `ResponseComplete`.

        Args:
            request: what was asked, and by whom.
            uri: its path and query as they were sent.
            audit_id: the same for all stages of a request.
            received: when the request came.
            now: when it reached the stage.
            code: the status of the answer.
            stage: see above.

        """
        asked = APIRequest.parse(request.method, request.path, request.query, request.headers, request.body)
        event: Value = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": audit_id,
            "stage": stage,
            "requestURI": uri,
            "verb": asked.verb,
            "user": _user(request.user),
            "userAgent": request.headers.get("user-agent", ""),
            "responseStatus": {"metadata": {}, "code": code},
            "requestReceivedTimestamp": received,
            "stageTimestamp": now,
        }
        if asked.resource:
            event["objectRef"] = _reference(asked)
        self._file.write(msgspec.json.encode(event) + b"\n")


def _user(user: User) -> Value:
    return {"username": user.name, "groups": user.groups}


def _reference(asked: APIRequest) -> Value:
    reference = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.group,
        "apiVersion": asked.version,
        "subresource": asked.subresource,
    }
    return {key: value for key, value in reference.items() if value}
