"""The event recorder on a small event server in this process, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from disvc.runtime.client import Client
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, Unreachable
from disvc.runtime.events import DROPPED, EventRecorder, ObjectReference
from disvc.runtime.metrics import Metrics
from disvc.runtime.objects import Resource
from disvc.runtime.transport import Answer, Stream, Transport
from disvc.testing.clock import VirtualClock, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

POD = ObjectReference("v1", "Pod", "prod", "web-0", "uid-1", "7")
PODS: Resource[dict[str, Any]] = Resource("v1", "Pod", "pods")


class EventServer(Transport):
    """Keeps events as a kube-apiserver does; a test lays hands on a request `before` and `after` it is served."""

    host = "server"

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}  # by path
        self.calls: list[str] = []
        self.before: Callable[[str], Any] | None = None
        self.after: Callable[[str], Any] | None = None

    @property
    def only(self) -> dict[str, Any]:
        (event,) = self.events.values()
        return event

    def writes(self, method: str) -> int:
        return self.calls.count(method)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        fence: Callable[[], float | None] | None,
    ) -> Answer:
        self.calls.append(method)
        answer = await self.before(method) if self.before else None
        if answer is None:
            answer = self._serve(method, path, json.loads(body or b"{}"))
        if self.after:
            await self.after(method)
        assert isinstance(answer, Answer)
        return answer

    def _serve(self, method: str, path: str, value: dict[str, Any]) -> Answer:
        if method == "POST":
            path = f"{path}/{value['metadata']['name']}"
            if path in self.events:
                return refusal(409, "AlreadyExists")
            self.events[path] = value
        elif path not in self.events:
            return refusal(404, "NotFound")
        else:
            self.events[path] |= value
        return Answer(200, {}, json.dumps(self.events[path]).encode())

    def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError

    async def fork(self) -> EventServer:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def refusal(status: int, reason: str, message: str = "", cause: str = "") -> Answer:
    details = {"causes": [{"reason": cause}]} if cause else {}
    body = {"kind": "Status", "code": status, "reason": reason, "message": message, "details": details}
    return Answer(status, {}, json.dumps(body).encode())


class Reporter:
    """A recorder with what belongs to it."""

    def __init__(self, clock: VirtualClock | None = None, server: EventServer | None = None, seed: int = 0) -> None:
        self.server = server or EventServer()
        self.metrics = Metrics()
        environment = Environment(clock or VirtualClock(), random.Random(seed))
        client = Client(self.server, environment=environment)
        self.recorder = EventRecorder(
            client, self.metrics, reporting_controller="example.com/web", reporting_instance="web-abc"
        )

    def say(self, note: str = "it is", *, about: ObjectReference = POD, reason: str = "Unhealthy") -> None:
        self.recorder.event(about, "Warning", reason, "Probing", note)

    def dropped(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value("disvc_events_dropped_total", {"reason": reason})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.recorder.run())
            yield
            task.cancel()


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_an_event_is_created_as_the_api_wants_it() -> None:
    web = Reporter()
    node = PODS.read(b'{"metadata": {"name": "n", "namespace": "prod", "uid": "u", "resourceVersion": "9"}}')
    async with web.running():
        web.recorder.event(POD, "Normal", "Started", "Starting", "It runs", related=node)
        await asyncio.sleep(1)
    ((path, event),) = web.server.events.items()
    assert path.startswith("/apis/events.k8s.io/v1/namespaces/prod/events/web-0.")
    assert event.pop("metadata")["namespace"] == "prod"
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": "Started",
        "action": "Starting",
        "note": "It runs",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "prod",
            "name": "web-0",
            "uid": "uid-1",
            "resourceVersion": "7",
        },
        "related": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "prod",
            "name": "n",
            "uid": "u",
            "resourceVersion": "9",
        },
        "reportingController": "example.com/web",
        "reportingInstance": "web-abc",
    }


@in_virtual_time
async def test_the_event_of_a_cluster_scoped_object_is_in_the_default_namespace() -> None:
    web = Reporter()
    async with web.running():
        web.say(about=ObjectReference("v1", "Node", "", "node-1"))
        await asyncio.sleep(1)
    assert web.server.only["metadata"]["namespace"] == "default"
    assert web.server.only["regarding"] == {"apiVersion": "v1", "kind": "Node", "name": "node-1"}


@pytest.mark.parametrize("name", ["2001:db8::123", "system:node", "x" * 250, "web.POD", "-web"])
@in_virtual_time
async def test_an_object_whose_name_no_event_can_bear_gets_an_event_of_another_name(name: str) -> None:
    web = Reporter()
    async with web.running():
        web.say(about=ObjectReference("v1", "Thing", "prod", name))
        await asyncio.sleep(1)
    assert re.fullmatch("[0-9a-f]{24}", web.server.only["metadata"]["name"])


@in_virtual_time
async def test_events_of_one_object_at_one_time_have_names_of_their_own() -> None:
    web = Reporter()
    async with web.running():
        for n in range(20):
            web.say(reason=f"Reason{n}")
        await asyncio.sleep(1)
    assert len(web.server.events) == 20


class UnsteadyClock(VirtualClock):
    """Its wall clock is what a test sets it to."""

    wall = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.wall


@pytest.mark.parametrize("name", ["web-0", "system:node"])
@in_virtual_time
async def test_names_are_in_the_order_of_the_events_at_one_instant_and_when_the_clock_goes_back(name: str) -> None:
    clock = UnsteadyClock()
    web = Reporter(clock)
    about = ObjectReference("v1", "Thing", "prod", name)
    async with web.running():
        for n, seconds in enumerate([0, 0, 0, 1, 1, -3600, -3599, 3600, 3600]):
            clock.wall = UnsteadyClock.wall + timedelta(seconds=seconds)
            web.say(about=about, reason=f"Reason{n}")
        await asyncio.sleep(1)
    by_name = sorted(web.server.events.values(), key=lambda event: event["metadata"]["name"])
    assert [event["reason"] for event in by_name] == [f"Reason{n}" for n in range(9)]


@in_virtual_time
async def test_two_reporters_that_see_one_object_at_one_instant_make_two_events() -> None:
    server = EventServer()
    for seed in range(2):
        web = Reporter(server=server, seed=seed)
        async with web.running():
            web.say()
            await web.recorder.flush()
    assert len(server.events) == 2


class TestSeries:
    @in_virtual_time
    async def test_the_first_repeat_makes_a_series_of_two_and_further_ones_are_only_counted(self) -> None:
        web = Reporter()
        async with web.running():
            web.say()
            await asyncio.sleep(60)
            assert "series" not in web.server.only
            web.say()
            await asyncio.sleep(60)
            assert web.server.only["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
            for _ in range(5):
                web.say()
                await asyncio.sleep(60)
            assert web.server.only["series"]["count"] == 2
            assert web.server.calls == ["POST", "PATCH"]

    @in_virtual_time
    async def test_repeats_before_the_event_is_sent_are_sent_with_it(self) -> None:
        web = Reporter()
        for _ in range(100):
            web.say()
        async with web.running():
            await asyncio.sleep(1)
        assert web.server.only["series"]["count"] == 100
        assert web.server.calls == ["POST"]

    @in_virtual_time
    async def test_a_series_ends_six_minutes_after_its_last_event_with_the_final_count(self) -> None:
        web = Reporter()
        async with web.running():
            for _ in range(7):
                web.say()
                await asyncio.sleep(10)
            await asyncio.sleep(349)
            assert web.server.only["series"]["count"] == 2
            await asyncio.sleep(2)
            assert web.server.only["series"] == {"count": 7, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}
            web.say()
            await asyncio.sleep(1)
        assert len(web.server.events) == 2

    @in_virtual_time
    async def test_a_series_ends_although_an_older_one_goes_on(self) -> None:
        web = Reporter()
        async with web.running():
            web.say(reason="Old")
            for _ in range(3):
                web.say(reason="Young")
                await asyncio.sleep(1)
            for _ in range(7):
                web.say(reason="Old")
                await asyncio.sleep(60)
        (young,) = [event for event in web.server.events.values() if event["reason"] == "Young"]
        assert young["series"]["count"] == 3

    @in_virtual_time
    async def test_repeats_while_the_event_is_being_created_make_it_a_series_afterwards(self) -> None:
        web = Reporter()

        async def slow(method: str) -> None:
            await asyncio.sleep(5)

        web.server.after = slow
        async with web.running():
            for _ in range(3):
                web.say()
                await asyncio.sleep(1)
            await asyncio.sleep(20)
        assert web.server.calls == ["POST", "PATCH"]
        assert web.server.only["series"]["count"] == 3

    @in_virtual_time
    async def test_a_series_that_ends_while_it_is_being_sent_has_its_final_count(self) -> None:
        web = Reporter()

        async def slow(method: str) -> None:
            await asyncio.sleep(400)

        async with web.running():
            web.say()
            await asyncio.sleep(1)
            web.server.after = slow
            web.say()  # sent until 401
            await asyncio.sleep(1)
            web.say()  # seen last
            await asyncio.sleep(390)
            web.server.after = None
            web.say(reason="Other")  # which is when the end of the first one is noticed
            await asyncio.sleep(20)
        assert web.server.calls == ["POST", "PATCH", "POST", "PATCH"]
        assert next(iter(web.server.events.values()))["series"]["count"] == 3

    @in_virtual_time
    async def test_a_single_event_is_forgotten_after_six_minutes_without_a_request(self) -> None:
        web = Reporter()
        async with web.running():
            web.say()
            await asyncio.sleep(361)
            assert web.server.calls == ["POST"]
            web.say()
            await asyncio.sleep(1)
        assert web.server.calls == ["POST", "POST"]

    @in_virtual_time
    async def test_a_series_that_goes_on_is_refreshed_every_half_hour(self) -> None:
        web = Reporter()
        async with web.running():
            while now() < 2 * 3600 - 1:
                web.say()
                await asyncio.sleep(60)
        assert web.server.writes("PATCH") == 1 + 3
        assert web.server.only["series"]["count"] == 92

    @in_virtual_time
    async def test_a_series_whose_refresh_failed_goes_on_and_is_refreshed_by_the_next_repeat(self) -> None:
        web = Reporter()

        async def refuse(method: str) -> Answer:
            return refusal(403, "Forbidden", "not now")

        async with web.running():
            while now() < 1800 - 1:
                web.say()
                await asyncio.sleep(60)
            web.server.before = refuse
            web.say()  # half an hour after the first one, but not after the second one, which was written, too
            await asyncio.sleep(60)
            web.say()
            await asyncio.sleep(60)
            assert web.dropped("forbidden") == 1
            web.server.before = None
            web.say()
            await asyncio.sleep(60)
        assert web.server.calls == ["POST", "PATCH", "PATCH", "PATCH"]
        assert web.server.only["series"]["count"] == 33

    @pytest.mark.parametrize(
        "other",
        [
            {"event_type": "Normal"},
            {"reason": "Other"},
            {"action": "Other"},
            {"related": POD},
            {"regarding": ObjectReference("v1", "Pod", "prod", "web-0", "uid-2", "7")},
            {"regarding": ObjectReference("v1", "Pod", "prod", "web-0", "uid-1", "7", "spec.containers{app}")},
        ],
        ids=["type", "reason", "action", "related", "made again", "another part"],
    )
    @in_virtual_time
    async def test_events_that_differ_in_more_than_the_note_are_no_series(self, other: dict[str, Any]) -> None:
        web = Reporter()
        first: dict[str, Any] = {"regarding": POD, "event_type": "Warning", "reason": "R", "action": "A", "note": "n"}
        async with web.running():
            web.recorder.event(**first)
            web.recorder.event(**first | other)
            await asyncio.sleep(1)
        assert len(web.server.events) == 2
        assert web.server.calls == ["POST", "POST"]

    @in_virtual_time
    async def test_events_of_different_versions_of_the_objects_are_a_series_with_the_first_versions(self) -> None:
        web = Reporter()
        async with web.running():
            for version in "789":
                obj = ObjectReference("v1", "Pod", "prod", "web-0", "uid-1", version)
                web.recorder.event(obj, "Normal", "R", "A", "n", related=obj)
                await asyncio.sleep(1)
        assert web.server.calls == ["POST", "PATCH"]
        assert web.server.only["regarding"]["resourceVersion"] == "7"
        assert web.server.only["related"]["resourceVersion"] == "7"

    @in_virtual_time
    async def test_events_that_differ_in_the_note_are_a_series_with_the_first_note(self) -> None:
        web = Reporter()
        async with web.running():
            web.say("1 of 3")
            await asyncio.sleep(1)
            web.say("2 of 3")
            await asyncio.sleep(1)
        assert web.server.only["note"] == "1 of 3"
        assert web.server.only["series"]["count"] == 2

    @in_virtual_time
    async def test_a_series_that_is_gone_from_the_server_is_created_again(self) -> None:
        web = Reporter()
        async with web.running():
            web.say()
            await asyncio.sleep(1)
            web.server.events.clear()
            web.say()
            await asyncio.sleep(1)
        assert web.server.calls == ["POST", "PATCH", "POST"]
        assert web.server.only["series"]["count"] == 2
        assert web.server.only["eventTime"] == "2026-01-01T00:00:00.000000Z"

    @in_virtual_time
    async def test_the_number_of_series_that_are_remembered_is_bounded(self) -> None:
        web = Reporter()
        async with web.running():
            for _ in range(2):
                web.say(reason="Old")
                await asyncio.sleep(1)
            web.say(reason="Old")
            for n in range(4096):
                web.say(reason=f"R{n}")
                await asyncio.sleep(0.01)
            old = next(event for event in web.server.events.values() if event["reason"] == "Old")
            assert old["series"]["count"] == 3  # it was ended to make room
            web.say(reason="Old")
            await asyncio.sleep(1)
        assert len(web.server.events) == 4098


class TestArguments:
    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"event_type": "Error"}, "the type is 'Normal' or 'Warning', not 'Error'"),
            ({"reason": ""}, "reason must have 1 to 128 bytes"),
            ({"reason": "x" * 129}, "reason must have 1 to 128 bytes"),
            ({"action": ""}, "action must have 1 to 128 bytes"),
            ({"action": "é" * 65}, "action must have 1 to 128 bytes"),
            ({"regarding": ObjectReference("v1", "Pod")}, "regarding must name a kind and an object"),
            ({"related": ObjectReference(name="a")}, "related must name a kind and an object"),
        ],
    )
    @in_virtual_time
    async def test_what_no_server_would_take_is_refused_at_once(self, wrong: dict[str, Any], complaint: str) -> None:
        good: dict[str, Any] = {"regarding": POD, "event_type": "Normal", "reason": "R", "action": "A", "note": "n"}
        with pytest.raises(ValueError, match=complaint):
            Reporter().recorder.event(**good | wrong)

    @pytest.mark.parametrize("note", ["x" * 2000, "é" * 2000, "🙂" * 2000])
    @in_virtual_time
    async def test_a_long_note_is_cut_at_a_whole_character(self, note: str) -> None:
        web = Reporter()
        async with web.running():
            web.say(note)
            await asyncio.sleep(1)
        sent = web.server.only["note"]
        assert sent.endswith("…")
        assert note.startswith(sent[:-1])
        assert 1020 < len(sent.encode()) <= 1024

    @in_virtual_time
    async def test_a_note_of_1024_bytes_is_sent_whole(self) -> None:
        web = Reporter()
        async with web.running():
            web.say("x" * 1024)
            await asyncio.sleep(1)
        assert web.server.only["note"] == "x" * 1024

    @pytest.mark.parametrize("name", ["", "a b", "x" * 64, "/web", "UPPER/web", "a/b/c"])
    @in_virtual_time
    async def test_a_reporter_whose_name_is_no_qualified_name_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match="is not a qualified name"):
            EventRecorder(Client(EventServer()), Metrics(), reporting_controller=name)

    @in_virtual_time
    async def test_the_instance_is_made_of_the_controller_and_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("socket.gethostname", lambda: "h" * 200)
        recorder = EventRecorder(Client(EventServer()), Metrics(), reporting_controller="web")
        assert recorder.reporting_instance == ("web-" + "h" * 200)[:128]


class TestTrouble:
    @in_virtual_time
    async def test_an_unreachable_server_is_tried_again_and_nothing_is_lost(self) -> None:
        web = Reporter()

        async def cut(method: str) -> None:
            raise Unreachable("no route")

        web.server.before = cut
        async with web.running():
            for n in range(10):
                web.say(reason=f"R{n}")
            await asyncio.sleep(20)
            web.server.before = None
            await asyncio.sleep(60)
        assert len(web.server.events) == 10

    @in_virtual_time
    async def test_a_server_that_stays_away_costs_the_event_and_not_the_recorder(self) -> None:
        web = Reporter()

        async def cut(method: str) -> None:
            raise Unreachable("no route")

        web.server.before = cut
        async with web.running():
            web.say()
            await asyncio.sleep(600)
            assert web.dropped("unreachable") == 1
            web.server.before = None
            web.say()
            await asyncio.sleep(1)
        assert "series" not in web.server.only

    @in_virtual_time
    async def test_a_full_queue_of_events_that_fail_four_times_each_arrives_whole(self) -> None:
        web = Reporter()

        async def fail_four_of_five(method: str) -> Answer | None:
            return refusal(500, "InternalError") if len(web.server.calls) % 5 else None

        web.server.before = fail_four_of_five
        for n in range(1000):
            web.say(reason=f"R{n}")
        async with web.running():
            await web.recorder.flush()
        assert now() > 360  # longer than a series is remembered
        assert len(web.server.events) == 1000
        assert web.server.calls == ["POST"] * 5000

    @pytest.mark.parametrize(
        ("status", "reason", "attempts", "why_dropped"),
        [
            (500, "InternalError", 12, "unreachable"),
            (503, "ServiceUnavailable", 12, "unreachable"),
            (504, "Timeout", 12, "unreachable"),
            (400, "BadRequest", 1, "rejected"),
            (403, "Forbidden", 1, "forbidden"),
            (413, "RequestEntityTooLarge", 1, "rejected"),
            (422, "Invalid", 1, "rejected"),
        ],
    )
    @in_virtual_time
    async def test_trouble_of_the_server_is_given_twelve_attempts_and_a_refusal_one(
        self, status: int, reason: str, attempts: int, why_dropped: str
    ) -> None:
        web = Reporter()

        async def refuse(method: str) -> Answer:
            return refusal(status, reason)

        web.server.before = refuse
        async with web.running():
            web.say()
            await web.recorder.flush()
        assert web.server.calls == ["POST"] * attempts
        assert web.dropped(why_dropped) == 1

    @in_virtual_time
    async def test_a_create_whose_answer_is_lost_makes_one_event(self) -> None:
        web = Reporter()

        async def lose(method: str) -> None:
            web.server.after = None
            web.say()
            raise AnswerLost("cut")

        web.server.after = lose
        async with web.running():
            web.say()
            await asyncio.sleep(60)
        assert web.server.calls == ["POST", "POST", "PATCH"]
        assert web.server.only["series"]["count"] == 2
        assert [web.dropped(reason) for reason in DROPPED] == [0] * len(DROPPED)

    @in_virtual_time
    async def test_a_403_is_logged_once_and_says_which_verb_on_which_resource(self) -> None:
        web = Reporter()

        async def forbid(method: str) -> Answer:
            return refusal(403, "Forbidden", 'User "u" cannot create resource "events"')

        web.server.before = forbid
        with structlog.testing.capture_logs() as logs:
            async with web.running():
                for n in range(50):
                    web.say(reason=f"R{n}")
                    await asyncio.sleep(60)
        assert len(logs) == 1
        assert logs[0]["error"].startswith("create events.events.k8s.io prod/web-0.")
        assert logs[0]["error"].endswith('403 Forbidden: User "u" cannot create resource "events"')
        assert web.dropped("forbidden") == 50
        assert web.server.writes("POST") == 50  # a 403 is not tried again

    @pytest.mark.parametrize(
        "answer",
        [refusal(403, "Forbidden", "terminating", cause="NamespaceTerminating"), refusal(404, "NotFound")],
        ids=["terminating", "gone"],
    )
    @in_virtual_time
    async def test_the_events_of_a_namespace_that_goes_are_dropped_quietly(self, answer: Answer) -> None:
        web = Reporter()

        async def refuse(method: str) -> Answer:
            return answer

        web.server.before = refuse
        with structlog.testing.capture_logs() as logs:
            async with web.running():
                web.say()
                await asyncio.sleep(1)
        assert [log["log_level"] for log in logs] == ["debug"]
        assert web.dropped("namespace_terminating") == 1

    @in_virtual_time
    async def test_an_event_that_the_server_refuses_is_dropped_and_the_rest_go_on(self) -> None:
        web = Reporter()

        async def refuse_once(method: str) -> Answer:
            web.server.before = None
            return refusal(422, "Invalid", "no")

        web.server.before = refuse_once
        async with web.running():
            web.say(reason="Bad")
            web.say(reason="Good")
            await asyncio.sleep(1)
        assert web.server.only["reason"] == "Good"
        assert web.dropped("rejected") == 1

    @in_virtual_time
    async def test_more_events_than_the_queue_holds_are_dropped_counted_and_logged_once_a_minute(self) -> None:
        web = Reporter()
        with structlog.testing.capture_logs() as logs:
            for n in range(1500):
                web.say(reason=f"R{n}")
            assert len(logs) == 1
            assert logs[0]["reason"] == "queue_full"
            await asyncio.sleep(61)
            web.say(reason="Another")
            assert len(logs) == 2
        assert web.dropped("queue_full") == 501
        async with web.running():
            await asyncio.sleep(1)
            web.say(reason="R1499")
            await asyncio.sleep(1)
        assert len(web.server.events) == 1001

    @in_virtual_time
    async def test_every_reason_for_dropping_has_a_series_from_the_start(self) -> None:
        web = Reporter()
        assert [web.dropped(reason) for reason in DROPPED] == [0] * len(DROPPED)


class TestShutdown:
    @in_virtual_time
    async def test_flush_sends_what_waits_and_the_counts_of_series_that_go_on(self) -> None:
        web = Reporter()
        async with web.running():
            for _ in range(5):
                web.say()
                await asyncio.sleep(1)
            web.say(reason="Other")
            await web.recorder.flush()
            assert sorted(e.get("series", {}).get("count", 1) for e in web.server.events.values()) == [1, 5]

    @in_virtual_time
    async def test_flush_with_nothing_to_do_returns(self) -> None:
        web = Reporter()
        async with web.running():
            await web.recorder.flush()
        assert now() == 0

    @in_virtual_time
    async def test_what_is_left_at_the_end_of_the_grace_is_counted_as_dropped(self) -> None:
        web = Reporter()

        async def hang(method: str) -> None:
            await asyncio.sleep(10_000)

        web.server.before = hang
        async with web.running():
            web.say(reason="A")
            web.say(reason="B")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await web.recorder.flush()
        assert web.dropped("shutdown") == 2

    @in_virtual_time
    async def test_a_stop_does_not_wait_for_the_next_attempt(self) -> None:
        web = Reporter()

        async def fail(method: str) -> Answer:
            return refusal(500, "InternalError")

        web.server.before = fail
        async with web.running():
            web.say()
            await asyncio.sleep(0.01)
        assert now() == 0.01
        assert web.server.calls == ["POST"]
        assert web.dropped("shutdown") == 1

    @in_virtual_time
    async def test_an_event_after_the_end_is_counted_as_dropped_and_raises_nothing(self) -> None:
        web = Reporter()
        async with web.running():
            web.say()
            await web.recorder.flush()
        web.say()
        web.say(reason="Other")
        assert web.server.calls == ["POST"]
        assert web.dropped("shutdown") == 2
