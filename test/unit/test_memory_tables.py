"""Objects as a Table or as PartialObjectMetadata, through the server's transport."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml

from disvc.runtime import Client, Resource
from disvc.runtime.environment import Environment
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.resource import Column

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from disvc.runtime.transport import Answer

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PATH = "/api/v1/namespaces/default/configmaps"


def name_of(obj: dict[str, Any], now: datetime) -> object:
    return obj["metadata"]["name"]


def size_of(obj: dict[str, Any], now: datetime) -> object:
    return len(obj["data"])


COLUMNS = (Column("Name", "string", name_of, format="name"), Column("Data", "integer", size_of, priority=1))


@pytest.fixture
def server() -> APIServer:
    with_columns = (replace(each, columns=COLUMNS) if each.kind == "ConfigMap" else each for each in TYPES)
    return APIServer(Environment(), with_columns)


@pytest.fixture(autouse=True)
async def objects(server: APIServer) -> None:
    client = Client(server.transport())
    for name in "ab":
        await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}, "data": {"x": "1"}})


def accept(kind: str, version: str = "v1") -> dict[str, str]:
    return {"accept": f"application/json;as={kind};v={version};g=meta.k8s.io"}


async def get(server: APIServer, path: str, headers: Mapping[str, str], **query: str) -> Answer:
    return await server.transport().request(
        "GET", path, query=query, headers=headers, body=None, timeout=10, fence=None
    )


async def value(server: APIServer, path: str, kind: str, **query: str) -> dict[str, Any]:
    answer = await get(server, path, accept(kind), **query)
    decoded: dict[str, Any] = msgspec.json.decode(answer.body)
    return {**decoded, "code": answer.status}


async def first_events(server: APIServer, headers: Mapping[str, str], **query: str) -> list[dict[str, Any]]:
    """Return what a watch tells at once."""
    async with server.transport().stream(PATH, query=query, headers=headers, timeout=10) as stream:
        chunk = await anext(aiter(stream.chunks()))
    return [msgspec.json.decode(line) for line in chunk.splitlines()]


async def test_a_table_has_columns_and_a_row_of_cells_for_each_object(server: APIServer) -> None:
    table = await value(server, PATH, "Table")
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert table["columnDefinitions"] == [
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
        {"name": "Data", "type": "integer", "format": "", "description": "", "priority": 1},
    ]
    assert [row["cells"] for row in table["rows"]] == [["a", 1], ["b", 1]]
    assert table["metadata"].keys() == {"resourceVersion"}


async def test_a_page_of_a_table_says_how_to_go_on(server: APIServer) -> None:
    table = await value(server, PATH, "Table", limit="1")
    assert table["metadata"]["remainingItemCount"] == 1
    rest = await value(server, PATH, "Table", limit="1", **{"continue": table["metadata"]["continue"]})
    assert [row["object"]["metadata"]["name"] for row in rest["rows"]] == ["b"]


@pytest.mark.parametrize(
    ("include", "kind"), [("", "PartialObjectMetadata"), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
async def test_a_row_has_as_much_of_its_object_as_is_asked_for(server: APIServer, include: str, kind: str) -> None:
    table = await value(server, PATH, "Table", includeObject=include)
    assert [row["object"]["kind"] for row in table["rows"]] == [kind, kind]
    assert ("data" in table["rows"][0]["object"]) == (kind == "ConfigMap")


async def test_a_row_has_no_object_where_none_is_asked_for(server: APIServer) -> None:
    table = await value(server, f"{PATH}/a", "Table", includeObject="None")
    assert [row["object"] for row in table["rows"]] == [None]


async def test_a_wrong_include_object_is_refused_in_the_servers_words(server: APIServer) -> None:
    refused = await value(server, PATH, "Table", includeObject="All")
    assert refused["code"] == 400
    assert refused["message"] == (
        "Unable to convert to Table as requested: "
        "includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
    )


async def test_metadata_alone_is_to_be_had_of_an_object_and_of_a_list(server: APIServer) -> None:
    one = await value(server, f"{PATH}/a", "PartialObjectMetadata")
    many = await value(server, PATH, "PartialObjectMetadataList")
    assert one.keys() == {"kind", "apiVersion", "metadata", "code"}
    assert many["items"][0] == {key: one[key] for key in ("kind", "apiVersion", "metadata")}


async def test_a_list_is_not_to_be_had_as_one_object_nor_an_object_as_a_list(server: APIServer) -> None:
    many = await value(server, PATH, "PartialObjectMetadata")
    one = await value(server, f"{PATH}/a", "PartialObjectMetadataList")
    assert (many["code"], one["code"]) == (406, 406)
    assert many["message"] == (
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    )
    assert one["message"] == (
        "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
    )


async def test_a_watch_says_its_columns_once_and_ends_its_initial_events_visibly(server: APIServer) -> None:
    query = {
        "watch": "1",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "includeObject": "None",
    }
    events = await first_events(server, accept("Table"), **query)
    assert [event["type"] for event in events[:3]] == ["ADDED", "ADDED", "BOOKMARK"]
    assert [event["object"]["columnDefinitions"] is None for event in events[:3]] == [False, True, True]
    (end,) = events[2]["object"]["rows"]
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_of_metadata_leaves_out_the_rest(server: APIServer) -> None:
    events = await first_events(server, accept("PartialObjectMetadata"), watch="1")
    assert [event["object"].keys() for event in events] == [{"kind", "apiVersion", "metadata"}] * 2


async def test_a_refusal_is_a_status_whatever_was_asked_for(server: APIServer) -> None:
    assert (await value(server, f"{PATH}/none", "Table"))["kind"] == "Status"


async def test_yaml_is_to_be_had(server: APIServer) -> None:
    answer = await get(server, f"{PATH}/a", {"accept": "application/yaml"})
    assert answer.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(answer.body)["data"] == {"x": "1"}
