"""How the server refuses: a metav1.Status as an exception.

Codes, reasons and the words of messages are those of k8s.io/apimachinery/pkg/api/errors and pkg/util/validation/field,
as clients and people read them. One constructor for each kind of refusal; nothing else in this package makes a Status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = [
    "Cause",
    "Refused",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal",
    "invalid",
    "method_not_allowed",
    "no_unique_name",
    "not_found",
    "terminating_namespace",
    "too_new",
    "unknown_path",
    "unsupported_media_type",
    "unsupported_patch_type",
    "verb_not_supported",
    "wrong_uid",
]


_ETCD_PREFIXES: Final = {
    "customresourcedefinitions.apiextensions.k8s.io": "apiextensions.k8s.io/customresourcedefinitions",
    "endpoints": "services/endpoints",
    "ingresses.networking.k8s.io": "ingress",
    "nodes": "minions",
    "services": "services/specs",
}
"""Where etcd has the objects of a resource, where that is not under its name."""


@dataclass(frozen=True)
class Cause:
    """What is wrong with one field: a metav1.StatusCause.

    `reason` is a field.ErrorType such as `FieldValueInvalid`; `message` is as field.Error's `ErrorBody`, which is the
    error without the path in front (`Invalid value: -1: must be …`); `field` is a path like `spec.ports[0].name`.
    """

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        """Return it as a message lists it: `path: body`."""
        return f"{self.field}: {self.message}"

    def value(self) -> Value:
        """Return it as JSON."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class Refused(Exception):
    """A request is answered with this Status, and has changed nothing."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Value | None = None,
        retry_after_seconds: int | None = None,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token

    def status(self) -> Value:
        """Return the metav1.Status as JSON."""
        status: Value = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        if self.retry_after_seconds is not None:
            status.setdefault("details", {})["retryAfterSeconds"] = self.retry_after_seconds
        return status | {"code": self.code}


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Refused:
    """Return the 422 of an object that is not valid: apimachinery's `NewInvalid`, aggregation of causes included."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    of = f"{kind}.{group}" if group else kind
    details: Value = {"name": name, "group": group, "kind": kind, "causes": [cause.value() for cause in causes]}
    return Refused(
        422,
        "Invalid",
        f'{of} "{name}" is invalid: {listed}',
        details={key: value for key, value in details.items() if value},
    )


def not_found(resource: ResourceType, name: str) -> Refused:
    """Return the 404 of an object that is not there."""
    return Refused(404, "NotFound", f'{resource.group_resource} "{name}" not found', details=_details(resource, name))


def unknown_path() -> Refused:
    """Return the 404 of a path that leads nowhere, as clients show it."""
    return Refused(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: ResourceType, name: str, *, is_terminating: bool = False) -> Refused:
    """Return the 409 of a name that is taken."""
    message = f'{resource.group_resource} "{name}" already exists'
    if is_terminating:
        message = f"object is being deleted: {message}"
    return Refused(409, "AlreadyExists", message, details=_details(resource, name))


def no_unique_name(resource: ResourceType, name: str) -> Refused:
    """Return the 409 of a generateName for which every name tried is taken."""
    message = (
        f'{resource.group_resource} "{name}" already exists, '
        "the server was not able to generate a unique name for the object"
    )
    return Refused(409, "AlreadyExists", message, details=_details(resource, name), retry_after_seconds=1)


def conflict(resource: ResourceType, name: str, why: str) -> Refused:
    """Return the 409 of a precondition that does not hold."""
    message = f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}'
    return Refused(409, "Conflict", message, details=_details(resource, name))


def wrong_uid(resource: ResourceType, key: str, asked: str, actual: str) -> Refused:
    """Return the 409 of an update that means another object of the name, which tells where etcd has it."""
    prefix = _ETCD_PREFIXES.get(resource.group_resource, resource.plural)
    if resource.is_custom:
        prefix = f"{resource.group}/{resource.plural}"
    why = failed_precondition("UID", asked, actual)
    stored = f"StorageError: invalid object, Code: 4, Key: /registry/{prefix}/{key}, ResourceVersion: 0"
    return conflict(resource, key.rpartition("/")[2], f"{stored}, AdditionalErrorMsg: {why}")


def failed_precondition(what: str, asked: str, actual: str) -> str:
    """Return in which words storage says that an object is not the one that a client means."""
    return f"Precondition failed: {what} in precondition: {asked}, {what} in object meta: {actual}"


def bad_request(message: str) -> Refused:
    """Return the 400 of a request that cannot be read."""
    return Refused(400, "BadRequest", message)


def forbidden(resource: ResourceType, name: str, why: str) -> Refused:
    """Return the 403 of what admission does not let through; the name is "" for a collection."""
    what = f'{resource.group_resource} "{name}"' if name else resource.group_resource
    return Refused(403, "Forbidden", f"{what} is forbidden: {why}", details=_details(resource, name))


def terminating_namespace(resource: ResourceType, name: str, namespace: str) -> Refused:
    """Return the 403 of a new object in a namespace that is being deleted."""
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    refused = forbidden(resource, name, why)
    return Refused(403, "Forbidden", refused.message, details={**(refused.details or {}), "causes": [cause]})


def method_not_allowed() -> Refused:
    """Return the 405 of a path that is served, by other methods."""
    return Refused(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={}
    )


def verb_not_supported(resource: ResourceType, verb: str) -> Refused:
    """Return the 405 of what cannot be done with a custom kind."""
    message = f'{verb} is not supported on resources of kind "{resource.group_resource}"'
    return Refused(405, "MethodNotAllowed", message, details=_details(resource, ""))


def expired(message: str, *, continue_token: str = "") -> Refused:
    """Return the 410 of a state that is not kept any more, and how to go on with a list all the same."""
    return Refused(410, "Expired", message, continue_token=continue_token)


def unsupported_media_type(supported: Sequence[str]) -> Refused:
    """Return the 415 of a body in a format that is not understood."""
    listed = ", ".join(supported)
    return Refused(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {listed}",
    )


def unsupported_patch_type(supported: Sequence[str]) -> Refused:
    """Return the 415 of a patch in a format that is not understood; none is named for a built-in kind."""
    if supported:
        return unsupported_media_type(supported)
    return Refused(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})


def too_new(revision: int, current: int) -> Refused:
    """Return the 504 of a resourceVersion that is yet to come."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return Refused(504, "Timeout", message, details={"causes": [cause]}, retry_after_seconds=1)


def internal(message: str) -> Refused:
    """Return the 500 of what went wrong on the server's side."""
    return Refused(
        500, "InternalError", f"Internal error occurred: {message}", details={"causes": [{"message": message}]}
    )


def _details(resource: ResourceType, name: str) -> Value:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}
