"""Selections: what belongs to a cache, decided here as the API server decides it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import structlog

from disvc.runtime.errors import DecodeError
from disvc.runtime.objects import Object, Resource
from disvc.runtime.selection import Selection, drop_managed_fields, fields_match, labels_match

PODS: Resource[Any] = Resource("v1", "Pod", "pods")


def pod(name: str = "a", namespace: str = "ns", labels: dict[str, str] | None = None, **more: Any) -> Object[Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}, "resourceVersion": "7"}
    return PODS.read(json.dumps({"metadata": metadata, **more}).encode())


# The table of https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors


@pytest.mark.parametrize(
    ("selector", "fits", "does_not"),
    [
        ("app=x", [{"app": "x"}, {"app": "x", "b": "y"}], [{}, {"app": "y"}, {"b": "x"}, {"app": ""}]),
        ("app==x", [{"app": "x"}], [{}, {"app": "y"}]),
        ("app = x", [{"app": "x"}], [{}]),
        ("app=", [{"app": ""}], [{}, {"app": "x"}]),
        ("app!=x", [{}, {"app": "y"}, {"app": ""}], [{"app": "x"}]),
        ("app", [{"app": "x"}, {"app": ""}], [{}, {"apps": "x"}]),
        ("!app", [{}, {"apps": "x"}], [{"app": "x"}, {"app": ""}]),
        ("app in (x,y)", [{"app": "x"}, {"app": "y"}], [{}, {"app": "z"}]),
        ("app  in ( x , y )", [{"app": "x"}, {"app": "y"}], [{}, {"app": "z"}]),
        ("app in(x)", [{"app": "x"}], [{}]),
        ("app in ()", [{"app": ""}], [{}, {"app": "x"}]),
        ("app in (,x)", [{"app": ""}, {"app": "x"}], [{}, {"app": "y"}]),
        ("app notin (x,y)", [{}, {"app": "z"}], [{"app": "x"}, {"app": "y"}]),
        ("a=1,b!=2, c in (3) ,!d,e", [{"a": "1", "c": "3", "e": ""}], [{"a": "1", "c": "3"}, {"a": "1", "e": ""}]),
        ("example.com/app.kubernetes_io=x-1.2_3", [{"example.com/app.kubernetes_io": "x-1.2_3"}], [{}]),
        ("in in (in)", [{"in": "in"}], [{}]),
        ("notin", [{"notin": ""}], [{}]),
        ("", [{}, {"app": "x"}], []),
    ],
)
def test_labels_fit_a_selector_as_the_documentation_says(
    selector: str, fits: list[dict[str, str]], does_not: list[dict[str, str]]
) -> None:
    assert [labels for labels in fits if not labels_match(selector, labels)] == []
    assert [labels for labels in does_not if labels_match(selector, labels)] == []


@pytest.mark.parametrize(
    "selector",
    [
        "=x",
        "app=x,",
        ",app=x",
        "a=b,,c=d",
        "app in x",
        "app in (x",
        "app inside (x)",
        "a=b=c",
        "a b",
        "!",
        "a>1",
        "a<1",
    ],
)
def test_a_label_selector_that_cannot_be_read_is_refused_when_the_selection_is_made(selector: str) -> None:
    with pytest.raises(ValueError, match="cannot be read from"):
        Selection(PODS, label_selector=selector)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("metadata.name=b", False),
        ("metadata.namespace=ns,spec.nodeName=one", True),
        ("metadata.namespace=ns,spec.nodeName=two", False),
        ("status.phase!=Running", True),
        ("status.phase=", True),
        ("spec.nodeName=", False),
        ("spec.hostNetwork=true", True),
        ("spec.hostNetwork=false", False),
        ("spec.priority=7", True),
        ("spec.nodeName.deeper=x", False),
        ("spec.hostname=a\\,b\\=c\\\\d", True),
        ("metadata.name=a,", True),
    ],
)
def test_fields_fit_a_selector_as_the_server_sees_it(selector: str, fits: bool) -> None:
    spec = {"nodeName": "one", "hostNetwork": True, "priority": 7, "hostname": "a,b=c\\d"}
    assert fields_match(selector, pod(spec=spec).decode()) == fits
    assert Selection(PODS, field_selector=selector).holds(pod(spec=spec)) == fits


@pytest.mark.parametrize("selector", ["metadata.name", "=a", "a=b=c", "a=b\\c", "a in (b)"])
def test_a_field_selector_that_cannot_be_read_is_refused_when_the_selection_is_made(selector: str) -> None:
    with pytest.raises(ValueError, match="cannot be read from"):
        Selection(PODS, field_selector=selector)


def test_an_object_belongs_if_namespace_and_both_selectors_fit() -> None:
    selection = Selection(PODS, ("one", "two"), label_selector="app=x", field_selector="metadata.name!=b")
    assert selection.holds(pod("a", "one", {"app": "x"}))
    assert selection.holds(pod("a", "two", {"app": "x"}))
    assert not selection.holds(pod("a", "three", {"app": "x"}))
    assert not selection.holds(pod("a", "one", {"app": "y"}))
    assert not selection.holds(pod("b", "one", {"app": "x"}))
    assert Selection(PODS).holds(pod("anything", "anywhere"))


def test_selections_that_mean_the_same_namespaces_are_equal() -> None:
    assert Selection(PODS, ("b", "a", "b")) == Selection(PODS, ("a", "b"))
    assert hash(Selection(PODS, ("b", "a"))) == hash(Selection(PODS, ("a", "b")))
    assert Selection(PODS) != Selection(PODS, ("a",))
    assert Selection(PODS) != Selection(PODS, transform=drop_managed_fields)


def test_a_resource_without_namespaces_is_selected_as_a_whole() -> None:
    nodes: Resource[Any] = Resource("v1", "Node", "nodes", namespaced=False)
    assert Selection(nodes, ("one", "two")) == Selection(nodes)


def test_a_selection_is_called_what_a_person_would_call_it() -> None:
    assert str(Selection(PODS)) == "pods"
    deployments: Resource[Any] = Resource("apps/v1", "Deployment", "deployments")
    selection = Selection(deployments, ("b", "a"), label_selector="app=x", field_selector="metadata.name=y")
    assert str(selection) == "deployments.apps in a,b app=x metadata.name=y"


def test_managed_fields_are_dropped_and_nothing_else() -> None:
    value = {
        "apiVersion": "v1",
        "metadata": {"name": "a", "managedFields": [{"manager": "x"}], "uid": "u"},
        "spec": {"z": 1, "a": [1.5, None, "ü"]},
    }
    kept = json.loads(drop_managed_fields(json.dumps(value).encode()))
    assert kept == {**value, "metadata": {"name": "a", "uid": "u"}}


def test_an_object_without_managed_fields_is_kept_byte_for_byte() -> None:
    raw = b'{ "metadata": {"name": "a"} }'
    assert drop_managed_fields(raw) is raw


def test_what_is_read_is_transformed() -> None:
    selection = Selection(PODS, transform=drop_managed_fields)
    read = selection.read(msgspec.Raw(b'{"metadata":{"name":"a","managedFields":[{}]}}'))
    assert read.raw == b'{"metadata":{"name":"a"}}'


@pytest.mark.parametrize("result", [b"", b"[]", b'{"metadata":{"name":7}}'])
def test_where_a_transform_returns_nonsense_the_object_is_kept_as_it_is(result: bytes) -> None:
    raw = b'{"metadata":{"name":"a"}}'
    with structlog.testing.capture_logs() as logs:
        assert Selection(PODS, transform=lambda _: result).read(raw).raw == raw
    assert [entry["event"] for entry in logs] == ["transform failed; the object is kept as the server sent it"]


@pytest.mark.parametrize("transform", [None, drop_managed_fields])
def test_what_is_no_object_raises(transform: Any) -> None:
    with pytest.raises(DecodeError, match="pods: metadata does not decode"):
        Selection(PODS, transform=transform).read(b'{"metadata":7}')
