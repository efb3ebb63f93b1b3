"""Objects of built-in kinds are on the in-memory server what they are on the real one, and so are refusals.

The files in `builtin_kinds` have an object for each test. It is created as a dry run on both servers; then, where the
file says so, it is created for good, given a status, and updated (as dry runs, by merges with what the server has).
Answers are compared but for UIDs, times, revisions, and addresses and ports that the servers give by chance. Where
Kubernetes lists causes in the order of a Go map, which is chance, their order does not count.
"""

from __future__ import annotations

import asyncio
import json
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.runtime.environment import Environment
from disvc.runtime.transport import Answer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.requests import Request
from disvc.testing.memory.server import APIServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]
    Ask = Callable[..., Value]

ROOT = Path(__file__).parents[2]
NAMESPACE = "builtin-kinds"
KINDS = {(each.api_version, each.kind): each for each in TYPES}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DRY_RUN = {"dryRun": "All"}
BY_CHANCE = ("uid", "creationTimestamp", "managedFields", "resourceVersion")
GIVEN = re.compile(
    r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+[smhdy](?:\d+[smhd])?|10(?:\.\d+){3}|3\d{4}|20[0-9T:-]+Z)\b"
)
"""UIDs, ages, times, and addresses and ports of Services in the cells of tables."""


def cases() -> Iterator[Any]:
    for file in sorted((Path(__file__).parent / "builtin_kinds").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            kind = document["object"]["kind"]
            yield pytest.param(document, id=f"{kind}: {document['case']}")


def in_memory() -> Ask:
    server = APIServer(Environment(), TYPES)

    def ask(method: str, path: str, body: Value | None = None, *, accept: str = "", **query: str) -> Value:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"content-type": kind, "accept": accept or "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        answer = asyncio.run(server.handle(Request(method, path, query, headers, content)))
        assert isinstance(answer, Answer)
        value: Value = json.loads(answer.body)
        return value

    return ask


def on_the_real_server(plane: ControlPlane) -> Ask:
    def ask(method: str, path: str, body: Value | None = None, *, accept: str = "", **query: str) -> Value:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        answer = plane.admin.request(method, f"{path}?{asked}", body, content_type=kind, accept=accept or "*/*")
        value: Value = json.loads(answer.data)
        return value

    return ask


@pytest.fixture(scope="module")
def servers(control_plane: ControlPlane) -> Iterator[tuple[Ask, Ask]]:
    both = in_memory(), on_the_real_server(control_plane)
    for ask in both:
        ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    yield both
    both[1]("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def path_of(kind: ResourceType, name: str = "") -> str:
    root = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    namespace = f"/namespaces/{NAMESPACE}" if kind.namespaced else ""
    return f"{root}{namespace}/{kind.plural}" + (f"/{name}" if name else "")


def merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), part)
    return result


def comparable(value: Value) -> Value:
    """Return an answer without what differs by chance."""
    match value["kind"]:
        case "Status":
            return _status(value)
        case "Table":
            return _table(value)
    if uid := value["metadata"].get("uid"):
        value = json.loads(json.dumps(value).replace(uid, "UID"))
    for name in BY_CHANCE:
        value["metadata"].pop(name, None)
    for condition in value.get("status", {}).get("conditions") or ():
        condition["lastTransitionTime"] = bool(condition.get("lastTransitionTime"))
    if value["kind"] == "Service":
        _mask_what_was_given(value["spec"])
    return value


def _status(status: Value) -> Value:
    causes = status.get("details", {}).get("causes")
    if causes:
        shown = [{**cause, "message": _without_internals(cause["message"])} for cause in causes]
        details = {**status["details"], "causes": sorted(shown, key=str)}
        return {**status, "details": details, "message": status["message"].split(" is invalid: ")[0]}
    return status


def _without_internals(message: str) -> str:
    """Return a message without Go structs of the server that are no API: a diff at the end, a pod template."""
    message = message.partition("\n")[0]
    return re.sub(r"\{.*\"containers\".*\}", "{…}", message, flags=re.IGNORECASE)


def _table(table: Value) -> Value:
    rows = [row["cells"] for row in table["rows"]]
    cells = [[GIVEN.sub("…", cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return {"columns": table["columnDefinitions"], "cells": cells}


def _mask_what_was_given(spec: Value) -> None:
    if spec.get("clusterIP", "None") != "None":
        spec["clusterIP"], spec["clusterIPs"] = "ADDRESS", ["ADDRESS"]
    for holder, name in [*((port, "nodePort") for port in spec.get("ports", ())), (spec, "healthCheckNodePort")]:
        if name in holder:
            holder[name] = "PORT"


@pytest.mark.parametrize("case", list(cases()))
def test_an_object_is_created_and_updated_as_on_the_real_server(case: Value, servers: tuple[Ask, Ask]) -> None:
    kind = KINDS[case["object"]["apiVersion"], case["object"]["kind"]]
    obj = merged({"metadata": {"name": "builtin"}}, case["object"])
    path = path_of(kind)
    memory, real = (comparable(ask("POST", path, obj, **DRY_RUN)) for ask in servers)
    assert memory == real
    if memory["kind"] != "Status":
        memory, real = (comparable(ask("POST", path, obj, accept=TABLE, **DRY_RUN)) for ask in servers)
        assert memory == real
    if "updates" in case or "status" in case:
        _check_changes(case, kind, obj, servers)


def _check_changes(case: Value, kind: ResourceType, obj: Value, servers: tuple[Ask, Ask]) -> None:
    path = path_of(kind, obj["metadata"]["name"])
    try:
        made = [ask("POST", path_of(kind), obj) for ask in servers]
        assert made[1]["kind"] == kind.kind, made[1]
        if status := case.get("status"):
            memory, real = (comparable(ask("PATCH", f"{path}/status", {"status": status})) for ask in servers)
            assert memory == real
            memory, real = (comparable(ask("GET", path, accept=TABLE)) for ask in servers)
            assert memory == real
        for update in case.get("updates", ()):
            memory, real = (
                comparable(ask("PUT", path, merged(before, update["merge"]), **DRY_RUN))
                for ask, before in zip(servers, made, strict=True)
            )
            assert memory == real, update["case"]
    finally:
        for ask in servers:
            _remove(ask, path)


def _remove(ask: Ask, path: str) -> None:
    """Remove an object whatever holds it."""
    ask("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    ask("PATCH", path, {"metadata": {"finalizers": None}})


def test_the_table_of_go_types_is_what_the_go_types_say() -> None:
    generate = runpy.run_path(str(ROOT / "hack/generate.py"))
    table = generate["GO_TYPES"].read_text()
    assert table == generate["go_types_file"](), "run `make generate` and commit what it writes"
