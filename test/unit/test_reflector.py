"""The reflector against a scripted API server, in virtual time. docs/parity.md tells what the peers pin down."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest
import structlog

from disvc.runtime.client import Client
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, Unreachable
from disvc.runtime.metrics import Metrics
from disvc.runtime.objects import Object, Resource
from disvc.runtime.reflector import Reflector
from disvc.runtime.selection import Selection
from disvc.runtime.transport import Answer, Transport
from disvc.testing.clock import VirtualClock, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

CONFIG_MAPS: Resource[Any] = Resource("v1", "ConfigMap", "configmaps")

# Script steps of a stream: bytes are a chunk, a number is a pause in seconds, an exception is raised.
Step = bytes | float | Exception
HANG: float = float("inf")


def item(name: str, version: int, *, uid: str = "", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, **more}


def event(kind: str, value: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode() + b"\n"


def added(name: str, version: int) -> bytes:
    return event("ADDED", item(name, version))


def modified(name: str, version: int) -> bytes:
    return event("MODIFIED", item(name, version))


def deleted(name: str, version: int) -> bytes:
    return event("DELETED", item(name, version))


def bookmark(version: int, *, end: bool | None = None) -> bytes:
    annotations = {} if end is None else {"annotations": {"k8s.io/initial-events-end": str(end).lower()}}
    return event("BOOKMARK", {"kind": "ConfigMap", "metadata": {"resourceVersion": str(version), **annotations}})


def status(code: int, reason: str = "", message: str = "", **details: Any) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


def error_event(code: int, reason: str = "", message: str = "", **details: Any) -> bytes:
    return event("ERROR", status(code, reason, message, **details))


def refused(code: int, reason: str = "", message: str = "", *, retry_after: int | None = None) -> Answer:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Answer(code, headers, json.dumps(status(code, reason, message)).encode())


TOO_LARGE = refused(504, "Timeout", "Too large resource version: 99, current: 7")


def page(version: int, *items: Mapping[str, Any], more: str = "") -> Answer:
    metadata = {"resourceVersion": str(version), "continue": more}
    return Answer(200, {}, json.dumps({"kind": "ConfigMapList", "metadata": metadata, "items": items}).encode())


def stream(*steps: Step) -> tuple[Step, ...]:
    """A watch of 200; it ends after its last step."""
    return steps


def initial(version: int, *names: str) -> tuple[Step, ...]:
    """A stream of initial events that then stays open and says nothing."""
    return stream(*(added(name, version) for name in names), bookmark(version, end=True), HANG)


class Asked(NamedTuple):
    kind: Literal["list", "watch"]
    path: str
    query: dict[str, str]
    at: float

    @property
    def version(self) -> str | None:
        return self.query.get("resourceVersion")

    @property
    def initial(self) -> bool:
        return self.query.get("sendInitialEvents") == "true"


class Scripted(Transport):
    """Answers each request with the next answer of the script; a request beyond the script fails the test."""

    host = "scripted"

    def __init__(self, *script: Answer | tuple[Step, ...] | Exception) -> None:
        self.script = deque(script)
        self.asked: list[Asked] = []
        self.used_up = asyncio.Event()
        self.open = 0
        """How many streams are open."""

    def _next(self, kind: Literal["list", "watch"], path: str, query: Mapping[str, str]) -> Any:
        self.asked.append(Asked(kind, path, dict(query), asyncio.get_running_loop().time()))
        assert self.script, f"a request that the script does not know: {self.asked[-1]}"
        answer = self.script.popleft()
        if not self.script:
            self.used_up.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

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
        answer = self._next("list", path, query)
        assert isinstance(answer, Answer), f"the script has a stream where a list was asked for: {self.asked}"
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[ScriptedStream]:
        answer = self._next("watch", path, query)
        self.open += 1
        try:
            if isinstance(answer, Answer):
                yield ScriptedStream(answer.status, answer.headers, (answer.body,))
            else:
                yield ScriptedStream(200, {}, answer)
        finally:
            self.open -= 1

    async def fork(self) -> Scripted:
        return self

    async def close(self) -> None:
        pass


class ScriptedStream:
    def __init__(self, code: int, headers: Mapping[str, str], steps: tuple[Step, ...]) -> None:
        self.status = code
        self.headers = headers
        self._steps = steps

    async def chunks(self) -> AsyncIterator[bytes]:
        for step in self._steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            elif step == HANG:
                await asyncio.get_running_loop().create_future()
            else:
                await asyncio.sleep(step)


class Recorder:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.state: dict[str, int] = {}

    def replace(self, namespace: str, objects: list[Object[Any]], version: str) -> None:
        self.state = {obj.metadata.name: obj.version for obj in objects}
        self.told.append(("replace", dict(self.state), version))

    def changed(self, obj: Object[Any]) -> None:
        self.state[obj.metadata.name] = obj.version
        self.told.append(("changed", obj.metadata.name, obj.version))

    def deleted(self, obj: Object[Any]) -> None:
        self.state.pop(obj.metadata.name, None)
        self.told.append(("deleted", obj.metadata.name, obj.version))


class Reflected(NamedTuple):
    """What became of a run."""

    asked: list[Asked]
    sink: Recorder
    reflector: Reflector[Any]
    metrics: Metrics
    logs: list[Any]

    def metric(self, name: str) -> float | None:
        labels = {"resource": "configmaps", "namespace": ""}
        return self.metrics.registry.get_sample_value(f"disvc_reflector_{name}", labels)

    @property
    def warnings(self) -> list[Any]:
        return [entry for entry in self.logs if entry["log_level"] == "warning"]


async def reflect(
    *script: Answer | tuple[Step, ...] | Exception,
    seconds: float | None = None,
    selection: Selection[Any] | None = None,
    namespace: str = "",
    seed: int = 1,
    idle_seconds: float = 120.0,
) -> Reflected:
    """Run a reflector for so many virtual seconds (None: until the script is used up, and one more)."""
    transport = Scripted(*script)
    client = Client(transport, environment=Environment(VirtualClock(), random.Random(seed)))
    metrics = Metrics()
    sink = Recorder()
    with structlog.testing.capture_logs() as logs:
        reflector = Reflector(
            client,
            selection or Selection(CONFIG_MAPS),
            namespace,
            sink,
            metrics.reflector("configmaps", namespace),
            idle_seconds=idle_seconds,
        )
        running = asyncio.create_task(reflector.run())
        if seconds is None:
            used_up = asyncio.create_task(transport.used_up.wait())
            await asyncio.wait([running, used_up], return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait([running], timeout=1.0 if seconds is None else seconds)
        if done:
            await running  # it must not end: raises what it died of
        running.cancel()
        await asyncio.wait([running])
    assert transport.open == 0, "a stream was not closed"
    assert not transport.script, f"never asked for: {transport.script}, after {transport.asked}"
    return Reflected(transport.asked, sink, reflector, metrics, logs)


REFUSES_STREAMS = refused(422, "Invalid", "sendInitialEvents is forbidden")


# Synchronising by a stream.


@in_virtual_time
async def test_the_initial_state_comes_as_a_stream_and_the_sink_gets_it_whole_at_the_bookmark() -> None:
    run = await reflect(initial(7, "a", "b"), seconds=10)
    assert run.sink.told == [("replace", {"a": 7, "b": 7}, "7")]
    (asked,) = run.asked
    assert asked.kind == "watch"
    assert asked.path == "/api/v1/configmaps"
    assert 300 <= int(asked.query.pop("timeoutSeconds")) <= 600
    assert asked.query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    assert run.metric("lists_total") == 1
    assert run.metric("watches_total") == 0


@in_virtual_time
async def test_the_sink_gets_nothing_before_the_initial_state_is_complete() -> None:
    run = await reflect(stream(added("a", 1), bookmark(2), bookmark(3, end=False), HANG), seconds=10)
    assert run.sink.told == []
    assert run.reflector.version == ""


@in_virtual_time
async def test_changes_and_deletions_among_the_initial_events_are_part_of_the_initial_state() -> None:
    run = await reflect(
        stream(
            added("a", 1),
            added("b", 2),
            modified("a", 3),
            added("c", 4),
            deleted("c", 5),
            bookmark(5, end=True),
            HANG,
        ),
        seconds=10,
    )
    assert run.sink.told == [("replace", {"a": 3, "b": 2}, "5")]


@in_virtual_time
async def test_after_the_initial_events_the_same_stream_is_the_watch() -> None:
    run = await reflect(
        stream(bookmark(5, end=True), added("a", 6), modified("a", 7), deleted("a", 8), HANG), seconds=10
    )
    assert run.sink.told == [
        ("replace", {}, "5"),
        ("changed", "a", 6),
        ("changed", "a", 7),
        ("deleted", "a", 8),
    ]
    assert run.reflector.version == "8"


@pytest.mark.parametrize("code", [400, 405, 422])
@in_virtual_time
async def test_a_server_that_refuses_to_stream_is_listed_at_once_and_never_asked_again(code: int) -> None:
    run = await reflect(
        refused(code, "Invalid"),
        page(5, item("a", 3)),
        stream(2.0, error_event(410, "Expired")),
        page(9, item("a", 8)),
        stream(HANG),
        seconds=60,
    )
    assert [asked.kind for asked in run.asked] == ["watch", "list", "watch", "list", "watch"]
    assert [asked.initial for asked in run.asked] == [True, False, False, False, False]
    assert run.asked[1].at == 0.0
    assert run.sink.state == {"a": 8}
    assert run.warnings == []


@in_virtual_time
async def test_a_stream_that_ends_before_the_bookmark_leaves_nothing_and_a_list_is_next() -> None:
    run = await reflect(stream(added("ghost", 1), 5.0), page(5, item("a", 3)), stream(HANG), seconds=60)
    assert [asked.kind for asked in run.asked] == ["watch", "list", "watch"]
    assert run.sink.told == [("replace", {"a": 3}, "5")]


@in_virtual_time
async def test_a_list_that_fails_after_a_broken_stream_makes_a_stream_next() -> None:
    lost = AnswerLost("reset")
    run = await reflect(stream(added("a", 1), lost), lost, lost, lost, lost, initial(7, "a"), seconds=90)
    assert [asked.kind for asked in run.asked] == ["watch", *["list"] * 4, "watch"]
    assert run.asked[-1].initial
    assert run.sink.told == [("replace", {"a": 7}, "7")]


@in_virtual_time
async def test_a_stream_of_rubbish_is_broken_too() -> None:
    run = await reflect(stream(b"<html>sign in</html>\n"), page(5, item("a", 3)), stream(HANG), seconds=60)
    assert run.sink.state == {"a": 3}


@in_virtual_time
async def test_a_busy_server_is_asked_for_the_stream_again_after_the_time_that_it_says() -> None:
    run = await reflect(
        refused(429, "TooManyRequests", retry_after=7),
        refused(429, "TooManyRequests", retry_after=3),
        initial(7, "a"),
        seconds=60,
    )
    assert [(asked.initial, asked.at) for asked in run.asked] == [(True, 0.0), (True, 7.0), (True, 10.0)]


# Synchronising by pages.


@in_virtual_time
async def test_a_list_comes_in_pages_of_500_and_the_sink_gets_all_of_them_at_once() -> None:
    run = await reflect(
        REFUSES_STREAMS,
        page(9, item("a", 1), item("b", 2), more="next"),
        page(9, item("c", 3), more="last"),
        page(9, item("d", 4)),
        stream(HANG),
        seconds=10,
    )
    assert run.sink.told == [("replace", {"a": 1, "b": 2, "c": 3, "d": 4}, "9")]
    assert [asked.query for asked in run.asked[1:4]] == [
        {"limit": "500", "resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"},
        {"limit": "500", "continue": "next"},
        {"limit": "500", "continue": "last"},
    ]
    assert run.asked[4].version == "9"
    assert not run.asked[4].initial
    assert run.metric("lists_total") == 2  # the refused stream is one


@in_virtual_time
async def test_a_continue_token_that_expires_makes_one_list_of_everything() -> None:
    run = await reflect(
        REFUSES_STREAMS,
        page(9, item("gone", 1), more="next"),
        refused(410, "Expired"),
        page(20, item("a", 11), item("b", 12)),
        stream(HANG),
        seconds=10,
    )
    assert run.asked[3].query == {}
    assert run.sink.told == [("replace", {"a": 11, "b": 12}, "20")]
    assert run.asked[4].version == "20"


@in_virtual_time
async def test_a_full_list_that_expires_too_begins_at_the_newest_state() -> None:
    run = await reflect(
        REFUSES_STREAMS,
        page(9, item("gone", 1), more="next"),
        refused(410, "Expired"),
        refused(410, "Expired"),
        page(30, item("a", 21)),
        stream(HANG),
        seconds=60,
    )
    assert run.asked[4].query == {"limit": "500"}
    assert run.sink.told == [("replace", {"a": 21}, "30")]


@in_virtual_time
async def test_a_list_at_a_version_that_is_too_old_begins_at_the_newest_state() -> None:
    run = await reflect(REFUSES_STREAMS, refused(410, "Expired"), page(30), stream(HANG), seconds=60)
    assert [asked.version for asked in run.asked[1:3]] == ["0", None]


@in_virtual_time
async def test_after_a_list_at_the_newest_state_a_later_list_begins_at_the_last_version_again() -> None:
    """A server that is behind must not take the sink back in time."""
    run = await reflect(
        REFUSES_STREAMS,
        refused(410, "Expired"),
        page(30),
        stream(added("a", 31), 5.0),
        refused(404, "NotFound"),
        page(40),
        stream(HANG),
        seconds=60,
    )
    assert [(asked.kind, asked.version) for asked in run.asked[1:]] == [
        ("list", "0"),
        ("list", None),
        ("watch", "30"),
        ("watch", "31"),
        ("list", "31"),
        ("watch", "40"),
    ]


@in_virtual_time
async def test_a_version_that_the_server_has_not_reached_yet_makes_a_list_of_the_newest() -> None:
    run = await reflect(REFUSES_STREAMS, TOO_LARGE, page(7), stream(HANG), seconds=60)
    assert [asked.version for asked in run.asked[1:3]] == ["0", None]


@in_virtual_time
async def test_a_watch_from_a_version_that_the_server_has_not_reached_yet_synchronises_anew() -> None:
    run = await reflect(stream(bookmark(99, end=True), 5.0), TOO_LARGE, initial(7, "a"), seconds=60)
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (False, "99"), (True, None)]
    assert run.reflector.version == "7"


@in_virtual_time
async def test_a_version_too_large_is_known_by_its_cause_as_well() -> None:
    too_large = error_event(504, "Timeout", "try later", causes=[{"reason": "ResourceVersionTooLarge"}])
    run = await reflect(stream(bookmark(99, end=True), 5.0), stream(too_large), initial(7, "a"), seconds=60)
    assert run.asked[2].initial


@in_virtual_time
async def test_another_timeout_of_the_server_is_no_reason_to_synchronise_anew() -> None:
    run = await reflect(stream(bookmark(9, end=True), 5.0), refused(504, "Timeout", "slow"), stream(HANG), seconds=60)
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (False, "9"), (False, "9")]


@in_virtual_time
async def test_a_list_with_null_for_items_is_an_empty_one() -> None:
    nothing = Answer(200, {}, b'{"kind":"ConfigMapList","metadata":{"resourceVersion":"5"},"items":null}')
    run = await reflect(REFUSES_STREAMS, nothing, stream(HANG), seconds=10)
    assert run.sink.told == [("replace", {}, "5")]


@in_virtual_time
async def test_an_answer_that_is_no_list_is_a_failure_and_not_an_empty_list() -> None:
    run = await reflect(
        REFUSES_STREAMS, Answer(200, {}, b"<html>sign in</html>"), page(5, item("a", 1)), stream(HANG), seconds=60
    )
    assert run.sink.told == [("replace", {"a": 1}, "5")]


# Watching.


@in_virtual_time
async def test_a_watch_that_ends_is_opened_again_at_once_from_the_last_version() -> None:
    run = await reflect(
        stream(bookmark(5, end=True), added("a", 6), 100.0),
        stream(added("b", 8), bookmark(12), 100.0),
        stream(deleted("a", 13), HANG),
        seconds=250,
        idle_seconds=1000.0,
    )
    assert [(asked.initial, asked.version, asked.at) for asked in run.asked] == [
        (True, None, 0.0),
        (False, "6", 100.0),
        (False, "12", 200.0),
    ]
    assert run.sink.state == {"b": 8}
    assert run.warnings == []
    assert run.metric("watches_total") == 2


@in_virtual_time
async def test_each_watch_ends_at_a_time_of_its_own() -> None:
    script = [stream(bookmark(5, end=True), 2.0), *[stream(2.0)] * 40, stream(HANG)]
    run = await reflect(*script, seconds=90)
    asked = [int(asked.query["timeoutSeconds"]) for asked in run.asked]
    assert all(300 <= seconds <= 600 for seconds in asked)
    assert len(set(asked)) > 20


@in_virtual_time
async def test_events_torn_anywhere_are_put_together() -> None:
    whole = added("a", 6) + event("MODIFIED", item("a", 7, data={"text": "zwölf\n"})) + deleted("a", 8)
    for cut in range(1, len(whole)):
        run = await reflect(
            stream(bookmark(5, end=True), whole[:cut], 0.5, whole[cut:], 1.0, HANG), seconds=2, idle_seconds=60
        )
        assert run.sink.told[1:] == [("changed", "a", 6), ("changed", "a", 7), ("deleted", "a", 8)], cut


@in_virtual_time
async def test_half_an_event_at_the_end_of_a_stream_is_not_acted_on() -> None:
    run = await reflect(
        stream(bookmark(5, end=True), 2.0, added("a", 6)[:-20]), stream(added("a", 6), HANG), seconds=60
    )
    assert run.sink.told == [("replace", {}, "5"), ("changed", "a", 6)]
    assert run.asked[1].version == "5"


@in_virtual_time
async def test_events_before_an_error_in_the_same_piece_count() -> None:
    run = await reflect(stream(bookmark(5, end=True), 2.0, added("a", 6) + error_event(500)), stream(HANG), seconds=60)
    assert run.sink.state == {"a": 6}
    assert run.asked[1].version == "6"


@in_virtual_time
async def test_an_expired_version_in_the_status_line_makes_a_stream_of_the_newest_state() -> None:
    run = await reflect(stream(bookmark(5, end=True), 2.0), refused(410, "Expired"), initial(90, "a"), seconds=60)
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (False, "5"), (True, None)]
    assert run.sink.told[-1] == ("replace", {"a": 90}, "90")
    assert run.warnings == []  # it is in the nature of things


@in_virtual_time
async def test_an_expired_version_in_the_stream_makes_a_stream_of_the_newest_state() -> None:
    run = await reflect(stream(bookmark(5, end=True), 2.0, error_event(410, "Expired")), initial(90), seconds=60)
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (True, None)]


@in_virtual_time
async def test_a_stream_of_initial_events_that_expires_is_asked_for_again() -> None:
    run = await reflect(stream(added("a", 3), error_event(410, "Expired")), initial(90), seconds=60)
    assert [asked.initial for asked in run.asked] == [True, True]
    assert run.sink.told == [("replace", {}, "90")]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(stream(2.0, error_event(500, "InternalError", "etcdserver: no leader")), id="500 in the stream"),
        pytest.param(stream(2.0, error_event(504, "Timeout")), id="504 in the stream"),
        pytest.param(stream(2.0, error_event(429, "TooManyRequests")), id="429 in the stream"),
        pytest.param(stream(2.0, error_event(403, "Forbidden")), id="403 in the stream"),
        pytest.param(stream(2.0, error_event(0)), id="an error without a code in the stream"),
        pytest.param(stream(2.0, b'{"type":"ERROR","object":"what?"}\n'), id="an error that is no Status"),
        pytest.param(stream(2.0, b"rubbish\n"), id="rubbish in the stream"),
        pytest.param(stream(2.0, AnswerLost("reset")), id="a reset"),
        pytest.param(stream(), id="a watch that ends at once"),
        pytest.param(refused(500, "InternalError"), id="500"),
        pytest.param(refused(503), id="503"),
        pytest.param(refused(502, message="bad gateway"), id="502"),
        pytest.param(refused(429, "TooManyRequests"), id="429"),
        pytest.param(refused(401, "Unauthorized"), id="401"),
        pytest.param(refused(403, "Forbidden"), id="403"),
        pytest.param(Unreachable("connection refused"), id="connection refused"),
        pytest.param(AnswerLost("timeout"), id="no answer in time"),
    ],
)
@in_virtual_time
async def test_a_failed_watch_is_opened_again_from_where_it_was(failure: Any) -> None:
    run = await reflect(
        stream(bookmark(5, end=True), added("a", 6), 2.0), failure, stream(added("b", 7), HANG), seconds=60
    )
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (False, "6"), (False, "6")]
    assert run.sink.state == {"a": 6, "b": 7}
    assert run.metric("failures_total") == 1


@in_virtual_time
async def test_a_corrupt_object_that_was_deleted_makes_a_stream_of_the_newest_state() -> None:
    """There is no event of its deletion, and every watch from before it ends like this."""
    run = await reflect(
        stream(bookmark(3, end=True), added("corrupt", 4), 2.0, error_event(500, "StorageReadError")),
        initial(5, "a"),
    )
    assert [(asked.initial, asked.version) for asked in run.asked] == [(True, None), (True, None)]
    assert run.sink.state == {"a": 5}


@in_virtual_time
async def test_a_version_from_which_eight_watches_ended_in_an_error_is_given_up() -> None:
    """Most errors pass, and a relist of everybody at once is what a server in trouble cannot bear; not all do."""
    failing = stream(2.0, error_event(500, "InternalError", "unable to transform"))
    run = await reflect(
        stream(bookmark(5, end=True), 2.0),
        *[failing] * 5,
        stream(bookmark(6), 2.0, error_event(500, "InternalError")),
        *[stream(bookmark(6), 2.0, error_event(500, "InternalError"))] * 7,
        initial(90, "a"),
    )
    assert [asked.version for asked in run.asked] == [None, *["5"] * 6, *["6"] * 7, None]
    assert run.sink.state == {"a": 90}


@in_virtual_time
async def test_a_busy_server_is_watched_again_after_the_time_that_it_says_and_not_listed() -> None:
    run = await reflect(
        stream(bookmark(5, end=True), 2.0),
        refused(429, "TooManyRequests", retry_after=11),
        stream(2.0, error_event(429, "TooManyRequests", retryAfterSeconds=13)),
        refused(503, retry_after=17),
        stream(HANG),
        seconds=60,
    )
    assert [asked.at for asked in run.asked] == [0.0, 2.0, 13.0, 28.0, 45.0]
    assert [asked.initial for asked in run.asked] == [True, False, False, False, False]


@in_virtual_time
async def test_a_watch_that_ends_within_a_second_with_an_event_is_no_failure() -> None:
    run = await reflect(stream(bookmark(5, end=True), 2.0), stream(bookmark(6)), stream(HANG), seconds=60)
    assert [asked.at for asked in run.asked] == [0.0, 2.0, 2.0]
    assert run.metric("failures_total") == 0


@in_virtual_time
async def test_watches_that_end_within_a_second_without_an_event_are_opened_ever_more_slowly() -> None:
    run = await reflect(stream(bookmark(5, end=True), 2.0), *[stream(0.5)] * 12, stream(HANG))
    assert run.metric("failures_total") == 12
    assert run.asked[-1].at > 60.0


@in_virtual_time
async def test_a_bookmark_moves_the_version_to_watch_from_and_tells_the_sink_nothing() -> None:
    run = await reflect(stream(bookmark(5, end=True), bookmark(50), 2.0), stream(HANG), seconds=10)
    assert run.asked[1].version == "50"
    assert run.sink.told == [("replace", {}, "5")]


@in_virtual_time
async def test_a_bookmark_that_does_not_decode_is_a_failure_of_the_watch() -> None:
    rubbish = event("BOOKMARK", {"metadata": {"resourceVersion": 7}})
    run = await reflect(stream(bookmark(5, end=True), 2.0, rubbish), stream(HANG), seconds=60)
    assert run.asked[1].version == "5"


@in_virtual_time
async def test_an_event_that_comes_again_does_not_take_the_version_back() -> None:
    """What passed once has passed, or an own write answered late would be taken for news."""
    run = await reflect(
        stream(bookmark(5, end=True), added("a", 6), deleted("a", 9), added("a", 6), bookmark(7), HANG), seconds=10
    )
    assert run.reflector.version == "9"
    assert run.sink.told[1:] == [("changed", "a", 6), ("deleted", "a", 9)]  # nor does it bring back what is gone


@in_virtual_time
async def test_an_event_of_unknown_type_is_reported_and_passed_over() -> None:
    run = await reflect(stream(bookmark(5, end=True), event("UPSERTED", item("x", 6)), added("a", 7), HANG), seconds=10)
    assert run.sink.told[1:] == [("changed", "a", 7)]
    assert run.metric("undecodable_objects_total") == 1


@in_virtual_time
async def test_a_reflector_has_one_stream_open_at_most_and_closes_it_when_it_is_cancelled() -> None:
    transport = Scripted(stream(bookmark(5, end=True), 2.0, error_event(500)), stream(HANG))
    client = Client(transport, environment=Environment(VirtualClock(), random.Random(1)))
    metrics = Metrics().reflector("configmaps", "")
    running = asyncio.create_task(Reflector(client, Selection(CONFIG_MAPS), "", Recorder(), metrics).run())
    for _ in range(50):
        await asyncio.sleep(0.1)
        assert transport.open <= 1
    assert transport.open == 1
    running.cancel()
    await asyncio.wait([running])
    assert transport.open == 0


# Silence.


@in_virtual_time
async def test_a_watch_that_says_nothing_is_given_up_after_the_idle_limit() -> None:
    run = await reflect(
        stream(bookmark(5, end=True), 100.0, bookmark(6), 119.0, added("a", 7), HANG),
        stream(HANG),
        seconds=340,
    )
    assert run.asked[1].version == "7"
    assert 339.0 <= run.asked[1].at < 340.0
    assert "nothing was heard for 120 s" in run.warnings[0]["error"]


@in_virtual_time
async def test_a_stream_of_initial_events_that_says_nothing_is_given_up_too_and_a_list_is_next() -> None:
    run = await reflect(stream(added("a", 1), HANG), page(5, item("a", 3)), stream(HANG), seconds=180)
    assert run.sink.told == [("replace", {"a": 3}, "5")]


@in_virtual_time
async def test_the_idle_limit_counts_from_when_the_watch_is_open() -> None:
    """An apiserver that is slow to answer is not a silent watch."""

    class Slow(Scripted):
        @asynccontextmanager
        async def stream(
            self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
        ) -> AsyncIterator[ScriptedStream]:
            await asyncio.sleep(25.0)
            async with super().stream(path, query=query, headers=headers, timeout=timeout) as opened:
                yield opened

    transport = Slow(stream(8.0, bookmark(5, end=True), HANG))
    client = Client(transport, environment=Environment(VirtualClock(), random.Random(1)))
    sink = Recorder()
    metrics = Metrics().reflector("configmaps", "")
    reflector = Reflector(client, Selection(CONFIG_MAPS), "", sink, metrics, idle_seconds=10.0)
    running = asyncio.create_task(reflector.run())
    await asyncio.sleep(34.0)
    running.cancel()
    assert sink.told == [("replace", {}, "5")]


@in_virtual_time
async def test_silence_is_measured_and_after_the_idle_limit_and_half_a_minute_it_is_too_long() -> None:
    run = await reflect(initial(5), seconds=100)
    assert run.metric("last_event_age_seconds") == 100.0
    assert not run.reflector.too_silent
    await asyncio.sleep(50.5)
    assert run.reflector.too_silent


@in_virtual_time
async def test_bookmarks_are_signs_of_life() -> None:
    run = await reflect(stream(bookmark(5, end=True), *(60.0, bookmark(6)) * 30, HANG), seconds=1830)
    assert run.reflector.silent_seconds() == 30.0
    assert len(run.asked) == 1


# Back-off.


@in_virtual_time
async def test_failures_in_a_row_are_answered_by_delays_that_double_to_30_seconds_with_full_jitter() -> None:
    run = await reflect(*[refused(500)] * 9, initial(5), seed=7)
    gaps = [after.at - before.at for before, after in zip(run.asked, run.asked[1:], strict=False)]
    bounds = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    chance = random.Random(7)
    expected = []
    for bound in bounds:
        chance.randint(300, 600)  # the watch's own timeout is drawn first
        expected.append(chance.uniform(0, bound))
    assert gaps == pytest.approx(expected)


@in_virtual_time
async def test_two_minutes_of_health_end_the_back_off() -> None:
    run = await reflect(
        *[refused(500)] * 10,
        stream(bookmark(5, end=True), 121.0, AnswerLost("reset")),
        stream(HANG),
        idle_seconds=300,
    )
    assert run.asked[11].at - run.asked[10].at < 121.0 + 0.8


@in_virtual_time
async def test_health_is_health_over_several_watches_too() -> None:
    """A proxy that ends each connection after a minute, politely, is no reason to stay slow."""
    run = await reflect(
        *[refused(500)] * 10,
        stream(bookmark(5, end=True), 60.0),
        stream(60.0),
        stream(60.0, AnswerLost("reset")),
        stream(HANG),
    )
    assert run.asked[13].at - run.asked[12].at < 60.0 + 0.8


@in_virtual_time
async def test_a_short_success_does_not_end_the_back_off() -> None:
    run = await reflect(
        *[refused(500)] * 10,
        stream(bookmark(5, end=True), 2.0, AnswerLost("reset")),
        *[stream(2.0, AnswerLost("reset"))] * 10,
        stream(HANG),
    )
    gaps = [after.at - before.at for before, after in zip(run.asked[10:], run.asked[11:], strict=False)]
    assert max(gaps) > 15.0


# What is said about it.


@pytest.mark.parametrize(
    ("code", "reason", "hint"),
    [
        (403, "Forbidden", "grant list and watch on configmaps to this user"),
        (401, "Unauthorized", "the server does not accept these credentials; are they expired?"),
        (404, "NotFound", "is the CustomResourceDefinition configmaps installed? waiting for it"),
    ],
)
@in_virtual_time
async def test_a_refusal_is_reported_with_what_to_do_the_first_time_and_then_at_powers_of_two(
    code: int, reason: str, hint: str
) -> None:
    run = await reflect(*[refused(code, reason)] * 20, initial(5, "a"))
    assert [entry["hint"] for entry in run.warnings] == [hint] * 5  # the 1st, 2nd, 4th, 8th, 16th
    assert run.warnings[0]["error"].startswith(f"watch configmaps: {code} {reason}")
    assert run.warnings[0]["resource"] == "configmaps"
    assert run.metric("failures_total") == 20
    assert run.sink.state == {"a": 5}


@in_virtual_time
async def test_a_kind_that_is_not_installed_is_reported_with_what_its_resource_says_about_installing_it() -> None:
    sites = Resource("example.com/v1", "Site", "sites", install_hint="kubectl apply -f sites.yaml")
    run = await reflect(refused(404, "NotFound"), initial(5, "a"), selection=Selection(sites))
    assert run.warnings[0]["hint"] == (
        "is the CustomResourceDefinition sites.example.com installed? waiting for it; kubectl apply -f sites.yaml"
    )
    assert sites == Resource("example.com/v1", "Site", "sites"), "it says nothing about what the resource is"


@in_virtual_time
async def test_a_resource_that_disappears_and_comes_back_is_synchronised_anew() -> None:
    run = await reflect(stream(bookmark(5, end=True), added("a", 6), 2.0), refused(404), initial(20), seconds=60)
    assert run.sink.told[-1] == ("replace", {}, "20")


# What does not decode.


@in_virtual_time
async def test_an_object_that_does_not_decode_is_reported_and_counted_and_the_rest_goes_on() -> None:
    bad = {"metadata": {"name": 7}}
    run = await reflect(
        REFUSES_STREAMS,
        page(5, item("a", 1), bad, item("b", 2)),
        stream(event("ADDED", bad), added("c", 6), event("MODIFIED", {}), modified("c", 7), HANG),
        seconds=10,
    )
    assert run.sink.told == [("replace", {"a": 1, "b": 2}, "5"), ("changed", "c", 6), ("changed", "c", 7)]
    assert run.metric("undecodable_objects_total") == 3
    assert [entry["event"] for entry in run.logs if entry["log_level"] == "error"] == [
        "object passed over: it does not decode"
    ] * 3


@in_virtual_time
async def test_an_object_that_does_not_decode_does_not_spoil_a_stream_of_initial_events() -> None:
    run = await reflect(
        stream(added("a", 1), event("ADDED", {"metadata": []}), bookmark(5, end=True), HANG), seconds=10
    )
    assert run.sink.told == [("replace", {"a": 1}, "5")]


@in_virtual_time
async def test_a_watch_of_events_which_get_no_bookmarks_ends_before_its_silence_looks_like_a_fault() -> None:
    events: Resource[Any] = Resource("v1", "Event", "events")
    of_events = await reflect(initial(5, "a"), selection=Selection(events), seconds=10, idle_seconds=120)
    assert int(of_events.asked[0].query["timeoutSeconds"]) < 120
    of_others = await reflect(initial(5, "a"), seconds=10, idle_seconds=120)
    assert int(of_others.asked[0].query["timeoutSeconds"]) >= 300


@in_virtual_time
async def test_an_object_that_is_nested_too_deeply_does_not_spoil_a_stream() -> None:
    # A kube-apiserver admits 10,000 levels where a schema keeps what it does not know. It ended the process.
    deep = b'{"type":"ADDED","object":{"metadata":{"name":"deep"},"spec":' + b"[" * 9000 + b"]" * 9000 + b"}}\n"
    run = await reflect(stream(added("a", 1), deep, bookmark(5, end=True), deep, modified("a", 6), HANG), seconds=10)
    assert run.sink.told == [("replace", {"a": 1}, "5"), ("changed", "a", 6)]
    assert run.metric("undecodable_objects_total") == 2
    assert "nested too deeply" in str(run.logs)


def _fails_on_broken(raw: bytes) -> bytes:
    if b'"broken"' in raw:
        raise ValueError("what is this?")
    return raw.replace(b'"dropme"', b'""')


@in_virtual_time
async def test_the_transform_is_applied_to_lists_and_to_events() -> None:
    seen: list[bytes] = []

    def transform(raw: bytes) -> bytes:
        seen.append(raw)
        return raw

    selection = Selection(CONFIG_MAPS, transform=transform)
    await reflect(
        REFUSES_STREAMS,
        page(5, item("a", 1)),
        stream(added("b", 6), deleted("b", 7), HANG),
        seconds=10,
        selection=selection,
    )
    assert [json.loads(raw)["metadata"]["name"] for raw in seen] == ["a", "b", "b"]


@in_virtual_time
async def test_an_object_whose_transform_raises_is_kept_as_the_server_sent_it() -> None:
    """It must not seem to be deleted, and its deletion must not be missed."""
    broken = item("a", 6, kind="broken")
    run = await reflect(
        stream(added("a", 5), bookmark(5, end=True), event("MODIFIED", broken), 2.0, error_event(410, "Expired")),
        stream(event("ADDED", broken), bookmark(8, end=True), event("DELETED", {**broken, **item("a", 9)}), HANG),
        seconds=60,
        selection=Selection(CONFIG_MAPS, transform=_fails_on_broken),
    )
    assert run.sink.told == [
        ("replace", {"a": 5}, "5"),
        ("changed", "a", 6),
        ("replace", {"a": 6}, "8"),
        ("deleted", "a", 9),
    ]
    assert [entry["event"] for entry in run.logs if entry["log_level"] == "error"] == [
        "transform failed; the object is kept as the server sent it"
    ] * 3


# What is selected.


@in_virtual_time
async def test_namespace_and_selectors_go_to_the_server_with_every_request() -> None:
    selection = Selection(CONFIG_MAPS, ("prod",), label_selector="app=x", field_selector="metadata.name!=y")
    run = await reflect(
        REFUSES_STREAMS,
        page(5, more="next"),
        page(5),
        stream(HANG),
        seconds=10,
        selection=selection,
        namespace="prod",
    )
    for asked in run.asked:
        assert asked.path == "/api/v1/namespaces/prod/configmaps"
        assert asked.query["labelSelector"] == "app=x"
        assert asked.query["fieldSelector"] == "metadata.name!=y"
