"""The group autoscaling: HorizontalPodAutoscalers of v2, and of v1, which is the same with CPU as its only metric.

What v1 cannot say is kept in annotations there, so that an update by v1 loses nothing. (A real server does so too, in
an encoding of its own.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.columns.others import HORIZONTAL_POD_AUTOSCALER
from disvc.testing.memory.builtin.decoding import read
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import formatted, nonnegative, required
from disvc.testing.memory.causes import child, item
from disvc.testing.memory.resource import Column, Conversion
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_SOURCES: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""The types of metrics, and the field in which each is described."""
_TARGETS: Final = {
    "containerResource": ("averageValue", "averageUtilization"),
    "external": ("value", "averageValue"),
    "object": ("value", "averageValue"),
    "pods": ("averageValue",),
    "resource": ("averageValue", "averageUtilization"),
}
"""What each is measured by."""
_OF_RESOURCES: Final = "must set either a target raw value or a target utilization"
_NO_TARGET: Final = {
    "containerResource": _OF_RESOURCES,
    "external": "must set either a target value for metric or a per-pod target",
    "object": "must set either a target value or averageValue",
    "pods": "must specify a positive target averageValue",
    "resource": _OF_RESOURCES,
}
_TOO_MANY_TARGETS: Final = {
    "containerResource": ("averageValue", "may not set both a target raw value and a target utilization"),
    "external": ("value", "may not set both a target value for metric and a per-pod target"),
    "resource": ("averageValue", "may not set both a target raw value and a target utilization"),
}
_KEPT: Final = {
    "metrics": "autoscaling.alpha.kubernetes.io/metrics",
    "behavior": "autoscaling.alpha.kubernetes.io/behavior",
}
_KEPT_STATUS: Final = {
    "currentMetrics": "autoscaling.alpha.kubernetes.io/current-metrics",
    "conditions": "autoscaling.alpha.kubernetes.io/conditions",
}
_MAX_PERIOD_S: Final = 1800
_MAX_WINDOW_S: Final = 3600


class _Autoscaler(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status":
            return list(nonnegative("status", obj["status"], "currentReplicas", "desiredReplicas"))
        return list(_spec(obj["spec"]))


class _AutoscalerV1(BuiltinStrategy):
    def default(self, obj: Value) -> None:
        """Fill in defaults, those of v2 too."""
        super().default(obj)
        obj.update(_from_v2(_to_v2(obj)))

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status":
            return list(nonnegative("status", obj["status"], "currentReplicas", "desiredReplicas"))
        return list(_spec(_to_v2(obj)["spec"]))


def _spec(spec: Value) -> Iterator[Cause]:
    least, most = spec["minReplicas"], spec["maxReplicas"]
    if least < 1:
        yield causes.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most == 0:
        yield causes.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        yield causes.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if most < least:
        yield causes.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    yield from _reference("spec.scaleTargetRef", spec["scaleTargetRef"])
    for index, metric in enumerate(spec.get("metrics", ())):
        yield from _metric(item("spec.metrics", index), metric)
    if least == 0 and not any(metric["type"] in {"Object", "External"} for metric in spec.get("metrics", ())):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield causes.forbidden("spec.metrics", why)
    for name in ("scaleUp", "scaleDown"):
        if (rules := spec.get("behavior", {}).get(name)) is not None:
            yield from _scaling_rules(f"spec.behavior.{name}", rules)


def _reference(path: str, reference: Value) -> Iterator[Cause]:
    for name in ("kind", "name"):
        yield from required(child(path, name), reference[name], formats.path_segment)
    if "/" not in reference.get("apiVersion", ""):
        given = reference.get("apiVersion", "")
        yield causes.invalid(child(path, "apiVersion"), given, "apiVersion must specify API group")


def _metric(path: str, metric: Value) -> Iterator[Cause]:
    type_ = metric["type"]
    if not type_:
        yield causes.required(child(path, "type"), "must specify a metric source type")
    if type_ not in _SOURCES:
        yield causes.not_supported(child(path, "type"), type_, _SOURCES)
    given = [name for name in _SOURCES.values() if name in metric]
    for name in given[:1]:
        yield from _source(child(path, name), name, metric[name])
    wanted = _SOURCES.get(type_)
    if wanted is not None and wanted not in metric:
        yield causes.required(child(path, wanted), "must populate information for the given metric source")
    if wanted is None:
        yield causes.not_supported(child(path, "type"), type_, _SOURCES)
    for name in given if len(given) != 1 else ():
        if name != wanted:
            yield causes.forbidden(child(path, name), "must populate the given metric source only")


def _source(path: str, name: str, source: Value) -> Iterator[Cause]:
    target = source["target"]
    if name in {"resource", "containerResource"} and not source["name"]:
        yield causes.required(child(path, "name"), "must specify a resource name")
    if "metric" in source:
        yield from _metric_name(f"{path}.metric.name", source["metric"]["name"])
    yield from _target(child(path, "target"), target)
    given = [each for each in _TARGETS[name] if each in target]
    if not given:
        last = _TARGETS[name][-1]
        yield causes.required(f"{path}.target.{last}", _NO_TARGET[name])
    if len(given) > 1 and name in _TOO_MANY_TARGETS:
        field, why = _TOO_MANY_TARGETS[name]
        yield causes.forbidden(f"{path}.target.{field}", why)


def _metric_name(path: str, name: str) -> Iterator[Cause]:
    if name:
        yield from formatted(path, name, formats.path_segment)
    else:
        yield causes.required(path, "must specify a metric name")


def _target(path: str, target: Value) -> Iterator[Cause]:
    type_ = target["type"]
    if not type_:
        yield causes.required(child(path, "type"), "must specify a metric target type")
    if type_ not in {"Utilization", "Value", "AverageValue"}:
        yield causes.invalid(child(path, "type"), type_, "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue"):
        if name in target and amount(target[name]) <= 0:
            yield causes.invalid(child(path, name), target[name], "must be positive")
    utilization = target.get("averageUtilization", 1)
    if utilization < 1:
        yield causes.invalid(child(path, "averageUtilization"), utilization, "must be greater than 0")


def _scaling_rules(path: str, rules: Value) -> Iterator[Cause]:
    window = rules.get("stabilizationWindowSeconds", 0)
    if window < 0:
        why = "must be greater than or equal to zero"
        yield causes.invalid(child(path, "stabilizationWindowSeconds"), window, why)
    if window > _MAX_WINDOW_S:
        why = f"must be less than or equal to {_MAX_WINDOW_S}"
        yield causes.invalid(child(path, "stabilizationWindowSeconds"), window, why)
    select = rules.get("selectPolicy", "Max")
    if select not in {"Disabled", "Max", "Min"}:
        yield causes.not_supported(child(path, "selectPolicy"), select, ("Disabled", "Max", "Min"))
    for index, policy in enumerate(rules.get("policies", ())):
        at = item(child(path, "policies"), index)
        if policy["type"] not in {"Percent", "Pods"}:
            yield causes.not_supported(child(at, "type"), policy["type"], ("Percent", "Pods"))
        for name in ("value", "periodSeconds"):
            if policy[name] <= 0:
                yield causes.invalid(child(at, name), policy[name], "must be greater than zero")
        if policy["periodSeconds"] > _MAX_PERIOD_S:
            why = f"must be less than or equal to {_MAX_PERIOD_S}"
            yield causes.invalid(child(at, "periodSeconds"), policy["periodSeconds"], why)


def _is_cpu(metric: Value) -> bool:
    resource = metric.get("resource", {})
    return resource.get("name") == "cpu" and "averageUtilization" in resource.get("target", resource.get("current", {}))


def _to_v2(autoscaler: Value) -> Value:
    """Return an autoscaler of v1 as one of v2."""
    spec, status = dict(autoscaler["spec"]), dict(autoscaler["status"])
    annotations = dict(autoscaler["metadata"].get("annotations", {}))
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    for part, kept in ((spec, _KEPT), (status, _KEPT_STATUS)):
        for name, annotation in kept.items():
            if text := annotations.pop(annotation, None):
                part[name] = msgspec.json.decode(text)
    if percent is not None or not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80 if percent is None else percent}
        cpu = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        spec["metrics"] = [*spec.get("metrics", ()), cpu]
    status.pop("currentCPUUtilizationPercentage", None)
    return _rebuilt(autoscaler, "v2", annotations, spec, status)


def _from_v2(autoscaler: Value) -> Value:
    """Return an autoscaler of v2 as one of v1."""
    spec, status = dict(autoscaler["spec"]), dict(autoscaler["status"])
    annotations = dict(autoscaler["metadata"].get("annotations", {}))
    cpu = next((metric["resource"] for metric in spec.get("metrics", ()) if _is_cpu(metric)), None)
    others = [metric for metric in spec.pop("metrics", ()) if not _is_cpu(metric)]
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu["target"]["averageUtilization"]
    now = next((metric["resource"] for metric in status.get("currentMetrics") or () if _is_cpu(metric)), None)
    if now is not None:
        status["currentCPUUtilizationPercentage"] = now["current"]["averageUtilization"]
    for part, kept in ((spec | {"metrics": others}, _KEPT), (status, _KEPT_STATUS)):
        for name, annotation in kept.items():
            if part.get(name):
                annotations[annotation] = msgspec.json.encode(part[name]).decode()
    for part, names in ((spec, _KEPT), (status, _KEPT_STATUS)):
        for name in names:
            part.pop(name, None)
    return _rebuilt(autoscaler, "v1", annotations, spec, status)


def _rebuilt(autoscaler: Value, version: str, annotations: Value, spec: Value, status: Value) -> Value:
    metadata = {**autoscaler["metadata"], "annotations": annotations}
    parts = {"apiVersion": f"autoscaling/{version}", "metadata": metadata, "spec": spec, "status": status}
    return dict(read(f"io.k8s.api.autoscaling.{version}.HorizontalPodAutoscaler", autoscaler | parts)[0])


def _column_of_v2(column: Column) -> Column:
    """Return a column that shows an autoscaler of v1 as one of v2."""
    return replace(column, cell=lambda autoscaler, now: column.cell(_to_v2(autoscaler), now))


TYPES: Final = (
    kind(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        _Autoscaler,
        short_names=("hpa",),
        categories=("all",),
        columns=HORIZONTAL_POD_AUTOSCALER,
    ),
    kind(
        "autoscaling",
        "v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        _AutoscalerV1,
        short_names=("hpa",),
        categories=("all",),
        stored_as=Conversion("autoscaling", "v2", _to_v2, _from_v2),
        columns=tuple(map(_column_of_v2, HORIZONTAL_POD_AUTOSCALER)),
    ),
)
