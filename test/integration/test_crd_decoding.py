"""Whatever the API server admits of a DISVC, the types read, and read it as the server means it.

Field by field, with values at and past every limit.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from disvc.api.crd import crd
from disvc.api.types import API_VERSION, KIND, PLURAL, DistributedInferenceService
from disvc.testing.crds import install

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.users import User

Value = dict[str, Any]
Path = tuple[str | int, ...]

COLLECTION = f"/apis/{API_VERSION}/namespaces/default/{PLURAL}"
NAME = "test-crd-decoding"
REVISION = {"name": f"{NAME}-v1", "number": 1, "hash": "x"}
TIME = "2026-01-02T03:04:05Z"
WHOLE: Value = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": NAME},
    "spec": {
        "inferenceService": {"predictor": {"model": {}}},
        "annotations": {"a": "b"},
        "labels": {"a": "b"},
        "deploymentStrategy": {"progressDeadlineSeconds": 2**31 - 1},
        "routing": {"tls": {"secretName": "a"}, "annotations": {"a": "b"}, "sessionAffinity": {}},
    },
    "status": {
        "address": {"url": "a"},
        "activeRevision": REVISION,
        "targetRevision": REVISION,
        "rollout": {"startedAt": TIME, "previousRevision": REVISION},
        "conditions": [{"type": "Ready", "status": "True", "reason": "A", "lastTransitionTime": TIME}],
    },
}
NUMBERS = [0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 0.0, -0.0, 1.0, 1e2, 0.5, 1e300]
TIMES = [
    "2026-01-02T03:04:05.123456789Z",
    "2026-01-02T03:04:05+14:00",
    "2026-01-02t03:04:05z",
    "2026-01-02T03:04:60Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T23:59:59.9999999Z",
    "2026-01-02T03:04:05",
    "2026-01-02 03:04:05Z",
    "2026-01-02",
    "2024-02-30T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z",
    "1767323045",
]
TEXTS = [
    "",
    "a",
    "A",
    "0",
    "a.b",
    "a/b",
    " a",
    "a\n",
    "é",
    "\u0000",
    "\U0001f600",
    "x" * 63,
    "x" * 64,
    "x" * 254,
    "true",
]
MAPS = [{}, {"": ""}, {"a": ""}, {"a": None}, {"a": 1}, {"é": "é"}, {f"k{i}": "" for i in range(65)}]
EXTREMES = [*NUMBERS, *TIMES, *TEXTS, *MAPS, None, True, False, [], [""], [{}], [None]]


def leaves(schema: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield the fields that have no fields of their own, the templates whole."""
    if schema["type"] == "array":
        yield path, schema
        yield from leaves(schema["items"], (*path, 0))
    elif "properties" in schema and path[-1:] not in [("inferenceService",), ("inferenservice",)]:
        for name, part in schema["properties"].items():
            yield from leaves(part, (*path, name))
    else:
        yield path, schema


def leaves_of(part: str) -> list[tuple[Path, Value]]:
    (version,) = crd()["spec"]["versions"]
    return list(leaves(version["schema"]["openAPIV3Schema"]["properties"][part], (part,)))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def changed(path: Path, extreme: object) -> Value:
    disvc = copy.deepcopy(WHOLE)
    at(disvc, path[:-1])[path[-1]] = extreme
    return disvc


@pytest.fixture(scope="module")
def admin(control_plane: Any) -> User:
    user: User = control_plane.admin
    install(user, crd())
    return user


@pytest.fixture(scope="module")
def stored(admin: User) -> Iterator[str]:
    """The path of a DISVC that is there to have a status."""
    admin.call("POST", COLLECTION, WHOLE)
    yield f"{COLLECTION}/{NAME}"
    admin.call("DELETE", f"{COLLECTION}/{NAME}")


def read(answer: Value) -> Value:
    return DistributedInferenceService.model_validate(answer).model_dump(by_alias=True)


def check(answers: list[Value], path: Path, schema: Value) -> None:
    """Check that what was admitted is read; and that something was, and not everything."""
    admitted = [answer for answer in answers if answer["kind"] == KIND]
    assert 0 < len(admitted) < len(answers)
    for answer in admitted:
        decoded = read(answer)
        try:
            sent = at(answer, path)
        except KeyError:
            continue  # null, which the server takes for absence
        if schema.get("format") == "date-time":
            assert datetime.fromisoformat(at(decoded, path)).tzinfo
        else:
            assert at(decoded, path) == sent


@pytest.mark.parametrize(
    ("path", "schema"), [pytest.param(*leaf, id=".".join(map(str, leaf[0]))) for leaf in leaves_of("spec")]
)
def test_a_spec_that_is_admitted_is_read(admin: User, path: Path, schema: Value) -> None:
    extremes = [*EXTREMES, *schema.get("enum", ())]
    bodies = [changed(path, extreme) for extreme in extremes]
    if path[-1] == "inferenservice":
        for body in bodies:
            del body["spec"]["inferenceService"]
    if path[-1] in ("inferenceService", "inferenservice"):
        bodies += [changed(("spec", "inferenceService"), {"predictor": {"x": extreme}}) for extreme in extremes]
    check([admin.request("POST", f"{COLLECTION}?dryRun=All", body).json() for body in bodies], path, schema)


@pytest.mark.parametrize(
    ("path", "schema"), [pytest.param(*leaf, id=".".join(map(str, leaf[0]))) for leaf in leaves_of("status")]
)
def test_a_status_that_is_admitted_is_read(admin: User, stored: str, path: Path, schema: Value) -> None:
    answers = [
        admin.request(
            "PATCH",
            f"{stored}/status?dryRun=All",
            {"status": changed(path, extreme)["status"]},
            content_type="application/merge-patch+json",
        ).json()
        for extreme in [TIME, *EXTREMES, *schema.get("enum", ())]
    ]
    check(answers, path, schema)
