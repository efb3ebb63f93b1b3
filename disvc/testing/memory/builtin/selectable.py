"""What field selectors may ask of built-in kinds, beside the name and the namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns.common import field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = dict[str, Any]

__all__ = ["EVENT", "JOB", "NAMESPACE", "NODE", "POD", "SECRET", "SERVICE"]


def _fields(*paths: str, **others: Callable[[Value], str]) -> Mapping[str, Callable[[Value], str]]:
    """Return what gets texts by their paths, and what else is selectable."""
    return {path: field(path) for path in paths} | others


def _truth(path: str) -> Callable[[Value], str]:
    get = field(path, False)
    return lambda obj: "true" if get(obj) else "false"


def _first_address(pod: Value) -> str:
    addresses = pod["status"].get("podIPs") or [{}]
    return str(addresses[0].get("ip", ""))


def _source(event: Value) -> str:
    return str(event["source"].get("component") or event["reportingComponent"])


POD: Final = _fields(
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.nominatedNodeName",
    **{
        "spec.hostNetwork": _truth("spec.hostNetwork"),
        "spec.host": field("spec.nodeName"),
        "status.podIP": _first_address,
        "status.podIPs": _first_address,
    },
)
NAMESPACE: Final = _fields("status.phase")
SECRET: Final = _fields("type")
SERVICE: Final = _fields("spec.clusterIP", "spec.type")
NODE: Final = _fields(**{"spec.unschedulable": _truth("spec.unschedulable")})
EVENT: Final = _fields(
    *(
        f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    ),
    "reason",
    "reportingComponent",
    "type",
    source=_source,
)
JOB: Final = _fields(**{"status.successful": lambda job: str(job["status"].get("succeeded", 0))})
