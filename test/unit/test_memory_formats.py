"""Durations, formats and causes are in the words of the real server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from disvc.testing.memory import causes, formats
from disvc.testing.memory.durations import human_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (10860, "3h1m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (176400, "2d1h"),
        (691200, "8d"),
        (63072000, "2y"),
        (63158400, "2y1d"),
        (252288000, "8y"),
        (283824000, "9y"),
    ],
)
def test_a_duration_is_told_in_two_figures(seconds: float, text: str) -> None:
    assert human_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("check", "good", "bad", "part"),
    [
        (formats.dns_label, "a-1", "a.b", "must not contain dots"),
        (formats.dns_label, "a" * 63, "a" * 64, "must be no more than 63 characters"),
        (formats.dns_subdomain, "a.b-1", "A", "(e.g. 'example.com', regex used for validation is"),
        (formats.wildcard_subdomain, "*.a.b", "a.b", "must start with '*.'"),
        (formats.dns_1035_label, "a1", "1a", "(e.g. 'my-name',  or 'abc-123', regex used for validation is"),
        (formats.label_key, "example.com/a_B", "/a", "prefix part must be non-empty"),
        (formats.label_key, "a", "a/b/c", "a valid label key must consist of alphanumeric characters"),
        (formats.label_key, "a", "a/", "name part must be non-empty"),
        (formats.label_value, "", "-", "a valid label must be an empty string or consist of"),
        (formats.path_segment, "system:a", "a/b", "may not contain '/'"),
        (formats.path_segment, "a..", "..", "may not be '..'"),
        (formats.port_name, "http-1", "1", "must contain at least one letter (a-z)"),
        (formats.port_name, "http", "a--b", "must not contain consecutive hyphens"),
        (formats.environment_name, "A b", "A=b", "other than '='"),
        (formats.config_key, "A_b.c", "..a", "must not start with '..'"),
        (formats.percent, "25%", "%", "must be a numeric string followed by an ending '%'"),
    ],
)
def test_a_format_says_what_is_wrong(check: Callable[[str], Sequence[str]], good: str, bad: str, part: str) -> None:
    assert check(good) == []
    assert any(part in message for message in check(bad))


def test_a_port_is_between_1_and_65535() -> None:
    assert formats.port_number(1) == formats.port_number(65535) == []
    assert formats.port_number(0) == formats.port_number(65536) == ["must be between 1 and 65535, inclusive"]


def test_a_cause_shows_its_value_as_go_does() -> None:
    assert str(causes.invalid("spec.a", "<b>", "no")) == 'spec.a: Invalid value: "<b>": no'
    assert str(causes.invalid("spec.a", {"b": "<"}, "no")) == 'spec.a: Invalid value: {"b":"\\u003c"}: no'
    assert str(causes.not_supported("a", "x", ["y", "z"])) == 'a: Unsupported value: "x": supported values: "y", "z"'
    assert str(causes.required("a")) == "a: Required value"
    assert str(causes.too_many("a", 3, 1)) == "a: Too many: 3: must have at most 1 item"
