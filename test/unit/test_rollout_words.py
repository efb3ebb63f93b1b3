from datetime import UTC, datetime

import pytest

from disvc.rollout.observation import Member, Observation, Obstacle, Problem
from disvc.rollout.reading import LONGEST, instant, one_line
from disvc.rollout.words import summary

CRASH = Problem(
    "CrashLoopBackOff",
    "container kserve-container: CrashLoopBackOff (exit code 1)",
    "kubectl -n ns logs m-v2-1-predictor-7f-x -c kserve-container --previous",
    since=datetime(2026, 3, 1, 10, 4, 3, tzinfo=UTC),
)
STARTS = Problem("ContainersNotReady", "container kserve-container runs", "kubectl -n ns logs p", failing=False)


def member(index: int, *, ready: bool = False, problem: Problem | None = None) -> Member:
    return Member(f"m-v2-{index}", "m-v2", index, "cafe", ready=ready, problem=problem)


def seen(*members: Member, addresses: int = 0, **refused: Obstacle) -> Observation:
    by_name = {name.replace("_", "-"): obstacle for name, obstacle in refused.items()}
    return Observation(members=members, endpoints={"m-v2": addresses}, refused=by_name)


def test_a_message_names_the_member_what_is_wrong_since_when_and_where_to_look() -> None:
    look = seen(member(0, ready=True), member(1, problem=CRASH), member(2, ready=True))
    assert summary("m-v2", 3, look) == (
        "2 of 3 members ready; m-v2-1: container kserve-container: CrashLoopBackOff (exit code 1), "
        "since 2026-03-01T10:04:03Z; see: kubectl -n ns logs m-v2-1-predictor-7f-x -c kserve-container --previous"
    )


def test_when_all_are_ready_the_ready_addresses_are_told_as_they_may_be_what_is_waited_for() -> None:
    look = seen(member(0, ready=True), member(1, ready=True), addresses=3)
    assert summary("m-v2", 2, look) == "2 of 2 members ready; ready addresses of Service m-v2: 3"


def test_a_service_that_has_not_been_seen_has_no_ready_addresses() -> None:
    look = Observation(members=(member(0, ready=True),))
    assert summary("m-v2", 1, look) == "1 of 1 members ready; ready addresses of Service m-v2: 0"


def test_a_failing_member_is_told_before_one_that_starts_and_the_others_are_counted() -> None:
    look = seen(*(member(i, problem=STARTS) for i in range(3)), member(3, problem=CRASH))
    words = summary("m-v2", 4, look)
    assert words.startswith("0 of 4 members ready; m-v2-3: container kserve-container: CrashLoopBackOff")
    assert "; 3 more not ready; see: kubectl" in words


def test_a_member_that_is_not_ready_is_told_before_a_ready_one_with_a_failing_pod() -> None:
    words = summary("m-v2", 2, seen(member(0, ready=True, problem=CRASH), member(1, problem=STARTS)))
    assert words.startswith("1 of 2 members ready; m-v2-1: ")
    assert "more" not in words


def test_a_ready_member_with_a_failing_pod_is_told_when_all_are_ready() -> None:
    words = summary("m-v2", 2, seen(member(0, ready=True), member(1, ready=True, problem=CRASH)))
    assert words.startswith("2 of 2 members ready; m-v2-1: container kserve-container: CrashLoopBackOff")
    assert "more" not in words


def test_of_equal_cases_the_lowest_index_is_told() -> None:
    look = seen(*(member(i, problem=CRASH) for i in (10, 2, 1)), *(member(i, ready=True) for i in (0, *range(3, 10))))
    assert summary("m-v2", 11, look).startswith("8 of 11 members ready; m-v2-1: ")


def test_a_member_that_does_not_exist_is_told_with_what_the_server_said_to_its_creation() -> None:
    no_quota = Obstacle("QuotaExceeded", "exceeded quota: isvcs", needs_person=True, retry_seconds=15)
    words = summary("m-v2", 2, seen(member(0, ready=True), m_v2_1=no_quota))
    assert words == "1 of 2 members ready; m-v2-1: cannot be created: exceeded quota: isvcs"
    assert summary("m-v2", 1, seen()) == "0 of 1 members ready; m-v2-0: does not exist yet"


def test_a_member_that_does_not_exist_waits_for_one_of_another_revision_that_is_on_its_way_out() -> None:
    hangs = Problem("Terminating", "is being deleted, and waits for its finalizers: f", "kubectl x", failing=False)
    going = Member("m-v1-0", "m-v1", 0, "beef", deleting=True, problem=hangs)
    assert summary("m-v2", 1, seen(going)) == (
        "0 of 1 members ready; m-v2-0: waits until m-v1-0 is gone, which is being deleted, and waits for its "
        "finalizers: f; see: kubectl x"
    )
    stays = Member("m-v1-1", "m-v1", 1, "beef")
    mine = Member("m-v2-1", "m-v2", 1, "cafe", deleting=True, problem=hangs)
    assert "m-v2-0: does not exist yet" in summary("m-v2", 1, seen(stays, mine))
    refused = Obstacle("QuotaExceeded", "exceeded quota: isvcs", needs_person=True, retry_seconds=15)
    assert "m-v2-0: cannot be created" in summary("m-v2", 1, seen(going, m_v2_0=refused))


def test_members_of_other_revisions_and_those_that_are_not_wanted_any_more_do_not_count() -> None:
    other = Member("m-v1-0", "m-v1", 0, "beef", ready=True)
    look = seen(other, member(0, ready=True), member(1, problem=CRASH), addresses=1)
    assert summary("m-v2", 1, look) == "1 of 1 members ready; ready addresses of Service m-v2: 1"


def test_the_order_of_the_members_changes_no_word() -> None:
    members = [member(0, problem=STARTS), member(1, problem=CRASH), member(2, ready=True)]
    assert summary("m-v2", 3, seen(*members)) == summary("m-v2", 3, seen(*reversed(members)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\r\n\tof it.", "two lines of it"),
        ("bell\x07 escape\x1b nul\x00 del\x7f c1\x85end", "bell escape nul del c1 end"),
        ("half \ud83d of a pair", "half of a pair"),
        ("whole 😀 pair", "whole 😀 pair"),
        ("right\u202eto left", "right to left"),
        ("", ""),
        ("...", ""),
    ],
)
def test_a_text_becomes_one_line_without_what_cannot_be_shown(text: str, expected: str) -> None:
    assert one_line(text) == expected


def test_a_long_text_keeps_its_start_and_its_end() -> None:
    line = one_line("subject " + "😀" * 1000 + " error")
    assert LONGEST - 5 <= len(line) <= LONGEST
    assert line.startswith("subject 😀")
    assert line.endswith("😀 error")
    assert one_line("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-01T10:04:03Z", datetime(2026, 3, 1, 10, 4, 3, tzinfo=UTC)),
        ("2026-03-01T10:04:03.123456Z", datetime(2026, 3, 1, 10, 4, 3, 123456, tzinfo=UTC)),
        ("2026-03-01T10:04:03.123456789Z", datetime(2026, 3, 1, 10, 4, 3, 123456, tzinfo=UTC)),
        ("2026-03-01T12:04:03+02:00", datetime(2026, 3, 1, 10, 4, 3, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", None),  # containerd, of a container that never ran
        ("0001-01-01T00:00:00Z", None),
        ("2026-03-01T10:04:03", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_or_it_is_no_time(written: str | None, expected: datetime | None) -> None:
    assert instant(written) == expected
