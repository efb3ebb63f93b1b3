"""CustomResourceDefinitions that come, change and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from suite.api import Api, Reply

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Definition:
    """A CRD in a group of the test's own."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.group = f"{api.namespace}.example"
        self.path = f"{DEFINITIONS}/things.{self.group}"
        self.things = f"/apis/{self.group}/v1/namespaces/{api.namespace}/things"

    def manifest(self, spec: dict[str, Any], *versions: dict[str, Any]) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
        first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"things.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [first, *versions],
            },
        }

    def thing(self, name: str, version: str = "v1", **spec: Any) -> dict[str, Any]:
        return {"apiVersion": f"{self.group}/{version}", "kind": "Thing", "metadata": {"name": name}, "spec": spec}

    async def install(self, spec: dict[str, Any], *versions: dict[str, Any]) -> Reply:
        await self.api.create(DEFINITIONS, self.manifest(spec, *versions))
        established = await self.api.until(self.path, lambda reply: is_so(reply, "Established"))
        await self.api.until(self.things, lambda reply: reply.status == 200)
        return established


def is_so(reply: Reply, condition: str) -> bool:
    conditions = reply["status"].get("conditions") or []
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


@pytest.fixture
def definition(api: Api) -> Definition:
    return Definition(api)


async def test_a_definition_is_accepted_and_established(api: Api, definition: Definition) -> None:
    established = await definition.install({"a": {"type": "string"}})
    assert is_so(established, "NamesAccepted")
    assert established["status"]["acceptedNames"]["kind"] == "Thing"
    assert established["status"]["storedVersions"] == ["v1"]
    assert (await api.create(definition.things, definition.thing("x", a="b")))["spec"] == {"a": "b"}


async def test_a_new_schema_holds_for_new_writes(api: Api, definition: Definition) -> None:
    await definition.install({"a": {"type": "string"}})
    await api.create(definition.things, definition.thing("x", a="b"))
    new = {"a": {"type": "string", "enum": ["c"]}, "d": {"type": "integer", "default": 7}}
    versions = definition.manifest(new)["spec"]["versions"]
    assert (await api.patch(definition.path, {"spec": {"versions": versions}})).status == 200
    await api.until(f"{definition.things}/x", lambda reply: reply["spec"].get("d") == 7)
    reply = await api.send("POST", definition.things, definition.thing("y", a="b"))
    assert reply.refusal == (422, "Invalid")
    assert reply.fields == ["spec.a"]


async def test_objects_are_served_in_each_version(api: Api, definition: Definition) -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    second = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": anything}}
    await definition.install({"a": {"type": "string"}}, second)
    await api.create(definition.things, definition.thing("x", a="b"))
    seen = await api.until(definition.things.replace("/v1/", "/v2/") + "/x", lambda reply: reply.status == 200)
    assert seen["apiVersion"] == f"{definition.group}/v2"
    assert seen["spec"] == {"a": "b"}


async def test_a_deprecated_version_warns(api: Api, definition: Definition) -> None:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    old = {"name": "v0", "served": True, "storage": False, "deprecated": True, "schema": {"openAPIV3Schema": anything}}
    await definition.install({}, old)
    reply = await api.until(definition.things.replace("/v1/", "/v0/"), lambda reply: reply.status == 200)
    assert (
        reply.headers["warning"]
        == f'299 - "{definition.group}/v0 Thing is deprecated; use {definition.group}/v1 Thing"'
    )


async def test_a_deleted_definition_takes_its_objects_with_it(api: Api, definition: Definition) -> None:
    await definition.install({})
    await api.create(definition.things, definition.thing("x"))
    await api.delete(definition.path)
    await api.until(definition.path, lambda reply: reply.status == 404)
    await api.until(definition.things, lambda reply: reply.status == 404)
    await definition.install({})
    assert (await api.get(definition.things))["items"] == []


async def test_a_definition_whose_name_does_not_fit_is_refused(api: Api, definition: Definition) -> None:
    manifest = definition.manifest({})
    manifest["metadata"]["name"] = f"others.{definition.group}"
    reply = await api.send("POST", DEFINITIONS, manifest)
    assert reply.refusal == (422, "Invalid")
    assert "metadata.name" in reply.fields


async def test_a_rule_that_cannot_be_compiled_is_refused(api: Api, definition: Definition) -> None:
    spec = {"a": {"type": "string", "x-kubernetes-validations": [{"rule": "self.missing > 1"}]}}
    reply = await api.send("POST", DEFINITIONS, definition.manifest(spec))
    assert reply.refusal == (422, "Invalid")
    # Where all versions have one schema, it is that of the definition as a whole.
    schema = "spec.validation.openAPIV3Schema"
    assert reply.fields == [f"{schema}.properties[spec].properties[a].x-kubernetes-validations[0].rule"]


async def test_discovery_tells_of_the_new_kind(api: Api, definition: Definition) -> None:
    await definition.install({})
    reply = await api.until(f"/apis/{definition.group}/v1", lambda reply: bool(reply.get("resources")))
    assert [resource["name"] for resource in reply["resources"]] == ["things"]
    assert reply["resources"][0]["kind"] == "Thing"
