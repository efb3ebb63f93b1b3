"""The Events of the simulated KServe: one for each thing that is said about an ISVC, counted up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from disvc.runtime import Client
from disvc.testing.event_recorder import EVENTS, Recorder
from disvc.testing.kserve.resources import INFERENCE_SERVICES
from disvc.testing.stub import StubServer

if TYPE_CHECKING:
    Value = dict[str, Any]


def isvc(server: StubServer) -> Any:
    return INFERENCE_SERVICES.read(msgspec.json.encode(server.put(INFERENCE_SERVICES, "a", "test")))


def events(server: StubServer) -> list[Value]:
    created = [msgspec.json.decode(call.body or b"") for call in server.calls if call.method == "POST"]
    return [server.get(EVENTS, event["metadata"]["name"], "test") or {} for event in created]


async def test_what_is_said_again_is_counted() -> None:
    server = StubServer()
    recorder, about = Recorder(Client(server.transport()), "kserve"), isvc(server)
    for message in ("one", "two", "one", "one"):
        await recorder.event(about, "Warning", "InternalError", message)
    assert [(event["message"], event["count"]) for event in events(server)] == [("one", 3), ("two", 1)]


async def test_an_event_that_has_expired_is_made_again() -> None:
    server = StubServer()
    recorder, about = Recorder(Client(server.transport()), "kserve"), isvc(server)
    await recorder.event(about, "Normal", "Ready", "ready")
    server.remove(EVENTS, events(server)[0]["metadata"]["name"], "test")
    await recorder.event(about, "Normal", "Ready", "ready")
    assert [event.get("count") for event in events(server)] == [None, 1]
