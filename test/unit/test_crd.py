"""The CustomResourceDefinition that is made from the types, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.api.crd import NAME_LIMIT, crd
from disvc.rollout.names import member_name, revision_name

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMITTED = Path(__file__).parents[2] / "config/crd/bases/serving.kserve.io_distributedinferenceservices.yaml"
KEYWORDS = {
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "maxLength",
    "maxProperties",
    "minimum",
    "minProperties",
    "properties",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}


def version() -> dict[str, Any]:
    (only,) = crd()["spec"]["versions"]
    return dict(only)


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema in a schema, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from fields(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from fields(schema[key], f"{path}[]")


SCHEMAS = dict(fields(version()["schema"]["openAPIV3Schema"]))
TOLD = [path for path in SCHEMAS if path.startswith((".spec", ".status")) and not path.endswith("[]")]


def test_the_committed_file_is_what_the_types_say() -> None:
    assert yaml.safe_load(COMMITTED.read_text()) == crd(), "run `make generate` and commit what it writes"


def test_the_older_spelling_is_held_to_the_same_rules() -> None:
    newer, older = (SCHEMAS[f".spec.{spelling}"] for spelling in ("inferenceService", "inferenservice"))
    assert older == {**newer, "description": older["description"]}


def wreck(value: Any) -> None:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            wreck(part)
        value.clear()


def test_the_definition_is_the_callers_own() -> None:
    before = json.dumps(crd())
    wreck(crd())
    assert json.dumps(crd()) == before


@pytest.mark.parametrize("path", TOLD)
def test_every_field_is_described_in_whole_sentences(path: str) -> None:
    description = SCHEMAS[path]["description"]
    assert description[0].isupper()
    assert description.endswith(".")
    assert "\n" not in description


@pytest.mark.parametrize("path", [path for path in TOLD if path.endswith("Seconds")])
def test_a_time_tells_its_unit_and_its_default(path: str) -> None:
    assert "seconds" in SCHEMAS[path]["description"]
    assert f"Defaults to {SCHEMAS[path]['default']}." in SCHEMAS[path]["description"]


@pytest.mark.parametrize("path", SCHEMAS)
def test_a_schema_is_structural(path: str) -> None:
    assert SCHEMAS[path]["type"]
    assert set(SCHEMAS[path]) <= KEYWORDS


@pytest.mark.parametrize("path", [path for path in SCHEMAS if path.startswith(".status")])
def test_the_api_server_adds_nothing_to_a_status(path: str) -> None:
    assert "default" not in SCHEMAS[path]


def test_the_last_member_of_the_longest_name_has_a_name_that_kserve_takes() -> None:
    assert len(member_name(revision_name("x" * NAME_LIMIT, 9999), 99)) == 48


def test_columns_are_those_that_people_look_for() -> None:
    columns = [(column["name"], column.get("priority", 0)) for column in version()["additionalPrinterColumns"]]
    assert [name for name, priority in columns if not priority] == ["PHASE", "ACTIVE", "TARGET", "READY", "URL", "AGE"]
    assert [name for name, priority in columns if priority] == ["HASH", "MESSAGE"]
