"""Random JSON patches and merge patches of data without a schema, on the real kube-apiserver and by our functions."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing import crds
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.patch import json_patch, merge_patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.controlplane import ControlPlane

    Value = dict[str, Any]

FREE = {"type": "object", "nullable": True, "x-kubernetes-preserve-unknown-fields": True}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "shapes.fields.example.com"},
    "spec": {
        "group": "fields.example.com",
        "names": {"kind": "Shape", "plural": "shapes"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"data": FREE}}},
            }
        ],
    },
}
NAMES = ("a", "b/c", "d~e", "0")
PLACES = ("0", "1", "2", "-", "-1", "-3", "+1", "01", "x", "")


class Chance:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        kinds: list[Callable[[], Any]] = [lambda: self.random.choice([None, True, False, 0, 1, 1.5, "", "x"])]
        if depth < 4:
            kinds += [
                lambda: self.map(depth + 1),
                lambda: [self.value(depth + 1) for _ in range(self.random.randrange(4))],
            ]
        return self.random.choice(kinds)()

    def map(self, depth: int = 0) -> Value:
        return {name: self.value(depth) for name in NAMES if self.random.random() < 0.6}

    def path(self, value: Any) -> str:
        """Return a path that mostly leads into a value."""
        path = "/data"
        while self.random.random() < 0.8:
            if isinstance(value, dict):
                name = self.random.choice(NAMES)
                path, value = f"{path}/{name.replace('~', '~0').replace('/', '~1')}", value.get(name)
            else:
                place = self.random.choice(PLACES)
                path += f"/{place}"
                value = (
                    value[int(place)]
                    if isinstance(value, list) and place in ("0", "1") and int(place) < len(value)
                    else None
                )
        return path

    def operation(self, data: Value) -> Value:
        kind = self.random.choice(["add", "add", "remove", "replace", "test", "copy", "move"])
        operation = {"op": kind, "path": self.path(data)}
        if kind in ("copy", "move"):
            operation["from"] = self.path(data)
        elif self.random.random() < 0.95:
            operation["value"] = self.value(2)
        return operation


@pytest.mark.parametrize("seed", range(3))
def test_patched_data_is_as_the_server_has_it(control_plane: ControlPlane, namespace: str, seed: int) -> None:
    user, chance = control_plane.admin, Chance(seed)
    crds.install(user, CRD)
    collection = f"/apis/fields.example.com/v1/namespaces/{namespace}/shapes"
    done = 0
    for number in range(20):
        obj = {"apiVersion": "fields.example.com/v1", "kind": "Shape", "metadata": {"name": f"x{number}"}}
        live = user.call("POST", collection, obj | {"data": chance.map()})
        for _ in range(25):
            patch: Any
            patched: Callable[[Value, Any], Any]
            if chance.random.random() < 0.7:
                patch = [chance.operation(live["data"]) for _ in range(chance.random.randrange(1, 4))]
                kind, patched = "json-patch", json_patch
            else:
                patch = {"data": chance.map()}
                kind, patched = "merge-patch", merge_patch
            path = f"{collection}/x{number}?dryRun=All"
            response = user.request("PATCH", path, patch, content_type=f"application/{kind}+json")
            try:
                expected = patched(live, patch)
            except Refused as refused:
                said, why = response.json(), refused.status()
                assert said == why, (live["data"], patch)
                continue
            if not isinstance(expected.get("data"), dict | None):
                assert response.status == 422, (live["data"], patch)
                continue
            assert response.status == 200, (live["data"], patch, response.data)
            assert response.json().get("data") == expected.get("data"), (live["data"], patch)
            done += 1
    assert done > 100
