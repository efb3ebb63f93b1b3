"""The errors of this library, each one a class that a caller can catch.

ApiError                     the server answered, and the answer is an error
BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404, MethodNotAllowed 405,
Conflict 409, AlreadyExists 409, Expired 410, Invalid 422, TooManyRequests 429,
ServerError 5xx            (InternalError 500, ServiceUnavailable 503, ServerTimeout 504)
TransportError               there is no answer
Unreachable                the request was not sent: nothing has happened
AnswerLost                 the request may have been carried out
TerminalError                a reconciler's: do not try again until something changes
DecodeError                an object does not fit its model
LeadershipLost               this process must not write any more
ConfigurationError           there is no usable way to reach a cluster
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class RuntimeFailure(Exception):
    """What every error of this library is."""


class ConfigurationError(RuntimeFailure, ValueError):
    """A kubeconfig, credential or setting is missing or wrong; the message says which and what to do.

    It is a `ValueError`, too, as a setting is often a function's argument.
    """


class LeadershipLost(RuntimeFailure):
    """The lease is not held by this process (any more), so it must not write."""


class TerminalError(RuntimeFailure):
    """Raised by a reconciler: the error is reported, and the key is not tried again until it is queued anew."""


class DecodeError(TerminalError):
    """An object does not decode; it is reported and passed over, and the rest goes on."""


class TransportError(RuntimeFailure):
    """There is no answer from the server."""


class Unreachable(TransportError):
    """No connection to the server could be made; the request was not sent."""


class AnswerLost(TransportError):
    """The connection broke, or time ran out, after the request was sent: it may have been carried out."""


class Cause(NamedTuple):
    """One of the causes of a failed request: metav1.StatusCause."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        """Return `field: message`."""
        return f"{self.field}: {self.message}" if self.field else self.message


class ApiError(RuntimeFailure):
    """The server refused a request.

    `code` is the HTTP status, `reason` and `causes` are those of the answer's metav1.Status, and
    `retry_after` is what the server asked to wait, in seconds (None: it did not ask).
    """

    def __init__(
        self,
        what: str,
        *,
        code: int,
        reason: str = "",
        message: str = "",
        causes: tuple[Cause, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{what}: {code} {reason}: {message}" if what else f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400: the server cannot read the request."""


class Unauthorized(ApiError):
    """401: the server does not accept the credentials."""


class Forbidden(ApiError):
    """403: the user may not do this; the message says what and on which resource."""


class NotFound(ApiError):
    """404: there is no such object, or no such resource."""


class MethodNotAllowed(ApiError):
    """405: the resource has no such verb."""


class Conflict(ApiError):
    """409: the object has changed since it was read, or a precondition does not hold."""


class AlreadyExists(ApiError):
    """409: there is an object of that name already."""


class Expired(ApiError):
    """410: the resourceVersion or continue token is too old."""


class Invalid(ApiError):
    """422: the object was refused; `causes` says which field and why."""


class TooManyRequests(ApiError):
    """429: the server is busy; it did nothing and asks to wait `retry_after` seconds."""


class ServerError(ApiError):
    """5xx: the server failed."""


class InternalError(ServerError):
    """500, a webhook that cannot be called included."""


class ServiceUnavailable(ServerError):
    """503: the server is starting, stopping, or overloaded."""


class ServerTimeout(ServerError):
    """504: the server did not finish in time; the request may have been carried out."""

    @property
    def version_too_large(self) -> bool:
        """Whether the server is behind the resourceVersion that was asked for.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#unavailable-resource-versions
        """
        return "Too large resource version" in self.message or any(
            cause.reason == "ResourceVersionTooLarge" for cause in self.causes
        )


_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
    500: InternalError,
    503: ServiceUnavailable,
    504: ServerTimeout,
}


class _Cause(msgspec.Struct):
    field: str = ""
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retry_after_seconds: float | None = msgspec.field(name="retryAfterSeconds", default=None)


class _Status(msgspec.Struct):
    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


def api_error(what: str, code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Return the error that an answer means.

    `what` says what was asked (`create configmaps default/a`), `body` is a metav1.Status or whatever a proxy
    put in its place, `retry_after` is the header's value (seconds). The code of a Status wins over the HTTP
    one, as the error events of a watch come with HTTP status 200.
    """
    try:
        status = msgspec.json.decode(body, type=_Status)
    except ValueError:  # not JSON, not UTF-8, or not what a Status holds
        status = _Status()
    if status.kind != "Status":
        status = _Status(message=body[:500].decode(errors="replace").strip())
    details = status.details or _Details()
    code = status.code or code
    kind = _BY_CODE.get(code, ServerError if code >= 500 else ApiError)
    if status.reason == "AlreadyExists":
        kind = AlreadyExists
    asked_to_wait = details.retry_after_seconds
    if retry_after is not None and retry_after.isdecimal():
        asked_to_wait = float(retry_after)
    return kind(
        what,
        code=code,
        reason=status.reason,
        message=status.message,
        causes=tuple(Cause(c.field, c.reason, c.message) for c in details.causes or ()),
        retry_after=asked_to_wait,
    )
