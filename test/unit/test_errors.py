"""What an error answer becomes: a class to catch, and a message to act on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disvc.runtime import errors
from disvc.runtime.errors import (
    AlreadyExists,
    ApiError,
    Cause,
    Conflict,
    Expired,
    Forbidden,
    InternalError,
    Invalid,
    NotFound,
    ServerError,
    ServerTimeout,
    ServiceUnavailable,
    TooManyRequests,
    api_error,
)

WHAT = "create configmaps default/a"


def status(code: int, reason: str = "", message: str = "", **details: Any) -> bytes:
    """Return a metav1.Status as the API server sends it."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code}
    return json.dumps({**body, "reason": reason, "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", errors.MethodNotAllowed),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", InternalError),
        (502, "", ServerError),
        (503, "ServiceUnavailable", ServiceUnavailable),
        (504, "Timeout", ServerTimeout),
        (418, "", ApiError),
        (302, "", ApiError),
    ],
)
def test_a_status_becomes_the_class_of_its_code_and_reason(code: int, reason: str, kind: type[ApiError]) -> None:
    error = api_error(WHAT, code, status(code, reason, "no"))
    assert type(error) is kind
    assert (error.code, error.reason, error.message) == (code, reason, "no")
    assert str(error) == f"{WHAT}: {code} {reason}: no"


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_every_5xx_can_be_caught_as_a_server_error(code: int) -> None:
    assert isinstance(api_error(WHAT, code, b""), ServerError)


def test_a_taken_name_is_no_conflict_of_versions() -> None:
    """A reconciler reads again after a Conflict; after AlreadyExists there is a foreign object."""
    assert not issubclass(AlreadyExists, Conflict)


def test_an_invalid_object_names_each_field_and_what_is_wrong_with_it() -> None:
    causes = [
        {"reason": "FieldValueInvalid", "message": "Invalid value: -1", "field": "spec.replicas"},
        {"reason": "FieldValueRequired", "message": "Required value"},
    ]
    error = api_error(WHAT, 422, status(422, "Invalid", "…", causes=causes))
    assert error.causes == (
        Cause("spec.replicas", "FieldValueInvalid", "Invalid value: -1"),
        Cause("", "FieldValueRequired", "Required value"),
    )
    assert [str(cause) for cause in error.causes] == ["spec.replicas: Invalid value: -1", "Required value"]


@pytest.mark.parametrize(
    ("details", "header", "asked"),
    [
        ({}, None, None),
        ({"retryAfterSeconds": 3}, None, 3.0),
        ({}, "7", 7.0),
        ({"retryAfterSeconds": 3}, "7", 7.0),
        ({}, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ({}, "-1", None),
        ({}, "0", 0.0),
    ],
)
def test_it_tells_how_long_the_server_asks_to_wait(
    details: dict[str, Any], header: str | None, asked: float | None
) -> None:
    assert api_error(WHAT, 429, status(429, "TooManyRequests", **details), header).retry_after == asked


def test_an_error_in_a_watch_counts_by_its_own_code_as_http_says_200() -> None:
    error = api_error(WHAT, 200, status(410, "Expired", "too old resource version: 1 (2)"))
    assert type(error) is Expired
    assert error.code == 410


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"<html>Bad Gateway</html>\n", "<html>Bad Gateway</html>"),
        (b"x" * 10_000, "x" * 500),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"kind": "Status", "message": "\xff"}', '{"kind": "Status", "message": "\ufffd"}'),
        (b'{"code": 14, "message": "no healthy upstream"}', '{"code": 14, "message": "no healthy upstream"}'),
        (b'{"error": "denied"}', '{"error": "denied"}'),
        (b'{"kind": "Status", "code": "many"}', '{"kind": "Status", "code": "many"}'),
        (b"[]", "[]"),
        (b'"busy"', '"busy"'),
    ],
)
def test_what_a_proxy_answers_in_the_servers_place_is_told_and_counts_by_its_http_status(
    body: bytes, message: str
) -> None:
    error = api_error(WHAT, 503, body)
    assert type(error) is ServiceUnavailable
    assert (error.code, error.message) == (503, message)


@pytest.mark.parametrize(
    ("body", "too_large"),
    [
        (status(504, "Timeout", "Timeout: Too large resource version: 9, current: 8"), True),
        (
            status(504, "Timeout", "…", causes=[{"reason": "ResourceVersionTooLarge", "message": "…"}]),
            True,
        ),
        (status(504, "Timeout", "request did not complete"), False),
    ],
)
def test_a_version_that_the_server_has_not_reached_yet_is_told_from_a_slow_server(body: bytes, too_large: bool) -> None:
    error = api_error(WHAT, 504, body)
    assert isinstance(error, ServerTimeout)
    assert error.version_too_large is too_large


def test_every_error_can_be_caught_as_one_of_this_library() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 20
    assert all(issubclass(kind, errors.RuntimeFailure) for kind in kinds)


def test_an_object_that_does_not_decode_is_not_tried_again() -> None:
    assert issubclass(errors.DecodeError, errors.TerminalError)
