"""The client on a small transport in this process: what it asks for, what it repeats, whom it tells."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from disvc.runtime.client import Client, WatchEvent
from disvc.runtime.environment import Environment
from disvc.runtime.errors import (
    AlreadyExists,
    AnswerLost,
    ApiError,
    Conflict,
    DecodeError,
    Expired,
    Forbidden,
    InternalError,
    Invalid,
    LeadershipLost,
    NotFound,
    ServerError,
    ServerTimeout,
    ServiceUnavailable,
    TooManyRequests,
    Unreachable,
)
from disvc.runtime.metrics import ClientMetrics
from disvc.runtime.objects import Key, Object, Resource
from disvc.runtime.transport import Answer
from disvc.testing.clock import VirtualClock, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
NODES = Resource("v1", "Node", "nodes", namespaced=False)

OBJECT = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "7"},
}
VALUE = {"metadata": {"name": "a", "namespace": "default"}}


def answer(status: int, body: Any = OBJECT, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(code: int, reason: str = "", message: str = "no", *, header: str | None = None, **details: Any) -> Answer:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return answer(code, body, **({} if header is None else {"retry_after": header}))


class Sent(NamedTuple):
    """One request as the transport got it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    timeout: float
    fence: Callable[[], float | None] | None
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")


class Pieces:
    """A stream that yields what the test says, then ends or breaks."""

    def __init__(self, status: int, pieces: Sequence[bytes], headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers or {}
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Scripted:
    """A transport that gives one outcome after the other, and keeps what it was asked."""

    host = "api.example:6443"

    def __init__(self, *outcomes: Answer | Exception | Pieces | None) -> None:
        self._outcomes = list(outcomes)
        self.sent: list[Sent] = []

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
        now = asyncio.get_running_loop().time()
        self.sent.append(Sent(method, path, query, headers, body, timeout, fence, now))
        if fence is not None:
            fence()
        outcome = self._outcomes.pop(0)
        if outcome is None:
            await asyncio.sleep(3600)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Answer)
        return outcome

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Pieces]:
        now = asyncio.get_running_loop().time()
        self.sent.append(Sent("GET", path, query, headers, None, timeout, None, now))
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Pieces)
        yield outcome

    async def fork(self) -> Scripted:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


class Told:
    """A `WriteObserver` that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, Key, str]] = []

    def wrote(self, obj: Object[Any]) -> None:
        self.notes.append(("wrote", obj.key, obj.metadata.resource_version))

    def deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        self.notes.append(("deleted", key, uid))

    def uncertain(self, resource: Resource[Any], key: Key) -> None:
        self.notes.append(("uncertain", key, ""))


A = Key("default", "a")

READS: dict[str, Any] = {
    "get": lambda client: client.get(CONFIG_MAPS, "a", "default"),
    "list": lambda client: client.list(CONFIG_MAPS),
}
WRITES: dict[str, Any] = {
    "create": lambda client: client.create(CONFIG_MAPS, VALUE),
    "update": lambda client: client.update(CONFIG_MAPS, VALUE),
    "status": lambda client: client.update_status(CONFIG_MAPS, VALUE),
    "patch": lambda client: client.patch(CONFIG_MAPS, "a", {}, "default"),
    "apply": lambda client: client.apply(CONFIG_MAPS, VALUE),
    "delete": lambda client: client.delete(CONFIG_MAPS, "a", "default"),
}
read_call = pytest.mark.parametrize("call", READS.values(), ids=READS)
write_call = pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
any_call = pytest.mark.parametrize("call", (READS | WRITES).values(), ids=READS | WRITES)


def new_client(transport: Scripted, **options: Any) -> Client:
    environment = Environment(clock=VirtualClock(), random=random.Random(1))
    return Client(transport, environment=environment, **options)


NAMESPACE = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("call", "method", "path", "content"),
    [
        (WRITES["create"], "POST", NAMESPACE, "application/json"),
        (WRITES["update"], "PUT", f"{NAMESPACE}/a", "application/json"),
        (WRITES["status"], "PUT", f"{NAMESPACE}/a/status", "application/json"),
        (WRITES["patch"], "PATCH", f"{NAMESPACE}/a", "application/merge-patch+json"),
        (WRITES["apply"], "PATCH", f"{NAMESPACE}/a", "application/apply-patch+yaml"),
        (WRITES["delete"], "DELETE", f"{NAMESPACE}/a", "application/json"),
        (lambda client: client.get(NODES, "a"), "GET", "/api/v1/nodes/a", None),
        (lambda client: client.get(NODES, "a", "ignored"), "GET", "/api/v1/nodes/a", None),
        (lambda client: client.patch(NODES, "a", {}, subresource="status"), "PATCH", "/api/v1/nodes/a/status", MERGE),
        (lambda client: client.get(DEPLOYMENTS, "a", "d"), "GET", "/apis/apps/v1/namespaces/d/deployments/a", None),
        (lambda client: client.get(CONFIG_MAPS, "a/b", "default"), "GET", f"{NAMESPACE}/a%2Fb", None),
    ],
)  # fmt: skip
@in_virtual_time
async def test_each_verb_has_its_method_path_and_content(
    call: Any, method: str, path: str, content: str | None
) -> None:
    transport = Scripted(answer(200))
    await call(new_client(transport, user_agent="test/1", timeout=7.0))
    [sent] = transport.sent
    assert (sent.method, sent.path, sent.timeout) == (method, path, 7.0)
    assert sent.headers.get("Content-Type") == content
    assert (sent.headers["Accept"], sent.headers["User-Agent"]) == ("application/json", "test/1")


@write_call
@in_virtual_time
async def test_writes_but_deletes_name_their_field_manager_and_all_bodies_say_their_kind(call: Any) -> None:
    transport = Scripted(answer(200))
    await call(new_client(transport, field_manager="tester"))
    [sent] = transport.sent
    assert sent.query == ({} if sent.method == "DELETE" else {"fieldManager": "tester"})
    if sent.method == "DELETE":
        assert (sent.json["apiVersion"], sent.json["kind"]) == ("v1", "DeleteOptions")
    elif sent.headers["Content-Type"] != "application/merge-patch+json":
        assert (sent.json["apiVersion"], sent.json["kind"]) == ("v1", "ConfigMap")


@in_virtual_time
async def test_apply_takes_fields_of_others_only_if_asked_to() -> None:
    transport = Scripted(answer(200), answer(200))
    client = new_client(transport)
    await client.apply(CONFIG_MAPS, VALUE)
    await client.apply(CONFIG_MAPS, VALUE, force=True)
    assert [sent.query.get("force") for sent in transport.sent] == [None, "true"]


@in_virtual_time
async def test_a_delete_carries_its_preconditions_propagation_and_grace() -> None:
    transport = Scripted(answer(200), answer(200))
    client = new_client(transport)
    await client.delete(CONFIG_MAPS, "a", "default")
    await client.delete(
        CONFIG_MAPS, "a", "default", uid="u", resource_version="7", propagation="Orphan", grace_period_seconds=0
    )
    first, second = (sent.json for sent in transport.sent)
    assert first == {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    assert second["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert (second["propagationPolicy"], second["gracePeriodSeconds"]) == ("Orphan", 0)


@in_virtual_time
async def test_a_namespace_given_beside_the_value_counts_where_the_value_has_none() -> None:
    transport = Scripted(answer(201), answer(201))
    client = new_client(transport)
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "own"}}, "default")
    assert [sent.path for sent in transport.sent] == [NAMESPACE, "/api/v1/namespaces/own/configmaps"]


LIST = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [OBJECT, OBJECT]}


@in_virtual_time
async def test_a_list_asks_by_selectors_and_pages_and_gives_version_and_token() -> None:
    transport = Scripted(answer(200, LIST), answer(200, {"metadata": {"resourceVersion": "9"}, "items": None}))
    client = new_client(transport)
    page = await client.list(
        CONFIG_MAPS, "default", label_selector="a=b", field_selector="c=d", limit=2, resource_version="0"
    )
    assert [obj.key for obj in page.items] == [A, A]
    assert (page.resource_version, page.continue_token) == ("9", "more")
    last = await client.list(CONFIG_MAPS, "default", limit=2, continue_token=page.continue_token, resource_version="0")
    assert (last.items, last.continue_token) == ([], "")
    first, second = transport.sent
    assert (first.path, first.method) == (NAMESPACE, "GET")
    assert first.query == {
        "labelSelector": "a=b",
        "fieldSelector": "c=d",
        "limit": "2",
        "resourceVersion": "0",
        "resourceVersionMatch": "NotOlderThan",
    }
    assert second.query == {"limit": "2", "continue": "more"}  # the server refuses a version beside a token


@in_virtual_time
async def test_a_list_of_all_namespaces_asks_for_nothing_more_than_it_must() -> None:
    transport = Scripted(answer(200, LIST))
    await new_client(transport).list(CONFIG_MAPS)
    assert (transport.sent[0].path, transport.sent[0].query) == ("/api/v1/configmaps", {})


@in_virtual_time
async def test_an_item_that_does_not_decode_is_handed_over_and_the_rest_goes_on() -> None:
    listed = {"metadata": {"resourceVersion": "9"}, "items": [OBJECT, {"metadata": {"name": 1}}, OBJECT]}
    transport = Scripted(answer(200, listed), answer(200, listed))
    client = new_client(transport)
    errors: list[DecodeError] = []
    page = await client.list(CONFIG_MAPS, on_undecodable=errors.append)
    assert len(page.items) == 2
    assert [str(error).partition(":")[0] for error in errors] == ["configmaps"]
    with pytest.raises(DecodeError):
        await client.list(CONFIG_MAPS)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"metadata": {"continue": "\xff"}}'])
@in_virtual_time
async def test_an_answer_that_is_no_list_says_so(body: bytes) -> None:
    with pytest.raises(DecodeError, match="list configmaps: the answer is not a list"):
        await new_client(Scripted(answer(200, body))).list(CONFIG_MAPS)


@any_call
@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (422, "Invalid", Invalid),
        (307, "", ApiError),
    ],
)
@in_virtual_time
async def test_a_refusal_is_raised_as_its_class_at_once_and_says_which_call_on_which_object(
    call: Any, code: int, reason: str, kind: type[ApiError]
) -> None:
    told = Told()
    causes = [{"field": "spec.x", "reason": "R", "message": "bad"}]
    transport = Scripted(refusal(code, reason, causes=causes))
    with pytest.raises(kind) as caught:
        await call(new_client(transport, observer=told))
    assert type(caught.value) is kind
    assert " configmaps" in str(caught.value)
    assert str(caught.value).endswith(f"{code} {reason}: no")
    assert caught.value.causes[0].field == "spec.x"
    assert len(transport.sent) == 1
    assert told.notes == []


@in_virtual_time
async def test_the_message_of_a_refusal_names_verb_subresource_and_key() -> None:
    with pytest.raises(NotFound, match=r"^update configmaps/status default/a: 404 NotFound: no$"):
        await new_client(Scripted(refusal(404, "NotFound"))).update_status(CONFIG_MAPS, VALUE)


@any_call
@pytest.mark.parametrize(
    "failure",
    [refusal(429, "TooManyRequests"), refusal(503, "", header="1"), Unreachable("refused")],
    ids=["429", "503 with Retry-After", "unreachable"],
)
@in_virtual_time
async def test_any_call_is_repeated_where_the_server_did_nothing(call: Any, failure: Answer | Exception) -> None:
    told = Told()
    ok = answer(200, LIST if call is READS["list"] else OBJECT)
    transport = Scripted(failure, failure, failure, ok)
    await call(new_client(transport, observer=told))
    assert len(transport.sent) == 4
    assert len({(sent.method, sent.path, str(sent.query), sent.body) for sent in transport.sent}) == 1
    assert "uncertain" not in [what for what, *_ in told.notes]


@any_call
@in_virtual_time
async def test_a_call_is_given_up_after_four_attempts_with_the_last_error(call: Any) -> None:
    transport = Scripted(*[refusal(429, "TooManyRequests", f"{n}") for n in range(9)])
    with pytest.raises(TooManyRequests, match=r": 3$"):
        await call(new_client(transport))
    assert len(transport.sent) == 4


@in_virtual_time
async def test_a_server_that_asks_to_wait_for_very_long_gets_no_second_attempt() -> None:
    transport = Scripted(refusal(429, header="3600"), answer(201))
    with pytest.raises(TooManyRequests) as caught:
        await new_client(transport).create(CONFIG_MAPS, VALUE)
    assert caught.value.retry_after == 3600
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (refusal(429, header="7"), 7.0),
        (refusal(429, retryAfterSeconds=3), 3.0),
        (refusal(503, header="5"), 5.0),
        (refusal(429, header="0"), 0.0),
    ],
)
@in_virtual_time
async def test_the_server_says_how_long_to_wait_before_the_next_attempt(failure: Answer, seconds: float) -> None:
    transport = Scripted(failure, failure, answer(201))
    await new_client(transport).create(CONFIG_MAPS, VALUE)
    assert [sent.at for sent in transport.sent] == pytest.approx([0, seconds, 2 * seconds])


@in_virtual_time
async def test_without_the_servers_word_attempts_back_off_with_jitter() -> None:
    transport = Scripted(*[Unreachable("refused")] * 4)
    with pytest.raises(Unreachable):
        await new_client(transport).get(CONFIG_MAPS, "a")
    times = [sent.at for sent in transport.sent]
    waits = [after - before for before, after in pairwise(times)]
    assert all(0 < wait <= bound for wait, bound in zip(waits, (0.1, 0.2, 0.4), strict=True))


PASSING = {
    "answer lost": (AnswerLost("reset"), AnswerLost),
    "500": (refusal(500), InternalError),
    "502": (refusal(502), ServerError),
    "503": (refusal(503), ServiceUnavailable),
    "504": (refusal(504), ServerTimeout),
    "500 that asks to wait": (refusal(500, "ServerTimeout", header="1", retryAfterSeconds=1), InternalError),
    "504 that asks to wait": (refusal(504, "Timeout", header="1"), ServerTimeout),
}
passing_failure = pytest.mark.parametrize(("failure", "kind"), PASSING.values(), ids=PASSING)


@read_call
@passing_failure
@in_virtual_time
async def test_a_read_is_repeated_on_any_passing_failure(
    call: Any, failure: Answer | Exception, kind: type[Exception]
) -> None:
    transport = Scripted(failure, answer(200, LIST if call is READS["list"] else OBJECT))
    await call(new_client(transport))
    assert len(transport.sent) == 2


@write_call
@passing_failure
@in_virtual_time
async def test_a_write_that_may_have_taken_effect_is_never_repeated_and_the_observer_knows(
    call: Any, failure: Answer | Exception, kind: type[Exception]
) -> None:
    told = Told()
    transport = Scripted(failure, answer(200))
    with pytest.raises(kind):
        await call(new_client(transport, observer=told))
    assert len(transport.sent) == 1
    assert told.notes == [("uncertain", A, "")]


@in_virtual_time
async def test_a_version_that_the_server_has_not_reached_is_told_at_once() -> None:
    transport = Scripted(refusal(504, "Timeout", "Too large resource version: 9, current: 8", header="1"))
    with pytest.raises(ServerTimeout) as caught:
        await new_client(transport).list(CONFIG_MAPS, resource_version="9")
    assert caught.value.version_too_large


@write_call
@in_virtual_time
async def test_the_observer_is_told_of_a_write_before_the_writer_goes_on(call: Any) -> None:
    told = Told()
    await call(new_client(Scripted(answer(200)), observer=told))
    assert told.notes == [("deleted", A, "u") if call is WRITES["delete"] else ("wrote", A, "7")]


@write_call
@in_virtual_time
async def test_a_write_cancelled_on_its_way_is_uncertain(call: Any) -> None:
    told = Told()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await call(new_client(Scripted(None), observer=told))
    assert told.notes == [("uncertain", A, "")]


@write_call
@in_virtual_time
async def test_a_write_cancelled_between_two_attempts_is_uncertain(call: Any) -> None:
    """It could be told apart, but to be wrong on this side costs nothing but a wait."""
    told = Told()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await call(new_client(Scripted(refusal(429, header="10")), observer=told))
    assert told.notes == [("uncertain", A, "")]


@write_call
@pytest.mark.parametrize("body", [b"<html>ok</html>", b"", b"[]", b"\xff"])
@in_virtual_time
async def test_a_write_whose_answer_nobody_can_read_is_uncertain(call: Any, body: bytes) -> None:
    told = Told()
    with pytest.raises(DecodeError, match="configmaps"):
        await call(new_client(Scripted(answer(200, body)), observer=told))
    assert told.notes == [("uncertain", A, "")]


@read_call
@in_virtual_time
async def test_reads_tell_the_observer_nothing(call: Any) -> None:
    told = Told()
    transport = Scripted(*[AnswerLost("reset")] * 4)
    with pytest.raises(AnswerLost):
        await call(new_client(transport, observer=told))
    assert told.notes == []


def deleted(**metadata: Any) -> dict[str, Any]:
    return {**OBJECT, "metadata": {**OBJECT["metadata"], **metadata}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ({"kind": "Status", "status": "Success", "details": {"uid": "u1"}}, ("deleted", A, "u1")),
        ({"kind": "Status", "status": "Success"}, ("deleted", A, "given")),
        ({"kind": "Status", "status": "Success", "details": {"name": "a"}}, ("deleted", A, "given")),
        (deleted(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["f"]), ("wrote", A, "7")),
        (deleted(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=30), ("wrote", A, "7")),
        (deleted(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=0), ("deleted", A, "u")),
        (deleted(), ("deleted", A, "u")),
    ],
)
@in_virtual_time
async def test_the_answer_to_a_delete_tells_whether_the_object_is_gone(
    body: dict[str, Any], note: tuple[str, Key, str]
) -> None:
    told = Told()
    client = new_client(Scripted(answer(200, body)), observer=told)
    await client.delete(CONFIG_MAPS, "a", "default", uid="given")
    assert told.notes == [note]


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({}, "deleted"),
        ({"deletionGracePeriodSeconds": 0}, "deleted"),
        ({"deletionGracePeriodSeconds": 30}, "wrote"),
        ({"finalizers": ["f"]}, "wrote"),
    ],
)
@pytest.mark.parametrize("call", [WRITES["update"], WRITES["patch"], WRITES["apply"]])
@in_virtual_time
async def test_a_write_that_takes_the_last_hold_from_an_object_being_deleted_deletes_it(
    call: Any, metadata: dict[str, Any], what: str
) -> None:
    told = Told()
    body = deleted(deletionTimestamp="2026-01-01T00:00:00Z", **metadata)
    await call(new_client(Scripted(answer(200, body)), observer=told))
    assert [note[0] for note in told.notes] == [what]


@in_virtual_time
async def test_a_namespace_is_there_until_its_own_finalizers_are_gone() -> None:
    told = Told()
    body = {"metadata": {"name": "n", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    namespaces = Resource("v1", "Namespace", "namespaces", namespaced=False)
    await new_client(Scripted(answer(200, body)), observer=told).delete(namespaces, "n")
    assert [note[0] for note in told.notes] == ["wrote"]


@in_virtual_time
async def test_a_cluster_wide_object_has_a_key_without_a_namespace() -> None:
    told = Told()
    transport = Scripted(AnswerLost("reset"), AnswerLost("reset"))
    client = new_client(transport, observer=told)
    for call in (client.patch(NODES, "n", {}, "ignored"), client.delete(NODES, "n", "ignored")):
        with pytest.raises(AnswerLost):
            await call
    assert [key for _, key, _ in told.notes] == [Key("", "n")] * 2


@write_call
@in_virtual_time
async def test_each_attempt_of_a_write_passes_the_fence(call: Any) -> None:
    asked: list[int] = []
    transport = Scripted(refusal(429, header="1"), answer(200))
    await call(new_client(transport, fence=lambda: asked.append(1)))
    assert len(asked) == 2


@write_call
@in_virtual_time
async def test_a_fence_that_refuses_ends_the_write_and_nothing_is_uncertain(call: Any) -> None:
    told = Told()

    def refuse() -> None:
        raise LeadershipLost("the lease is lost")

    transport = Scripted(answer(200))
    with pytest.raises(LeadershipLost):
        await call(new_client(transport, fence=refuse, observer=told))
    assert len(transport.sent) == 1
    assert told.notes == []


@read_call
@in_virtual_time
async def test_reads_pass_no_fence(call: Any) -> None:
    def refuse() -> None:
        raise LeadershipLost("the lease is lost")

    transport = Scripted(answer(200, LIST if call is READS["list"] else OBJECT))
    await call(new_client(transport, fence=refuse))
    assert transport.sent[0].fence is None


GENERATED = {"metadata": {"generateName": "web-", "namespace": "default"}}


@in_virtual_time
async def test_a_generated_name_is_made_here_as_the_server_would_make_it() -> None:
    names = set()
    value = {"metadata": {"generateName": "x" * 100, "namespace": "default"}}
    for seed in range(20):
        transport = Scripted(answer(201), answer(201))
        environment = Environment(clock=VirtualClock(), random=random.Random(seed))
        client = Client(transport, environment=environment)
        await client.create(CONFIG_MAPS, GENERATED)
        await client.create(CONFIG_MAPS, value)
        short, long = (sent.json["metadata"]["name"] for sent in transport.sent)
        assert short.startswith("web-")
        assert len(short) == len("web-") + 5
        assert len(long) == 63
        assert not set(short[4:]) & set("aeiou013")
        names.add(short)
    assert len(names) == 20
    assert GENERATED == {"metadata": {"generateName": "web-", "namespace": "default"}}


@in_virtual_time
async def test_a_generated_name_that_is_taken_is_made_anew_up_to_eight_times() -> None:
    taken = refusal(409, "AlreadyExists")
    transport = Scripted(taken, taken, answer(201))
    await new_client(transport).create(CONFIG_MAPS, GENERATED)
    assert len({sent.json["metadata"]["name"] for sent in transport.sent}) == 3
    transport = Scripted(*[taken] * 20)
    with pytest.raises(AlreadyExists):
        await new_client(transport).create(CONFIG_MAPS, GENERATED)
    assert len(transport.sent) == 8


@in_virtual_time
async def test_a_name_that_was_given_and_is_taken_is_not_tried_again() -> None:
    transport = Scripted(refusal(409, "AlreadyExists"))
    with pytest.raises(AlreadyExists):
        await new_client(transport).create(CONFIG_MAPS, VALUE)
    assert len(transport.sent) == 1


@in_virtual_time
async def test_a_generated_name_is_known_to_the_observer_when_the_answer_is_lost() -> None:
    told = Told()
    transport = Scripted(AnswerLost("reset"))
    with pytest.raises(AnswerLost):
        await new_client(transport, observer=told).create(CONFIG_MAPS, GENERATED)
    assert told.notes == [("uncertain", Key("default", transport.sent[0].json["metadata"]["name"]), "")]


@pytest.mark.parametrize("metadata", [{}, {"generateName": None}, {"name": ""}])
@in_virtual_time
async def test_an_object_without_a_name_is_a_mistake_of_the_program(metadata: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"create configmaps: the object has neither metadata\.name nor"):
        await new_client(Scripted()).create(CONFIG_MAPS, {"metadata": metadata})


@in_virtual_time
async def test_a_watch_asks_for_bookmarks_and_where_to_begin() -> None:
    transport = Scripted(Pieces(200, []), Pieces(200, []))
    client = new_client(transport)
    async with client.watch(
        CONFIG_MAPS, "default", label_selector="a=b", field_selector="c=d", resource_version="7", timeout_seconds=300
    ):
        pass
    async with client.watch(CONFIG_MAPS, initial_events=True, timeout_seconds=300):
        pass
    common = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "300"}
    first, second = transport.sent
    assert first.path == NAMESPACE
    assert first.query == {**common, "labelSelector": "a=b", "fieldSelector": "c=d", "resourceVersion": "7"}
    assert second.path == "/api/v1/configmaps"
    assert second.query == {**common, "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}


EVENTS = [
    {"type": "ADDED", "object": {"metadata": {"name": "ä€😀", "labels": {"quote": 'a "b" \\n'}}}},
    {"type": "MODIFIED", "object": {"metadata": {"name": "b"}}},
    {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
]
STREAM = b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in EVENTS)


async def watched(*pieces: bytes) -> list[WatchEvent]:
    async with new_client(Scripted(Pieces(200, pieces))).watch(CONFIG_MAPS, timeout_seconds=300) as stream:
        return [event async for events in stream for event in events]


def as_json(events: list[WatchEvent]) -> list[dict[str, Any]]:
    return [{"type": event.type, "object": json.loads(bytes(event.object))} for event in events]


@in_virtual_time
async def test_a_watch_cut_anywhere_gives_the_same_events() -> None:
    for cut in range(len(STREAM) + 1):  # in the middle of a line, and of a character
        assert as_json(await watched(STREAM[:cut], STREAM[cut:])) == EVENTS
    assert as_json(await watched(*(bytes([byte]) for byte in STREAM))) == EVENTS
    assert as_json(await watched(STREAM, b"", b"\n\n")) == EVENTS


@in_virtual_time
async def test_an_event_that_the_end_of_the_stream_cut_off_is_not_handed_over() -> None:
    for cut in range(len(STREAM)):
        events = as_json(await watched(STREAM[:cut]))
        assert events == EVENTS[: STREAM[:cut].count(b"\n")]


@in_virtual_time
async def test_events_are_handed_over_as_they_arrive() -> None:
    first, rest = STREAM.split(b"\n", 1)
    async with new_client(Scripted(Pieces(200, [first + b"\n", rest]))).watch(
        CONFIG_MAPS, timeout_seconds=300
    ) as stream:
        assert [len(events) async for events in stream] == [1, 2]


@pytest.mark.parametrize(
    "line", [b"<html>\n", b'{"type": 1}\n', b'{"object": {}}\n', b'{"type": "\xff", "object": {}}\n']
)
@in_virtual_time
async def test_a_stream_that_holds_something_else_than_events_says_so(line: bytes) -> None:
    with pytest.raises(DecodeError, match="watch configmaps: the stream holds what is not a watch event"):
        await watched(line)


@in_virtual_time
async def test_a_refused_watch_is_raised_as_other_refusals_and_is_not_repeated() -> None:
    body = refusal(410, "Expired", "too old resource version").body
    transport = Scripted(
        Pieces(410, [body[:9], body[9:]]),
        Pieces(429, [refusal(429).body], {"retry-after": "3"}),
        Unreachable("refused"),
    )
    client = new_client(transport)
    with pytest.raises(Expired, match=r"^watch configmaps in namespace default: 410 Expired: too old"):
        async with client.watch(CONFIG_MAPS, "default", timeout_seconds=300):
            pass
    with pytest.raises(TooManyRequests) as caught:
        async with client.watch(CONFIG_MAPS, timeout_seconds=300):
            pass
    assert caught.value.retry_after == 3
    with pytest.raises(Unreachable):
        async with client.watch(CONFIG_MAPS, timeout_seconds=300):
            pass
    assert len(transport.sent) == 3


@in_virtual_time
async def test_what_the_server_warns_of_is_logged_whatever_the_call_and_its_answer() -> None:
    transport = Scripted(
        answer(200, warning='299 - "one"'),
        refusal(403)._replace(headers={"warning": '299 - "two", 299 - "one"'}),
        Pieces(200, [], {"warning": '299 - "three"'}),
    )
    client = new_client(transport)
    with capture_logs() as log:
        await client.get(CONFIG_MAPS, "a", "default")
        with pytest.raises(Forbidden):
            await client.update(CONFIG_MAPS, VALUE)
        async with client.watch(CONFIG_MAPS, timeout_seconds=300):
            pass
    assert [(line["call"], line["warning"]) for line in log] == [
        ("get configmaps default/a", "one"),
        ("update configmaps default/a", "two"),
        ("watch configmaps", "three"),
    ]


@in_virtual_time
async def test_every_attempt_is_counted_and_timed() -> None:
    registry = CollectorRegistry()
    transport = Scripted(
        refusal(429, header="1"),
        answer(200),
        AnswerLost("reset"),
        Pieces(200, []),
        Pieces(403, [b"{}"]),
        Unreachable("refused"),
    )
    client = new_client(transport, metrics=ClientMetrics(registry))
    await client.get(CONFIG_MAPS, "a", "default")
    with pytest.raises(AnswerLost):
        await client.create(CONFIG_MAPS, VALUE)
    for outcome in (nullcontext(), pytest.raises(Forbidden), pytest.raises(Unreachable)):
        with outcome:
            async with client.watch(CONFIG_MAPS, timeout_seconds=300):
                pass

    def count(code: str, method: str) -> float | None:
        labels = {"code": code, "method": method, "host": "api.example:6443"}
        return registry.get_sample_value("rest_client_requests_total", labels)

    assert [count("429", "GET"), count("200", "GET"), count("403", "GET")] == [1, 2, 1]
    assert [count("<error>", "POST"), count("<error>", "GET")] == [1, 1]
    for verb, times in {"GET": 2, "CREATE": 1, "WATCH": 3}.items():
        labels = {"verb": verb, "host": "api.example:6443"}
        assert registry.get_sample_value("rest_client_request_duration_seconds_count", labels) == times


async def test_what_is_written_is_escaped_as_by_go() -> None:
    # An API server compared what it had kept with what Go made of it, and refused a patch that did not touch it.
    transport = Scripted(answer(201))
    value = {**VALUE, "data": {"x": "<&>\u2028\u2029é"}}
    await Client(transport).create(CONFIG_MAPS, value)
    assert transport.sent[0].json["data"] == value["data"]
    assert '"\\u003c\\u0026\\u003e\\u2028\\u2029é"'.encode() in (transport.sent[0].body or b"")
