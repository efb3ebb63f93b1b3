"""Random writes by several managers go to the real kube-apiserver, and `FieldManager` says what became of the object.

Each write is worked out on the object that the server had before: what it returns must be the same, managedFields and
refusals included. What comes before and after in a server (decoding, defaults, strategies) is left to the real one.
"""

from __future__ import annotations

import copy
import json
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing import crds
from disvc.testing.memory.apply import FieldManager, keep_times
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.patch import json_patch, merge_patch
from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.defaulting import default, drop_nulls

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.users import User

    Value = dict[str, Any]

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
STRINGS = {"type": "object", "additionalProperties": STRING}
SET = {"type": "array", "x-kubernetes-list-type": "set", "items": STRING}
PAIR = {"type": "object", "properties": {"a": STRING, "b": INTEGER}}
FREE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SPEC: Value = {
    "type": "object",
    "properties": {
        "text": STRING,
        "number": INTEGER,
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "either": {"x-kubernetes-int-or-string": True},
        "nullable": {"type": "string", "nullable": True},
        "struct": {"type": "object", "properties": {"a": STRING, "inner": PAIR}},
        "atomicStruct": PAIR | {"x-kubernetes-map-type": "atomic"},
        "map": STRINGS,
        "atomicMap": STRINGS | {"x-kubernetes-map-type": "atomic"},
        "structs": {"type": "object", "additionalProperties": PAIR},
        "sets": {"type": "object", "additionalProperties": SET},
        "list": {"type": "array", "items": STRING},
        "set": SET,
        "numbers": {"type": "array", "x-kubernetes-list-type": "set", "items": INTEGER},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": STRING, "value": INTEGER, "tags": SET, "map": STRINGS, "pair": PAIR},
            },
        },
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {"port": INTEGER, "protocol": STRING | {"default": "TCP"}, "name": STRING},
            },
        },
        "free": FREE,
        "embedded": FREE | {"x-kubernetes-embedded-resource": True},
    },
}
STATUS: Value = {
    "type": "object",
    "properties": {"replicas": INTEGER, "map": STRINGS, "conditions": SPEC["properties"]["items"]},
}
SCHEMA: Value = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
CRD: Value = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.fields.example.com"},
    "spec": {
        "group": "fields.example.com",
        "names": {"kind": "Thing", "plural": "things"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {"status": {}},
            }
        ],
    },
}
API_VERSION = "fields.example.com/v1"
MAIN = FieldManager({API_VERSION: Schema(SCHEMA)}, API_VERSION, "Thing", ignored=["status"])
STATUS_ONLY = FieldManager(
    {API_VERSION: Schema(SCHEMA)}, API_VERSION, "Thing", subresource="status", ignored=["metadata", "spec"]
)

UPDATERS = [f"updater-{number}" for number in range(14)]
APPLIERS = ["ann", "bob", "cyd", "kubectl"]
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Chance:
    """Makes random objects that are valid and small, so that managers meet at the same fields."""

    def __init__(self, seed: int, owners: list[Value]) -> None:
        self.random = random.Random(seed)
        self.owners = owners

    def value(self, schema: Value, depth: int = 0) -> Any:
        if schema.get("x-kubernetes-embedded-resource"):
            return self.embedded()
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            return self.free(depth)
        if schema.get("x-kubernetes-int-or-string"):
            return self.random.choice([1, 2, "x", "y"])
        make: dict[str, Callable[[], Any]] = {
            "string": lambda: self.random.choice("xyz"),
            "integer": lambda: self.random.randrange(4),
            "number": lambda: self.random.choice([1, 1.5, 2.25]),
            "boolean": lambda: self.random.random() < 0.5,
            "array": lambda: self.items(schema),
            "object": lambda: self.fields(schema),
        }
        return make[schema["type"]]()

    def some(self, fields: Value) -> Value:
        return {name: value for name, value in fields.items() if self.random.random() < 0.7}

    def fields(self, schema: Value) -> Value:
        names: Value = schema.get("properties") or dict.fromkeys("xyz", schema.get("additionalProperties"))
        share = self.random.choice([0.15, 0.3, 0.6])
        required = schema.get("required", ())
        return {
            name: self.value(below) for name, below in names.items() if name in required or self.random.random() < share
        }

    def items(self, schema: Value) -> list[Any]:
        items = [self.value(schema["items"]) for _ in range(self.random.randrange(4))]
        if schema.get("x-kubernetes-list-type", "atomic") == "atomic":
            return items
        keys = schema.get("x-kubernetes-list-map-keys")
        by_key = {tuple((item.get(key, "TCP") for key in keys) if keys else [item]): item for item in items}
        return list(by_key.values())

    def free(self, depth: int = 0) -> Any:
        if depth == 0 or (depth < 3 and self.random.random() < 0.6):
            names = [name for name in "pqr" if self.random.random() < 0.5]
            return {name: self.free(depth + 1) for name in names}
        return self.random.choice(["x", "y", 1, 2, True, ["x", {"y": self.random.randrange(3)}]])

    def embedded(self) -> Value:
        labels = {name: self.random.choice("xy") for name in "lm" if self.random.random() < 0.5}
        metadata = {"name": "e"} | ({"labels": labels} if labels else {})
        return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": self.free(1)}

    def metadata(self) -> Value:
        parts: Value = {
            "labels": {name: self.random.choice("xy") for name in "abc" if self.random.random() < 0.4},
            "annotations": {name: self.random.choice("xy") for name in "ab" if self.random.random() < 0.4},
            "finalizers": [name for name in ("e.com/a", "e.com/b") if self.random.random() < 0.5],
            "ownerReferences": [self.random.choice(self.owners)],
        }
        return {name: part for name, part in parts.items() if part and self.random.random() < 0.3}


@dataclass
class Write:
    """A request, and what `FieldManager` makes of it given the object as it is and the time."""

    method: str
    path: str
    body: object
    content_type: str
    expected: Callable[[Value | None, datetime], Value]


class Thing:
    """An object on the real server, and what is known of it: all that the server said last."""

    def __init__(self, user: User, namespace: str, name: str, seed: int) -> None:
        self._user = user
        self._chance = Chance(seed, [_owner(user, each) for each in (namespace, "default")])
        self._random = self._chance.random
        self._collection = f"/apis/{API_VERSION}/namespaces/{namespace}/things"
        self._identity = {"name": name, "namespace": namespace}
        self.live: Value | None = None
        self.accepted = 0

    def step(self) -> None:
        """Send a random write, and compare the answer."""
        write = self._write()
        response = self._user.request(write.method, write.path, write.body, content_type=write.content_type)
        answer = response.json()
        if response.status == 422 and answer["details"].get("kind"):
            return  # the object was not valid, which is not the business of field managers
        sent = parsedate_to_datetime(response.headers["Date"])
        said, guess = _comparable(answer), {}
        for late in (0, 1, 2):  # the answer is written some time after the object
            if (guess := _outcome(write, self.live, sent - timedelta(seconds=late))) == said:
                break
        else:
            pytest.fail(f"{write.method} {write.path} {write.body}\non: {self.live}\nsaid: {said}\nand not: {guess}")
        if response.status < 300:
            self.accepted += 1
            self.live = answer

    def _write(self) -> Write:
        kinds = [self._put] * 3 + [self._merge] * 2 + [self._json] + [self._apply] * 6 + [self._reset]
        kinds += [self._put_status, self._apply_status, self._merge_status]
        if self.live is None:
            kinds = [self._create, self._apply]
        return self._random.choice(kinds)()

    def _object(self, **parts: Value) -> Value:
        metadata = self._identity | parts.pop("metadata", {})
        return {"apiVersion": API_VERSION, "kind": "Thing", "metadata": metadata, **parts}

    def _path(self, manager: str, subresource: str = "", **query: str) -> str:
        options = "&".join(f"{name}={value}" for name, value in {"fieldManager": manager, **query}.items())
        return f"{self._collection}/{self._identity['name']}{subresource}?{options}"

    def _create(self) -> Write:
        manager = self._random.choice(UPDATERS)
        obj = self._object(metadata=self._chance.metadata(), spec=self._chance.value(SPEC), status={"replicas": 1})

        def expected(live: Value | None, now: datetime) -> Value:
            made = MAIN.update(None, _decoded(obj), manager, now)
            del made["status"]
            return made

        return Write("POST", f"{self._collection}?fieldManager={manager}", obj, "application/json", expected)

    def _changed(self) -> Value:
        """Return the object with some of its fields set anew or gone."""
        assert self.live is not None
        spec = dict(self.live.get("spec", {}))
        for name in SPEC["properties"]:
            if self._random.random() < 0.2:
                spec[name] = self._chance.value(SPEC["properties"][name])
            elif self._random.random() < 0.1:
                spec.pop(name, None)
        metadata = {name: value for name, value in self.live["metadata"].items() if self._random.random() < 0.9}
        kept = {name: self.live["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        metadata |= self._chance.metadata() | kept
        if self._random.random() < 0.4:
            metadata["annotations"] = {LAST_APPLIED: json.dumps(self._object(spec=self._chance.some(spec)))}
        return self.live | {"spec": spec, "metadata": metadata}

    def _put(self) -> Write:
        return self._update("PUT", "application/json", self._changed(), lambda live, body: body)

    def _reset(self) -> Write:
        obj = self._changed()
        managed = self._random.choice([[], [{}], [{"manager": "odd"}], obj["metadata"].get("managedFields", [])[:1]])
        obj["metadata"] = obj["metadata"] | {"managedFields": managed}
        return self._update("PUT", "application/json", obj, lambda live, body: body)

    def _merge(self) -> Write:
        patch = {"spec": self._chance.fields(SPEC), "metadata": self._chance.metadata()}
        for name in SPEC["properties"]:
            if self._random.random() < 0.1:
                patch["spec"][name] = None
        return self._update("PATCH", "application/merge-patch+json", patch, merge_patch)

    def _json(self) -> Write:
        names = self._random.sample(list(SPEC["properties"]), 2)
        patch = [
            {"op": "add", "path": f"/spec/{name}", "value": self._chance.value(SPEC["properties"][name])}
            for name in names
        ]
        patch += [{"op": self._random.choice(["test", "remove"]), "path": f"/spec/{self._random.choice(names)}"}]
        return self._update("PATCH", "application/json-patch+json", patch, json_patch)

    def _update(
        self, method: str, content_type: str, body: Any, patched: Callable[[Value, Any], Value], subresource: str = ""
    ) -> Write:
        manager = self._random.choice(UPDATERS)
        fields = STATUS_ONLY if subresource else MAIN

        def expected(live: Value | None, now: datetime) -> Value:
            assert live is not None
            new = fields.update(live, _decoded(patched(live, body)), manager, now)
            return _stored(live, new, subresource)

        return Write(method, self._path(manager, subresource), body, content_type, expected)

    def _apply(self) -> Write:
        spec = self._chance.fields(SPEC)
        for name in SPEC["properties"]:
            if self._random.random() < 0.02:
                spec[name] = None
        return self._applied(self._object(metadata=self._chance.metadata(), spec=spec), MAIN)

    def _apply_status(self) -> Write:
        return self._applied(self._object(status=self._chance.fields(STATUS)), STATUS_ONLY, "/status")

    def _applied(self, obj: Value, fields: FieldManager, subresource: str = "") -> Write:
        manager, force = self._random.choice(APPLIERS), self._random.random() < 0.6
        path = self._path(manager, subresource, force=str(force).lower())

        def expected(live: Value | None, now: datetime) -> Value:
            new = copy.deepcopy(fields.apply(live, obj, manager, force=force, now=now))
            default(new, Schema(SCHEMA))
            new = _with_coerced_metadata(new)
            return _stored(live, new, subresource) if live else new

        return Write("PATCH", path, obj, "application/apply-patch+yaml", expected)

    def _put_status(self) -> Write:
        obj = self._changed() | {"status": self._chance.fields(STATUS)}
        return self._update("PUT", "application/json", obj, lambda live, body: body, "/status")

    def _merge_status(self) -> Write:
        patch = {"status": self._chance.fields(STATUS), "spec": {"text": "x"}}
        return self._update("PATCH", "application/merge-patch+json", patch, merge_patch, "/status")


def _owner(user: User, namespace: str) -> Value:
    """Return a reference to an owner that is there to stay, as a garbage collector may be at work."""
    uid = user.call("GET", f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "Namespace", "name": namespace, "uid": uid}


def _decoded(obj: Value) -> Value:
    """Return an object as it is decoded: with defaults, and without nulls and empty metadata."""
    obj = copy.deepcopy(obj)
    obj["metadata"] = {name: value for name, value in obj["metadata"].items() if value != []}
    drop_nulls(obj, Schema(SCHEMA))
    default(obj, Schema(SCHEMA))
    return obj


def _with_coerced_metadata(obj: Value) -> Value:
    """Return an object whose embedded one has no null in its metadata: what apply leaves there, a server drops."""
    embedded = (obj.get("spec") or {}).get("embedded")
    if embedded and embedded.get("metadata"):
        embedded["metadata"] = {name: value for name, value in embedded["metadata"].items() if value is not None}
    return obj


def _stored(live: Value, new: Value, subresource: str) -> Value:
    """Return what a strategy makes of an update."""
    if subresource:
        managed = {name: value for name, value in new["metadata"].items() if name == "managedFields"}
        kept = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
        stored = _with_status(live, new) | {"metadata": kept | managed}
    else:
        system = {name: live["metadata"][name] for name in SYSTEM if name in live["metadata"]}
        stored = _with_status(new, live) | {"metadata": new["metadata"] | system}
    return keep_times(stored, live)


def _with_status(obj: Value, source: Value) -> Value:
    rest = {name: value for name, value in obj.items() if name != "status"}
    return rest | {name: source[name] for name in ("status",) if name in source}


SYSTEM = ("uid", "creationTimestamp", "generation", "resourceVersion")


def _outcome(write: Write, live: Value | None, now: datetime) -> Value:
    try:
        return _comparable(write.expected(live, now))
    except Refused as refused:
        return _comparable(refused.status())


def _comparable(answer: Value) -> Value:
    """Return an answer without what the field manager does not decide, and with causes in order."""
    answer = copy.deepcopy(answer)
    for name in SYSTEM:
        answer["metadata"].pop(name, None)
    causes = answer.get("details", {}).get("causes", [])
    causes.sort(key=lambda cause: (cause["message"], cause["field"]))
    return answer


def test_fields_are_owned_as_a_whole_where_the_schema_has_become_atomic(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The schema changes under an object that managers have written to, and changes back."""
    granular = copy.deepcopy(CRD) | {"metadata": {"name": "changings.fields.example.com"}}
    granular["spec"]["names"] = {"kind": "Changing", "plural": "changings"}
    atomic = copy.deepcopy(granular)
    properties = atomic["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for name in ("set", "items", "ports"):
        properties[name]["x-kubernetes-list-type"] = "atomic"
        properties[name].pop("x-kubernetes-list-map-keys", None)
    for name in ("map", "struct", "structs"):
        properties[name]["x-kubernetes-map-type"] = "atomic"
    user = control_plane.admin
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/changings/x"

    def send(obj: Value, manager: str, query: str = "") -> Value:
        obj = {"apiVersion": API_VERSION, "kind": "Changing", "metadata": {"name": "x"}} | obj
        return user.call(
            "PATCH", f"{path}?fieldManager={manager}{query}", obj, content_type="application/apply-patch+yaml"
        )

    crds.install(user, granular)
    spec = {"set": ["a"], "items": [{"name": "a", "tags": ["t"]}], "map": {"k": "v"}, "structs": {"x": {"a": "b"}}}
    live = send({"spec": spec | {"struct": {"inner": {"a": "b"}}, "ports": [{"port": 1}]}}, "ann")
    live = send({"spec": spec}, "bob")
    for definition in (atomic, granular):
        crds.install(user, definition)
        schema = Schema(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        fields = FieldManager({API_VERSION: schema}, API_VERSION, "Changing", ignored=["status"])
        probe = {"spec": {"map": {"probe": "x"}}}
        whole: Value = {"f:spec": {"f:map": {}}} if definition is atomic else {"f:spec": {"f:map": {"f:probe": {}}}}
        while send(probe, "probe", "&force=true&dryRun=All")["metadata"]["managedFields"][-1]["fieldsV1"] != whole:
            time.sleep(0.05)
        applied = {"apiVersion": API_VERSION, "kind": "Changing", "metadata": {"name": "x"}, "spec": {"number": 1}}
        said = send(applied, "cyd")
        expected = fields.apply(live, applied, "cyd", force=False, now=datetime.now(UTC))
        assert _without_times(expected) == _without_times(said)
        live = said


def _without_times(obj: Value) -> Value:
    obj = _comparable(obj)
    for entry in obj["metadata"]["managedFields"]:
        entry.pop("time", None)
    return obj


@pytest.mark.parametrize("seed", range(3))
def test_custom_objects_after_random_writes_are_as_the_server_has_them(
    control_plane: ControlPlane, namespace: str, seed: int
) -> None:
    crds.install(control_plane.admin, CRD)
    things = [Thing(control_plane.admin, namespace, f"thing-{number}", seed * 100 + number) for number in range(25)]
    for _ in range(40):
        for thing in things:
            thing.step()
    assert sum(thing.accepted for thing in things) > 500
