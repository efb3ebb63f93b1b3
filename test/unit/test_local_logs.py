"""Logs of containers: how they are written with times, and what a kubelet gives of them."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from disvc.local.cri_log import Record, start_of_tail, time_of
from disvc.local.logs import NoLog, RunLog, last_words, read
from disvc.local.output import Output
from disvc.testing.memory.log_options import LogOptions

if TYPE_CHECKING:
    from pathlib import Path

HOUR_NS = 3600 * 10**9
NOON_NS = 1767268800 * 10**9 + 5
NOON = b"2026-01-01T12:00:00.000000005Z"


@pytest.fixture
def log(tmp_path: Path) -> RunLog:
    """The log of a run that has ended, an hour a line: morning, noon, evening."""
    log = RunLog(tmp_path / "0.log")
    texts = (b"morning", b"noon", b"evening")
    records = [
        Record(time_of(NOON_NS + hours * HOUR_NS), True, text) for hours, text in zip((-6, 0, 6), texts, strict=True)
    ]
    log.path.write_bytes(b"".join(record.line() for record in records))
    log.ended.set()
    return log


async def text(log: RunLog, **query: str) -> str:
    return b"".join([part async for part in read(log, LogOptions.read(query, "p"))]).decode()


def test_a_record_is_written_and_read_back() -> None:
    assert time_of(NOON_NS) == NOON
    for is_whole, line in ((True, NOON + b" stdout F two words\n"), (False, NOON + b" stdout P two words\n")):
        record = Record(NOON, is_whole, b"two words")
        assert record.line() == line
        assert Record.read(line) == record
    assert Record.read(NOON + b" stdout F \n").written() == b"\n"


@pytest.mark.parametrize(
    ("lines", "tail"), [(0, b""), (1, b"c\n"), (2, b"b\nc\n"), (3, b"a\nb\nc\n"), (9, b"a\nb\nc\n")]
)
def test_a_tail_has_so_many_lines_or_all_of_them(lines: int, tail: bytes) -> None:
    content = b"a\nb\nc\n"
    assert content[start_of_tail(content, lines) :] == tail


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "morning\nnoon\nevening\n"),
        ({"tailLines": "2"}, "noon\nevening\n"),
        ({"tailLines": "0"}, ""),
        ({"limitBytes": "10"}, "morning\nno"),
        ({"limitBytes": "8", "follow": "true"}, "morning\n"),
        ({"sinceTime": "2026-01-01T12:00:00Z"}, "noon\nevening\n"),
        ({"sinceTime": "2026-01-01T12:00:01Z"}, "evening\n"),
        ({"sinceTime": "2026-01-01T12:00:01Z", "tailLines": "2"}, "evening\n"),
        ({"timestamps": "true", "sinceTime": "2026-01-01T12:00:00Z", "limitBytes": "36"}, f"{NOON.decode()} noon\n"),
    ],
)
async def test_what_is_asked_for_is_given(log: RunLog, query: dict[str, str], expected: str) -> None:
    assert await text(log, **query) == expected


async def test_the_last_seconds_are_those_before_now(log: RunLog) -> None:
    since_noon = datetime.now(UTC) - datetime.fromisoformat("2026-01-01T12:00:00Z") + timedelta(hours=1)
    assert await text(log, sinceSeconds=str(int(since_noon.total_seconds()))) == "noon\nevening\n"


async def test_a_line_in_parts_is_one_again_with_one_time(log: RunLog) -> None:
    parts = (Record(NOON, False, b"in "), Record(NOON, False, b"two "), Record(NOON, True, b"parts"))
    log.path.write_bytes(b"".join(part.line() for part in parts))
    assert await text(log, timestamps="true") == f"{NOON.decode()} in two parts\n"


async def test_a_log_is_followed_until_its_run_ends(log: RunLog) -> None:
    log.ended.clear()
    got: list[bytes] = []
    grown = asyncio.Event()

    async def follow() -> None:
        async for part in read(log, LogOptions.read({"follow": "true", "tailLines": "1"}, "p")):
            got.append(part)
            grown.set()

    async def write(content: bytes) -> None:
        grown.clear()
        with log.path.open("ab") as file:
            file.write(content)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await grown.wait()
        line = Record(NOON, True, b"night").line()
        await write(line[:30])  # what has not come as a whole is not shown yet
        await write(line[30:])
        await grown.wait()
        await write(line)
        log.ended.set()
    assert got == [b"evening\n", b"night\n", b"night\n"]


async def test_a_log_that_is_followed_ends_at_its_limit(log: RunLog) -> None:
    log.ended.clear()
    async with asyncio.timeout(60):
        assert await text(log, follow="true", limitBytes="10") == "morning\nno"


async def test_a_log_whose_file_is_gone_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NoLog, match="no such file or directory"):
        await text(RunLog(tmp_path / "0.log"))


async def test_what_a_process_writes_comes_into_its_log_by_lines_with_times(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "0.log")
    output = Output(log.path)
    os.write(output.sink, b"one\n\ntw")
    assert output.pump()
    assert output.pump(), "nothing is there now, and more may come"
    assert await text(log) == "one\n\n"
    os.write(output.sink, b"o\nno line")
    os.close(output.sink)
    output.close()
    assert await text(log) == "one\n\ntwo\nno line"
    before, now = time_of(NOON_NS), datetime.now(UTC) + timedelta(seconds=1)
    times = [Record.read(line).time for line in log.path.read_bytes().splitlines()]
    assert before < min(times) <= max(times) < time_of(int(now.timestamp()) * 10**9)


async def test_a_line_without_an_end_does_not_stay_in_memory(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "0.log")
    output = Output(log.path)
    os.write(output.sink, b"x" * 20000)
    output.pump()
    assert await text(log) == "x" * 20000
    os.write(output.sink, b"y\n")
    os.close(output.sink)
    assert output.pump()
    assert not output.pump(), "the pipe has ended"
    output.close()
    assert await text(log) == "x" * 20000 + "y\n"


def test_the_last_words_are_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"".join(Record(NOON, True, b"%d" % number).line() for number in range(1000)))
    assert last_words(log, lines=2, most_bytes=100) == "998\n999\n"
    assert last_words(log, lines=2, most_bytes=5) == "\n999\n"
    log.write_bytes(b"")
    assert last_words(log, lines=2, most_bytes=5) == ""
