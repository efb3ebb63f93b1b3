"""AdmissionReviews: what a webhook is told about a write, and what its answer says.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from disvc.testing.memory import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["Admitted", "WebhookError", "denied", "operations", "response_of", "review_of"]

_REVIEW: Final = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}


class WebhookError(Exception):
    """A webhook could not be asked, or what it answered is no answer; the message is as the API server tells it."""


class Admitted(NamedTuple):
    """What webhooks are asked about: a write, or with no `obj` a delete."""

    call: Call
    obj: Value | None
    old: Value | None
    dry_run: bool

    @property
    def operation(self) -> str:
        """`CREATE`, `UPDATE` or `DELETE`."""
        return "DELETE" if self.obj is None else "UPDATE" if self.old is not None else "CREATE"

    @property
    def name(self) -> str:
        """The object's name, "" where it is yet to be generated."""
        named = self.obj or self.old or {}
        return str(self.call.name or named["metadata"].get("name", ""))

    @property
    def labels(self) -> list[Mapping[str, str]]:
        """The labels of the object as it was and as it is to be."""
        return [value["metadata"].get("labels") or {} for value in (self.obj, self.old) if value is not None]


def review_of(admitted: Admitted, resource: ResourceType, uid: str, obj: Value | None, old: Value | None) -> Value:
    """Return the review to send.

    Args:
        admitted: the write.
        resource: the version of the kind that the webhook wants to see.
        uid: of the review.
        obj: the new object in that version.
        old: the old one.

    """
    call = admitted.call
    asked = call.resource
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    asked_kind = kind | {"version": asked.version}
    if call.subresource == "scale":
        kind = asked_kind = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    user = call.request.user
    info = {"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra}
    request = {
        "uid": uid,
        "kind": kind,
        "resource": plural,
        "subResource": call.subresource,
        "requestKind": asked_kind,
        "requestResource": plural | {"version": asked.version},
        "requestSubResource": call.subresource,
        "name": admitted.name,
        "namespace": call.namespace,
        "operation": admitted.operation,
        "userInfo": {key: value for key, value in info.items() if value},
        "options": _options(admitted),
    }
    request = {key: value for key, value in request.items() if value}
    return {**_REVIEW, "request": request | {"object": obj, "oldObject": old, "dryRun": admitted.dry_run}}


def _options(admitted: Admitted) -> Value:
    query = admitted.call.request.query
    options: Value = {"kind": f"{admitted.operation.title()}Options", "apiVersion": "meta.k8s.io/v1"}
    options |= {name: query[name] for name in ("fieldManager", "fieldValidation") if name in query}
    return options | ({"dryRun": ["All"]} if admitted.dry_run else {})


def response_of(review: Any, uid: str, *, is_mutating: bool) -> Value:
    """Return the response of a review. Raises `WebhookError` where it is none to the request of that UID."""
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise _no_response("webhook response was absent")
    if response.get("uid") != uid:
        raise _no_response(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    if {name: review.get(name) for name in _REVIEW} != _REVIEW:
        got = f"{review.get('apiVersion') or '/'}, Kind={review.get('kind') or ''}"
        raise _no_response(f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {got}")
    given = [name for name in ("patch", "patchType") if response.get(name)]
    if given and not is_mutating:
        raise _no_response(f"validating webhook may not return response.{given[0]}")
    if len(given) == 1:
        missing = "patchType" if given == ["patch"] else "patch"
        raise _no_response(f"webhook returned response.{given[0]} but not response.{missing}")
    return response


def _no_response(why: str) -> WebhookError:
    return WebhookError(f"received invalid webhook response: {why}")


def operations(response: Value) -> list[Value]:
    """Return the operations of a response's JSON patch. Raises `WebhookError`."""
    if not response.get("patch"):
        return []
    if response["patchType"] != "JSONPatch":
        raise WebhookError(f'unsupported patch type "{response["patchType"]}"')
    try:
        return msgspec.json.decode(base64.b64decode(response["patch"]), type=list[dict[str, Any]])
    except ValueError as error:
        raise WebhookError(f"received undecodable patch in webhook response: {error}") from error


def denied(name: str, status: Value) -> errors.Refused:
    """Return the refusal that a webhook asks for."""
    reason = status.get("reason", "")
    why = status.get("message") or reason
    message = f'admission webhook "{name}" denied the request'
    message = f"{message}: {why}" if why else f"{message} without explanation"
    code = max(status.get("code") or 0, 400)
    return errors.Refused(code, reason, message, details=status.get("details"))
