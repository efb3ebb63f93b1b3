"""What the API server warns of, in the log."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from disvc.runtime.server_warnings import ServerWarnings


def logged(*headers: str) -> list[str]:
    warnings = ServerWarnings()
    with capture_logs() as log:
        for number, value in enumerate(headers):
            warnings.note(f"call {number}", {"warning": value})
    return [line["warning"] for line in log]


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ('299 - "a is deprecated"', ["a is deprecated"]),
        ('299 - "a", 299 - "b"', ["a", "b"]),
        ('299 agent:80 "a" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "b"', ["a", "b"]),
        (r'299 - "unknown field \"spec.a\"", 299 - "a \\ b"', ['unknown field "spec.a"', r"a \ b"]),
        ('299 - "first, 299 - second", 299 - "é"', ["first, 299 - second", "é"]),
        ('199 - "other code", 214 - "transformed"', []),
        ('299 - ""', []),
        ("nonsense", []),
        ('299 - "cut o', []),
    ],
)
def test_each_warning_of_code_299_is_logged(header: str, texts: list[str]) -> None:
    assert logged(header) == texts


def test_a_text_is_logged_once_with_the_call_that_met_it_first() -> None:
    warnings = ServerWarnings()
    with capture_logs() as log:
        for call in ("update pages default/a", "update pages default/b"):
            warnings.note(call, {"warning": '299 - "a is deprecated"'})
    assert log == [
        {
            "log_level": "warning",
            "event": "the API server warns",
            "warning": "a is deprecated",
            "call": "update pages default/a",
        }
    ]


def test_texts_that_differ_each_time_are_forgotten_and_one_that_goes_on_is_not() -> None:
    headers = [f'299 - "goes on", 299 - "object {number}"' for number in range(1100)]
    texts = logged(*headers, '299 - "object 0", 299 - "object 1099", 299 - "goes on"')
    assert texts == ["goes on", *(f"object {number}" for number in range(1100)), "object 0"]


def test_an_answer_without_warnings_logs_nothing() -> None:
    with capture_logs() as log:
        ServerWarnings().note("get pages default/a", {"retry-after": "3"})
    assert log == []
