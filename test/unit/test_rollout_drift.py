"""What is put back of a live child, and what is left to others: each rule of drift.py's table."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from disvc.rollout.drift import drift

EXACT = (("spec", "selector"), ("spec", "ports"), ("spec", "tls"))
WANTED: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {
        "name": "a",
        "namespace": "ns",
        "labels": {"disvc": "a"},
        "annotations": {"version": "v1"},
        "ownerReferences": [{"uid": "u"}],
    },
    "spec": {
        "predictor": {
            "model": {
                "runtime": "r",
                "args": ["--a"],
                "resources": {"cpu": "1000m"},
                "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "x"}],
            }
        }
    },
}
FIELDS: dict[str, Any] = {
    "f:metadata": {"f:labels": {".": {}, "f:disvc": {}}, "f:annotations": {".": {}, "f:version": {}}},
    "f:spec": {
        ".": {},
        "f:predictor": {
            ".": {},
            "f:model": {
                ".": {},
                "f:runtime": {},
                "f:args": {},
                "f:resources": {".": {}, "f:cpu": {}},
                "f:ports": {
                    ".": {},
                    'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}},
                    'k:{"containerPort":81,"protocol":"TCP"}': {
                        ".": {},
                        "f:containerPort": {},
                        "f:name": {},
                        "f:protocol": {},
                    },
                },
            },
        },
    },
}
"""What the API server notes for the creation of WANTED."""


def set_in(value: dict[str, Any], path: str, to: Any) -> None:
    *parents, last = path.split("/")
    for name in parents:
        value = value.setdefault(name, {})
    if to is None:
        del value[last]
    else:
        value[last] = to


def fields_of(path: str, tree: Any = None) -> dict[str, Any]:
    """Return the managed fields that stand for one path."""
    fields: dict[str, Any] = tree or {}
    for step in reversed(path.split("/")):
        fields = {f"f:{step}": fields}
    return fields


def live(path: str = "", value: Any = None, *, by: str = "", tree: Any = None, ours: Any = FIELDS) -> dict[str, Any]:
    """Return the live object after `by` has set what is at `path`; without `by` it was admission."""
    result = copy.deepcopy(WANTED)
    result["metadata"]["managedFields"] = [{"manager": "disvc", "operation": "Update", "fieldsV1": ours}]
    for port in result["spec"]["predictor"]["model"]["ports"]:
        port["protocol"] = "TCP"
    if path:
        set_in(result, path, value)
    if by:
        entry = {"manager": by, "operation": "Update", "fieldsV1": fields_of(path, tree)}
        result["metadata"]["managedFields"].append(entry)
    return result


def emptied(path: str) -> dict[str, Any]:
    """Return our managed fields after somebody has removed all that is in what is at `path`."""
    fields = copy.deepcopy(FIELDS)
    tree: Any = fields
    for step in path.split("/"):
        tree = tree[f"f:{step}"]
    tree.clear()
    return fields


def without(path: str) -> dict[str, Any]:
    """Return our managed fields after somebody has removed what is at `path`."""
    fields = copy.deepcopy(FIELDS)
    *parents, last = path.split("/")
    tree: Any = fields
    for step in parents:
        tree = tree[f"f:{step}"]
    del tree[last if last.startswith("k:") else f"f:{last}"]
    return fields


MODEL = "spec/predictor/model"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


@pytest.mark.parametrize(
    "obj",
    [
        live(),
        live("metadata/annotations/version", "V1"),
        live(f"{MODEL}/resources/cpu", "1"),
        live(f"{MODEL}/resources/cpu", "1", by="manager"),
        live(f"{MODEL}/runtime", None),
        live(f"{MODEL}/resources", {"memory": "1"}, ours=emptied(f"{MODEL}/resources")),
        live(f"{MODEL}/protocolVersion", "v1"),
        live(f"{MODEL}/storageUri", "x", by="manager"),
        live("metadata/labels/theirs", "x", by="kubectl"),
        live("metadata/annotations/theirs", "x", by="kubectl"),
        live("metadata/labels/former", "x", by="disvc"),
        live("metadata/finalizers", ["x"], by="kubectl"),
        live("metadata/ownerReferences", [], by="kubectl"),
        live("status", {"url": "x"}, by="kubectl"),
        live(f"{MODEL}/args", ["--a", "--injected"]),
        live(f"{MODEL}/ports", [{"containerPort": 80, "protocol": "TCP"}]),
    ],
    ids=[
        "nothing",
        "an annotation that admission rewrites",
        "a value that admission rewrites",
        "a value that KServe rewrites",
        "a field that admission removes",
        "an entry that admission removes from what is one value",
        "a field that admission adds",
        "a field that KServe adds",
        "somebody's label",
        "somebody's annotation",
        "a label that we have set and do not want, as its removal would roll pods",
        "a finalizer",
        "an owner",
        "the status",
        "a list that admission extends",
        "a list with keys that admission shortens",
    ],
)
def test_what_others_do_rightly_to_a_member_is_left_alone(obj: dict[str, Any]) -> None:
    assert drift(WANTED, obj, manager="disvc") is None


PORT_81 = 'k:{"containerPort":81,"protocol":"TCP"}'
PORTS = [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "name": "x", "protocol": "TCP"}]


@pytest.mark.parametrize(
    "obj",
    [
        live(f"{MODEL}/runtime", "other", by="kubectl"),
        live(f"{MODEL}/runtime", None, ours=without(f"{MODEL}/runtime")),
        live(f"{MODEL}/storageUri", "x", by="kubectl"),
        live(f"{MODEL}/resources/cpu", "2", by="kubectl"),
        live(f"{MODEL}/args", ["--b"], by="kubectl"),
        live(f"{MODEL}/args", [], by="kubectl"),
        live(f"{MODEL}/ports", PORTS[:1], ours=without(f"{MODEL}/ports/{PORT_81}")),
        live(
            f"{MODEL}/ports",
            [*PORTS, {"containerPort": 82, "protocol": "TCP"}],
            by="kubectl",
            tree={'k:{"containerPort":82,"protocol":"TCP"}': {".": {}}},
        ),
        live(
            f"{MODEL}/ports",
            [PORTS[0], {**PORTS[1], "name": "y"}],
            by="kubectl",
            tree={PORT_81: {"f:name": {}}},
        ),
        live("metadata/annotations/version", "v9", by="kubectl"),
        live("metadata/annotations/version", None, ours=without("metadata/annotations/version")),
        live("metadata/annotations", None, ours=without("metadata/annotations")),
        live("metadata/labels/disvc", "b", by="kubectl"),
        live("spec/predictor", {}, ours=without("spec/predictor/model")),
        live(f"{MODEL}/runtime", "default", ours=without(f"{MODEL}/runtime")),
        live(f"{MODEL}/resources", {}, ours=emptied(f"{MODEL}/resources")),
        live(f"{MODEL}/ports", [], ours=emptied(f"{MODEL}/ports")),
        live(
            f"{MODEL}/ports",
            [PORTS[0], {**PORTS[1], "name": "default"}],
            ours=without(f"{MODEL}/ports/{PORT_81}"),
        ),
    ],
    ids=[
        "a value",
        "a field that is gone",
        "a field in addition",
        "a value that admission had rewritten",
        "a list",
        "a list that is empty",
        "an item that is gone",
        "an item in addition",
        "a value of an item",
        "an annotation",
        "an annotation that is gone",
        "all annotations gone",
        "a label",
        "a whole part that is gone",
        "a field that is gone, and admission fills in",
        "a part that is emptied",
        "a list with keys that is emptied",
        "an item that is gone, and admission fills in",
    ],
)
def test_a_hand_edit_of_a_member_is_put_back(obj: dict[str, Any]) -> None:
    patch = drift(WANTED, obj, manager="disvc")
    assert patch is not None
    after = merge(obj, patch)
    assert after["spec"]["predictor"]["model"].pop("ports") in (WANTED["spec"]["predictor"]["model"]["ports"], PORTS)
    wanted = copy.deepcopy(WANTED)
    del wanted["spec"]["predictor"]["model"]["ports"]
    assert after["spec"] == wanted["spec"]
    assert after["metadata"]["labels"] == wanted["metadata"]["labels"]
    assert after["metadata"]["annotations"] == wanted["metadata"]["annotations"]


def test_the_patch_holds_what_differs_and_no_more() -> None:
    obj = live(f"{MODEL}/runtime", "other", by="kubectl")
    assert drift(WANTED, obj, manager="disvc") == {"spec": {"predictor": {"model": {"runtime": "r"}}}}


def test_a_value_that_two_have_set_is_put_back_where_one_of_them_is_somebody_else() -> None:
    obj = live(f"{MODEL}/runtime", "other", by="manager")
    entry = {"manager": "argocd", "operation": "Apply", "fieldsV1": fields_of(f"{MODEL}/runtime")}
    obj["metadata"]["managedFields"].append(entry)
    assert drift(WANTED, obj, manager="disvc") is not None


def test_who_writes_the_status_does_not_count_as_somebody_who_has_set_a_field() -> None:
    obj = live(f"{MODEL}/resources/cpu", "1", by="kubectl")
    obj["metadata"]["managedFields"][-1]["subresource"] = "status"
    assert drift(WANTED, obj, manager="disvc") is None


def test_what_the_webhook_made_of_a_field_is_put_back_with_the_field_itself() -> None:
    wanted = {**WANTED, "spec": {"predictor": {"sklearn": {"storageUri": "gs://a"}}}}
    ours = fields_of("spec/predictor/sklearn/storageUri")
    obj = live("spec", {"predictor": {"model": {"storageUri": "gs://a", "name": ""}}}, ours=ours)
    obj["metadata"]["annotations"] = WANTED["metadata"]["annotations"]
    assert drift({**wanted, "metadata": {}}, obj, manager="disvc") is None
    set_in(obj, f"{MODEL}/storageUri", "gs://other")
    entry = {"manager": "kubectl", "operation": "Update", "fieldsV1": fields_of(f"{MODEL}/storageUri")}
    obj["metadata"]["managedFields"].append(entry)
    predictor = {"sklearn": {"storageUri": "gs://a"}, "model": None}
    assert drift({**wanted, "metadata": {}}, obj, manager="disvc") == {"spec": {"predictor": predictor}}


def service(ours: tuple[str, ...] = (), theirs: tuple[str, ...] = (), **parts: Any) -> dict[str, Any]:
    """Return a Service; `ours` and `theirs` are paths that the operator and somebody else have set."""
    managed = [
        {"manager": manager, "operation": "Update", "fieldsV1": fields_of(path)}
        for manager, paths in (("disvc", ours), ("kubectl", theirs))
        for path in paths
    ]
    metadata = {"name": "a", "managedFields": managed, **parts.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": parts}


BASE: dict[str, Any] = {"selector": {"a": "1"}, "ports": [{"port": 80}]}


@pytest.mark.parametrize(
    ("wanted", "obj", "patch"),
    [
        (service(**BASE), service(**BASE, clusterIP="10.0.0.1", internalTrafficPolicy="Cluster"), None),
        (
            service(**{**BASE, "selector": {"a": "2"}}),
            service(("spec/selector",), **BASE),
            {"spec": {"selector": {"a": "2"}}},
        ),
        (
            service(**BASE),
            service((), ("spec/selector",), **{**BASE, "selector": {"a": "1", "b": "2"}}),
            {"spec": {"selector": {"b": None}}},
        ),
        (
            service(**BASE),
            service(("spec/selector",), **{**BASE, "selector": {"a": "1", "b": "2"}}),
            {"spec": {"selector": {"b": None}}},
        ),
        (service(**BASE), service(("spec/ports",), **{**BASE, "selector": {"a": "1", "b": "2"}}), None),
        (service(**BASE), service(**{**BASE, "selector": {"a": "1", "b": "2"}}), {"spec": {"selector": {"b": None}}}),
        (service(**BASE), service(("spec/selector",), **{**BASE, "selector": {}}), {"spec": {"selector": {"a": "1"}}}),
        (service(**BASE), service(("spec/selector",), ports=BASE["ports"]), {"spec": {"selector": {"a": "1"}}}),
        (service(**BASE), service(**{**BASE, "ports": [{"port": 1}]}), {"spec": {"ports": [{"port": 80}]}}),
        (service(**BASE), service(("spec/tls",), **BASE, tls=[{"hosts": []}]), {"spec": {"tls": None}}),
        (service(**BASE), service(("spec/ports",), **BASE, tls=[{"hosts": []}]), None),
        (service(**BASE, type="ClusterIP"), service(**BASE, type="NodePort"), {"spec": {"type": "ClusterIP"}}),
        (service(**BASE, type="ClusterIP"), service(("spec/type",), **BASE), None),
        (service(**BASE), service((), ("spec/externalIPs",), **BASE, externalIPs=["a"]), None),
    ],
    ids=[
        "what the API server adds",
        "another revision",
        "a selector that somebody has made longer",
        "a selector that we made longer before",
        "a selector that admission has made longer",
        "a selector that is longer, and nobody knows why",
        "a selector that was emptied",
        "no selector",
        "other ports",
        "what we wanted before, under an exact path",
        "what the API server has chosen, under an exact path",
        "a value that somebody has set",
        "a field that admission removes",
        "a field that somebody has added",
    ],
)
def test_services_and_ingresses_follow_what_is_wanted_and_have_nothing_more_where_they_must_be_exact(
    wanted: dict[str, Any], obj: dict[str, Any], patch: dict[str, Any] | None
) -> None:
    assert drift(wanted, obj, manager="disvc", exact=EXACT) == patch


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_labels_and_annotations_that_we_do_not_want_any_more_are_removed_and_those_of_others_are_not(part: str) -> None:
    obj = service(
        (f"metadata/{part}/ours",), (f"metadata/{part}/theirs",), metadata={part: {"ours": "1", "theirs": "1"}}
    )
    assert drift(service(), obj, manager="disvc", exact=EXACT) == {"metadata": {part: {"ours": None}}}
    assert drift(service(metadata={part: {"ours": "1"}}), obj, manager="disvc", exact=EXACT) is None
    assert drift(service(metadata={part: {"theirs": "2"}}), obj, manager="disvc", exact=EXACT) == {
        "metadata": {part: {"ours": None, "theirs": "2"}}
    }
