"""What CRDs' schemas do in the in-memory API server and in a real kube-apiserver: the same, for random objects.

Objects are sent to the real server as dry runs. What it answers, the object as it would be stored or the causes of its
refusal, is what `disvc.testing.memory.structural` makes of the same object; so are its warnings of unknown fields.
"""

from __future__ import annotations

import copy
import json
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.api.crd import crd as disvc_crd
from disvc.testing.crds import install
from disvc.testing.kserve.crd import definition as isvc_crd
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.openapi import document
from disvc.testing.memory.structural.definition import resource_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.users import User

Value = dict[str, Any]
DEFINITIONS = Path(__file__).parent / "definitions"
DEFINITION = next(each for each in TYPES if each.kind == "CustomResourceDefinition")
TEXTS = ["", "a", "ab", "abc", "x", "ABC", "a-b", "é", "10", "10%", "kube", "a,b", "must", "bad", "a1b22", "x" * 30]
INTEGERS = [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, -1, 49, 50, 100, 2**31, 2**53]
NUMBERS = [*INTEGERS, 0.5, 1.5, 2.5, 3.25, -0.5, 1e20]
ANYTHING: list[Any] = [None, 0, 1, 1.5, True, False, "", "x", [], {}, ["a"], {"a": 1}, {"a": {"b": None}}, [[]], [None]]
OF_FORMAT = {
    "bsonobjectid": ["507f1f77bcf86cd799439011", "x"],
    "byte": ["aGk=", "aGk", "", "YWJjZGVm", "_-=="],
    "cidr": ["10.0.0.0/8", "10.0.0.1/33", "::/0", "10.0.0.0", "010.0.0.0/8"],
    "creditcard": ["4111111111111111", "4111-1111-1111-1111", "4111111111111112"],
    "date": ["2020-01-01", "2020-13-01", "2020-02-30", "20-1-1", "0000-01-01"],
    "date-time": ["2020-01-01T00:00:00Z", "2020-01-01T24:00:00Z", "2021-05-05T01:02:03.5+02:00", "2020-01-01"],
    "duration": ["1s", "1h1m", "-1s", "22 ns", "3 days", "x", "1", "1.5h", "0", "+5s", "5 weeks", "1µs"],
    "email": ["a@b.c", "a", "A <a@b>", "a@", "a b@c"],
    "hexcolor": ["#fff", "fff", "#ffffff", "#ffff"],
    "hostname": ["a.com", "a_b", "-a", "a.b.c", "x" * 64, "1.2.3.4", "a..b"],
    "ipv4": ["1.2.3.4", "01.2.3.4", "1.2.3", "::1", "256.1.1.1", "::ffff:1.2.3.4"],
    "ipv6": ["::1", "1.2.3.4", "fe80::1%eth0", "::ffff:1.2.3.4", "1::2::3"],
    "isbn": ["0321751043", "978-0321751041", "1"],
    "k8s-long-name": ["a.b", "a..b", "A.b"],
    "k8s-short-name": ["a-b", "A", "a.b", "-a"],
    "mac": ["01:23:45:67:89:ab", "0123.4567.89ab", "01-23-45-67-89-ab", "01:23", "01:23-45:67:89:ab"],
    "rgbcolor": ["rgb(1,2,3)", "rgb(256,0,0)", "rgb( 1 , 2 , 3 )"],
    "ssn": ["123-45-6789", "123456789", "123 45 6789"],
    "uri": ["http://a.b/c", "/x", "x", "http://a b", "mailto:x", "a:b", "http://[::1]:80/", "%zz", "/%41", "1:2"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000", "x"],
}
OF_FIELD = {  # fields that rules look at closely
    "bytes": ["aGk=", "YWJjZGVm", "YWJj"],
    "dns": ["a", "A", "a.b", "-a", "x" * 20],
    "dur": ["2s", "1ms", "1s", "1m0s"],
    "ip": ["10.1.2.3", "1.2.3.4", "::1", "x", "10.0.0.01"],
    "quantity": ["1Gi", "1", "500m", "2Mi", "1.5", "1e3"],
    "time": ["2020-01-01T00:00:00Z", "2019-05-05T00:00:00.5+02:00", "2021-05-05T00:00:00Z"],
    "url": ["https://a:8080/x", "http://a", "https://a", "x", "https://[::1]:8080"],
    "version": ["1.2.3", "2.0.0", "1.2.0-rc.1", "1.2.0-alpha"],
}
METADATA = [
    {"name": "x"},
    {},
    {"name": "A B"},
    {"labels": {"a": "b"}, "foo": 1},
    {"labels": {"a": "b c"}},
    {"namespace": "X", "name": "y"},
    {"creationTimestamp": None},
    None,
    {"finalizers": ["x"]},
]


def choices(schema: Mapping[str, Any]) -> list[Any]:
    if schema.get("x-kubernetes-int-or-string"):
        return [*INTEGERS, *TEXTS]
    of_type: dict[str, list[Any]] = {"integer": INTEGERS, "number": NUMBERS, "boolean": [True, False]}
    of_type["string"] = OF_FORMAT.get(schema.get("format", ""), TEXTS)
    return of_type.get(schema.get("type", ""), ANYTHING)


@dataclass
class Writer:
    """Makes values by a schema, some of them wrong."""

    chance: random.Random
    mistakes: float
    """The probability that a value is not what its schema asks for at all."""

    def value(self, schema: Mapping[str, Any], name: str = "") -> Any:
        pick = self.chance.choice
        if self.chance.random() < self.mistakes:
            return copy.deepcopy(pick(ANYTHING))
        if schema.get("enum") and self.chance.random() < 0.8:
            return pick(schema["enum"])
        match schema.get("type"):
            case "array":
                items = [self.value(schema["items"]) for _ in range(pick([0, 1, 2, 2, 3, 4]))]
                is_set = schema.get("x-kubernetes-list-type") == "set"
                return list(dict.fromkeys(items)) if is_set and not self.mistakes else items
            case "object":
                return self._object(schema)
            case _:
                return copy.deepcopy(pick(OF_FIELD.get(name) or choices(schema)))

    def change(self, value: Any, schema: Mapping[str, Any], name: str = "") -> Any:
        """Change a value somewhere, in place as far as it goes, and return it."""
        if isinstance(value, dict) and value and self.chance.random() < 0.9:
            key = self.chance.choice(list(value))
            additional = schema.get("additionalProperties")
            inner = schema.get("properties", {}).get(key) or (additional if isinstance(additional, dict) else {})
            if self.chance.random() < 0.15:
                del value[key]
            else:
                value[key] = self.change(value[key], inner, key)
            return value
        if isinstance(value, list) and value and self.chance.random() < 0.8:
            return self._changed_list(value, schema.get("items", {}))
        return self.value(schema, name)

    def _changed_list(self, items: list[Any], schema: Mapping[str, Any]) -> list[Any]:
        index = self.chance.randrange(len(items))
        match self.chance.randrange(5):
            case 0:
                self.chance.shuffle(items)
            case 1:
                del items[index]
            case 2:
                items.append(self.value(schema))
            case _:
                items[index] = self.change(items[index], schema)
        return items

    def _object(self, schema: Mapping[str, Any]) -> Value:
        if schema.get("x-kubernetes-embedded-resource"):
            return self._embedded()
        additional, fields = schema.get("additionalProperties"), schema.get("properties", {})
        if isinstance(additional, dict):
            keys = [self.chance.choice(["a", "b", "bad", "must", "long-key"]) for _ in range(self.chance.randrange(4))]
            return {key: self.value(additional) for key in keys}
        usual = min(0.5, 6 / (len(fields) + 1))
        made = {
            name: self.value(inner, name)
            for name, inner in fields.items()
            if self.chance.random() < (0.95 if name in schema.get("required", ()) else usual)
        }
        if self.chance.random() < 0.1:
            made["zz"] = copy.deepcopy(self.chance.choice(ANYTHING))
        return made

    def _embedded(self) -> Value:
        parts = {
            "apiVersion": self.chance.choice(["v1", "apps/v1", "a/b/c", ""]),
            "kind": self.chance.choice(["Pod", "", "a b", "Foo"]),
            "metadata": copy.deepcopy(self.chance.choice(METADATA)),
            "spec": self.chance.choice([{"a": 1}, {"a": "x"}, {"b": 2}, None]),
        }
        return {name: part for name, part in parts.items() if self.chance.random() < 0.8}


@dataclass(frozen=True)
class Outcome:
    """What became of an object."""

    code: int
    stored: Any = None
    causes: frozenset[tuple[str, str, str]] = frozenset()
    unknown: tuple[str, ...] = field(default=(), compare=False)


def defined(crd: Value) -> ResourceType:
    """Return the first kind that a CRD makes in the in-memory server."""
    obj, _ = decoded(DEFINITION, json.loads(json.dumps(crd)))
    DEFINITION.strategy.default(obj)
    DEFINITION.strategy.prepare_for_create(obj)
    assert DEFINITION.strategy.validate(obj, None, "") == []
    return resource_types(obj)[0]


def decoded(kind: ResourceType, obj: Value) -> tuple[Value, Sequence[str]]:
    assert kind.decode is not None
    return kind.decode(obj)


def in_memory(kind: ResourceType, given: Value, old: Value | None = None) -> Outcome:
    try:
        obj, unknown = decoded(kind, given)
    except Refused as refused:
        return Outcome(refused.code)
    kind.strategy.default(obj)
    if old is None:
        kind.strategy.prepare_for_create(obj)
    else:
        kind.strategy.prepare_for_update(obj, old)
    found = kind.strategy.validate(obj, old, "")
    if found:
        return Outcome(422, causes=frozenset((cause.reason, cause.field, cause.message) for cause in found))
    return Outcome(200, stored=without_metadata(obj), unknown=tuple(sorted(unknown)))


def on_server(admin: User, method: str, path: str, obj: Value) -> Outcome:
    answer = admin.request(method, f"{path}?dryRun=All", obj)
    body = answer.json()
    if answer.status == 422:
        causes = body["details"]["causes"]
        found = [(cause["reason"], cause["field"], cause["message"]) for cause in causes]
        return Outcome(422, causes=frozenset(found))
    if answer.status >= 300:
        return Outcome(answer.status)
    warnings = [re.sub(r'\\"', '"', warning) for warning in answer.headers.getlist("Warning")]
    unknown = sorted(match[1] for warning in warnings if (match := re.search(r'unknown field "(.*?)"', warning)))
    return Outcome(200, stored=without_metadata(body), unknown=tuple(unknown))


def without_metadata(obj: Value) -> Any:
    """Return what is compared of an object; 1.0 and 1 are the same in JSON that Go has written."""
    return {name: part for name, part in json.loads(json.dumps(obj)).items() if name != "metadata"}


def collection(kind: ResourceType, namespace: str) -> str:
    return f"/apis/{kind.api_version}/namespaces/{namespace}/{kind.plural}"


def schema_of_spec(crd: Value) -> Value:
    schema: Value = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def read(name: str) -> Value:
    definition: Value = yaml.safe_load((DEFINITIONS / f"{name}.yaml").read_text())
    return definition


@pytest.mark.parametrize(
    ("crd", "objects"),
    [
        pytest.param(read("keywords"), 600, id="every keyword"),
        pytest.param(read("formats"), 300, id="every format"),
        pytest.param(read("rules"), 500, id="rules in CEL"),
        pytest.param(disvc_crd(), 400, id="DistributedInferenceService"),
        pytest.param(isvc_crd(), 60, id="InferenceService"),
    ],
)
def test_a_new_object_becomes_the_same_on_both_servers(control_plane: ControlPlane, crd: Value, objects: int) -> None:
    install(control_plane.admin, crd)
    kind, schema = defined(crd), schema_of_spec(crd)
    chance = random.Random(f"new {kind.kind}")
    codes = set()
    for number in range(objects):
        spec = Writer(chance, chance.choice([0, 0, 0.03])).value(schema)
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": f"o{number}"}, "spec": spec}
        real = on_server(control_plane.admin, "POST", collection(kind, "default"), obj)
        ours = in_memory(kind, obj)
        assert ours == real, json.dumps(obj)
        assert real.code != 200 or ours.unknown == real.unknown, json.dumps(obj)
        codes.add(real.code)
    assert codes >= {200, 422}


@pytest.mark.parametrize(("name", "mistakes"), [("keywords", 0.02), ("rules", 0.0)])
def test_an_update_of_an_object_that_was_valid_once_is_judged_the_same_on_both_servers(
    control_plane: ControlPlane, namespace: str, name: str, mistakes: float
) -> None:
    """The objects are older than the schema: what is wrong with them and has not changed is excused."""
    crd = renamed(read(name), f"{name.capitalize()}before")
    kind, schema = defined(crd), schema_of_spec(crd)
    path = collection(kind, namespace)
    install(control_plane.admin, without_schema(crd))
    chance = random.Random(f"old {name}")
    writer = Writer(chance, mistakes)
    for number in range(60):
        metadata = {"name": f"o{number}"}
        spec = writer._object(schema)
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
        control_plane.admin.call("POST", path, obj)
    install(control_plane.admin, crd)
    wait_for_schema(control_plane.admin, path, kind)
    codes = set()
    for item in control_plane.admin.call("GET", path)["items"]:
        old, _ = decoded(kind, {**item, "apiVersion": kind.api_version, "kind": kind.kind})
        for _ in range(5):
            new = copy.deepcopy(old)
            for _ in range(chance.choice([0, 1, 1, 2, 3])):
                new["spec"] = writer.change(new["spec"], schema)
            real = on_server(control_plane.admin, "PUT", f"{path}/{item['metadata']['name']}", new)
            assert in_memory(kind, new, old) == real, json.dumps({"old": old, "new": new})
            codes.add(real.code)
    assert codes >= {200, 422}


def renamed(crd: Value, kind: str) -> Value:
    plural = f"{kind.lower()}s"
    text = json.dumps(crd).replace(f"'{crd['spec']['names']['kind']}'", f"'{kind}'")  # in rules
    other: Value = json.loads(text)
    other["metadata"]["name"] = f"{plural}.{other['spec']['group']}"
    other["spec"]["names"] = {"plural": plural, "kind": kind}
    return other


def without_schema(crd: Value) -> Value:
    loose = copy.deepcopy(crd)
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": spec}}
    return loose


def wait_for_schema(admin: User, path: str, kind: ResourceType) -> None:
    """Wait until objects that the schema refuses are refused; blocks for some seconds."""
    wrong = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "o"}, "spec": {"namespace": 1}}
    deadline = time.monotonic() + 30
    while on_server(admin, "POST", path, wrong).code != 422 or admin.request("GET", path).status != 200:
        assert time.monotonic() < deadline, f"the schema of {kind.kind} has not come into force in 30 s"
        time.sleep(0.1)


@pytest.mark.parametrize("crd", [read("keywords"), disvc_crd(), isvc_crd()], ids=["keywords", "DISVC", "ISVC"])
def test_the_same_schema_is_published(control_plane: ControlPlane, crd: Value) -> None:
    install(control_plane.admin, crd)
    kind = defined(crd)
    name = ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
    path = f"/openapi/v3/apis/{kind.api_version}"
    deadline = time.monotonic() + 30
    while name not in (schemas := control_plane.admin.call("GET", path)["components"]["schemas"]):
        assert time.monotonic() < deadline, f"{kind.kind} was not published in 30 s"
        time.sleep(0.1)
    assert document(kind.group, kind.version, [kind])["components"]["schemas"][name] == schemas[name]


def test_a_status_is_judged_the_same_on_both_servers(control_plane: ControlPlane, namespace: str) -> None:
    crd = disvc_crd()
    install(control_plane.admin, crd)
    kind = defined(crd)
    path = collection(kind, namespace)
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://models/iris"}
    spec = {"inferenceService": {"predictor": {"model": model}}}
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "iris"}, "spec": spec}
    control_plane.admin.call("POST", path, body)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    writer = Writer(random.Random("status"), 0.01)
    codes = set()
    for _ in range(200):
        old, _ = decoded(kind, control_plane.admin.call("GET", f"{path}/iris"))
        new = {**old, "status": writer.value(schema)}
        real = on_server(control_plane.admin, "PUT", f"{path}/iris/status", new)
        obj, _ = decoded(kind, new)
        kind.strategy.default(obj)
        obj = {**old, "status": obj["status"]} if "status" in obj else old
        found = kind.strategy.validate(obj, old, "status")
        causes = frozenset((cause.reason, cause.field, cause.message) for cause in found)
        ours = Outcome(422, causes=causes) if found else Outcome(200, stored=without_metadata(obj))
        assert ours == real, json.dumps(new)
        codes.add(real.code)
    assert codes >= {200, 422}
