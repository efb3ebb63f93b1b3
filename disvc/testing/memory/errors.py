"""How the server refuses: a metav1.Status as an exception.

Codes, reasons and the words of messages are those of k8s.io/apimachinery/pkg/api/errors and pkg/util/validation/field,
as clients and people read them. One constructor for each kind of refusal; nothing else in this package makes a Status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

__all__ = ["Cause", "Refused"]


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
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_seconds = retry_after_seconds

    def status(self) -> Value:
        """Return the metav1.Status as JSON."""
        status: Value = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
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
