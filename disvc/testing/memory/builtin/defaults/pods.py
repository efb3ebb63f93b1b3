"""Defaults of Pods and their parts that depend on other fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = dict[str, Any]

__all__ = ["POD_RULES"]

_CORE: Final = "io.k8s.api.core.v1"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:))(?::\d+)?/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::[\w][\w.-]{{0,127}})?"
)
"""A name of an image without a digest: github.com/distribution/reference."""


def _pod(pod: Value) -> None:
    """Set what a Pod has and a pod template does not: requests from limits, service links, ports on the host."""
    spec = pod["spec"]
    for container in [*(spec.get("containers") or ()), *spec.get("initContainers", ())]:
        resources = container["resources"]
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **resources.get("requests", {})}
        if spec.get("hostNetwork"):
            for port in container.get("ports", ()):
                if port["containerPort"]:
                    port.setdefault("hostPort", port["containerPort"])
    if (limits := spec.get("resources", {}).get("limits")) is not None:
        _pod_level_requests(spec, limits)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1


def _pod_level_requests(spec: Value, limits: Value) -> None:
    """Set requests of the whole Pod from its limits, for what no container requests."""
    requests = spec["resources"].setdefault("requests", {})
    for name, limit in limits.items():
        is_requested = any(name in each["resources"].get("requests", {}) for each in spec.get("containers") or ())
        if not is_requested:
            requests.setdefault(name, limit)


def _pod_spec(spec: Value) -> None:
    """Make serviceAccount, a deprecated alias, say what serviceAccountName does."""
    if name := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _pod_status(status: Value) -> None:
    """Make podIP, which came first, and podIPs agree."""
    first, several = status.get("podIP"), status.get("podIPs")
    if first and (not several or several[0].get("ip") != first):
        status["podIPs"] = [{"ip": first}]
    elif several:
        status["podIP"] = several[0]["ip"]


def _container(container: Value) -> None:
    container.setdefault("imagePullPolicy", _pull_policy(container.get("image", "")))


def _volume(volume: Value) -> None:
    if volume.keys() == {"name"}:
        volume["emptyDir"] = {}
    if (image := volume.get("image")) is not None:
        image.setdefault("pullPolicy", _pull_policy(image.get("reference", "")))


def _pull_policy(image: str) -> str:
    """Return `Always` for an image without a tag or with the tag latest, which may mean another one tomorrow."""
    if "@" in image or not _IMAGE.fullmatch(image):
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "IfNotPresent" if colon and tag != "latest" else "Always"


POD_RULES: Final[Mapping[str, Callable[[Value], None]]] = {
    f"{_CORE}.Pod": _pod,
    f"{_CORE}.PodSpec": _pod_spec,
    f"{_CORE}.PodStatus": _pod_status,
    f"{_CORE}.Container": _container,
    f"{_CORE}.EphemeralContainer": _container,
    f"{_CORE}.Volume": _volume,
}
