"""What `disvc.testing.proxy.FaultProxy` can do to a client.

Each class is one fault; its docstring says what the client sees. A fault is a value without state: where it
strikes is a `disvc.testing.match.Match`, and how often is said to `FaultProxy.inject`.

A fault strikes one of two things:

- a *request* (a watch is one request);
- a single *watch event*, where the `Match` has an `event` predicate. `Duplicate` always strikes events.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

# The reasons that a kube-apiserver gives with these codes: StatusReason in k8s.io/apimachinery,
# pkg/apis/meta/v1/types.go. A code with more than one reason has here the one that is met most.
_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed: a FIN, or a RST where `reset` is set.

    On a request, by default: closed before the request is sent on; the server never sees it, and the client
    sees the connection end without an answer. With `after_bytes` (of the body) or `after_events` (of a watch)
    the request is answered, and the answer breaks off there: the client sees a body that ends too early. It
    does not strike where the answer ends before that.

    On an event: the stream breaks off before that event.

    With `torn`, the event that would come next is passed on by half first, so that the client is left with
    a piece of JSON.

    Raises:
        ValueError: `after_bytes` and `after_events` are both given, or `torn` is together with `after_bytes`.

    """

    after_bytes: int | None = None
    after_events: int | None = None
    torn: bool = False
    reset: bool = False

    def __post_init__(self) -> None:
        _check_position(self.after_bytes, self.after_events)
        if self.torn and self.after_bytes is not None:
            raise ValueError("Cut: torn is about events; after_bytes may end in the middle of one by itself")


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """The connection goes quiet: from here on no byte, no FIN and no RST, until the client closes it.

    The client's own bytes are still accepted by the kernel, as they are where a middlebox or a stopped peer
    swallows them, and TCP keep-alive probes are answered. Only a deadline of the client's own ends its wait.

    On a request, by default: quiet before the request is sent on; the server never sees it (`LoseAnswer` with
    `half_open` is the other case). With `after_bytes` (of the body) or `after_events` (of a watch): quiet
    after that much of the answer. On an event: quiet from that event on.

    Raises:
        ValueError: `after_bytes` and `after_events` are both given.

    """

    after_bytes: int | None = None
    after_events: int | None = None

    def __post_init__(self) -> None:
        _check_position(self.after_bytes, self.after_events)


@dataclass(frozen=True, slots=True)
class Delay:
    """Everything is right, and late by `seconds`.

    On a request: it is sent on that much later. A write goes on even where the client gave up waiting, as a
    packet does that is already under way; a read is dropped with its client.

    On an event: it is passed on `seconds` after it came from the server. Events stay in order, so those
    behind it wait with it, but a row of delayed events does not add up: it is a latency, not a rate.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The client gets the event twice in a row. Without an `event` predicate, every event of the watch."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The client gets an error answer; the request does not reach the server.

    The body is a `metav1.Status` with the `reason` that belongs to the code. Other reasons for a code are
    given by name: 409 is `Conflict` unless `AlreadyExists` is asked for, 410 is `Expired` unless `Gone` is.

    `retry_after` (whole seconds) becomes the `Retry-After` header and `details.retryAfterSeconds`.

    `text` sends that as text/plain in place of the Status: a kube-apiserver does so when its limits on
    requests in flight refuse a request with 429, and so do load balancers with 502 and 503.

    Raises:
        ValueError: the code has no reason of its own and neither `reason` nor `text` is given.

    """

    status: int
    reason: str | None = None
    message: str | None = None
    retry_after: int | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.text is None:
            _reason(self.status, self.reason)

    def body(self, *, group: str, resource: str, name: str) -> bytes:
        """Return the answer's body, for a request on this resource and name."""
        if self.text is not None:
            return self.text.encode()
        details: dict[str, object] = {}
        if name:
            details["name"] = name
        if group:
            details["group"] = group
        if resource:
            # Not a slip: the server puts the resource's plural there.
            details["kind"] = resource
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        return msgspec.json.encode(_status(self.status, self.reason, self.message, details))


@dataclass(frozen=True, slots=True)
class WatchError:
    """The client gets an ERROR event with a `metav1.Status`, and then the proper end of the stream.

    On a request: after `after_events` events; requests that are not a watch are left alone. On an event: in
    its place. A kube-apiserver does so with 410 `Expired` when it no longer has the changes that the watch
    is to go on from.

    Raises:
        ValueError: the code has no reason of its own and no `reason` is given.

    """

    status: int = 410
    reason: str | None = None
    message: str | None = None
    after_events: int = 0

    def __post_init__(self) -> None:
        _reason(self.status, self.reason)

    def event(self) -> bytes:
        """Return the ERROR event as one line of a watch."""
        status = _status(self.status, self.reason, self.message, {})
        return msgspec.json.encode({"type": "ERROR", "object": status}) + b"\n"


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The request takes effect on the server, and the client never learns it.

    The connection is closed without an answer, or, with `half_open`, goes quiet as `HalfOpen` says. A write
    takes effect even where the client gave up meanwhile.
    """

    half_open: bool = False


Fault = Cut | HalfOpen | Delay | Duplicate | Answer | WatchError | LoseAnswer


def _check_position(after_bytes: int | None, after_events: int | None) -> None:
    if after_bytes is not None and after_events is not None:
        raise ValueError("after_bytes and after_events are both given: keep the one that is meant")


def _reason(code: int, reason: str | None) -> str:
    if reason is not None:
        return reason
    if code not in _REASONS:
        raise ValueError(f"status {code} has no reason that a kube-apiserver gives with it: pass reason=")
    return _REASONS[code]


def _status(code: int, reason: str | None, message: str | None, details: dict[str, object]) -> dict[str, object]:
    name = _reason(code, reason)
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{name}: injected by a test" if message is None else message,
        "reason": name,
        "details": details,
        "code": code,
    }
