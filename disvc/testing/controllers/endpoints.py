"""Lays the endpoints of a Service out in EndpointSlices. Pure functions.

Endpoints with the same ports share slices of at most 100. What is in a slice stays there, so that a change of one pod
is a change of one slice. A Service without any pod has one empty slice.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from disvc.testing.controllers.kinds import is_over, is_ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from disvc.runtime.objects import OwnerReference

    Value = dict[str, Any]

SERVICE_NAME: Final = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service whose endpoints it has (discovery.k8s.io/v1)."""
_MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER: Final = "endpointslice-controller.k8s.io"
_HEADLESS: Final = "service.kubernetes.io/headless"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_MOST: Final = 100
"""kube-controller-manager's --max-endpoints-per-slice."""


class Changes(NamedTuple):
    """What is to be written."""

    create: list[Value]
    update: list[Value]
    delete: list[Value]


def plan(service: Value, owner: OwnerReference, pods: Iterable[Value], existing: Sequence[Value]) -> Changes:
    """Return the changes that bring the existing slices in line with the pods that the Service selects."""
    wanted = _wanted(service, pods)
    if not wanted:
        return _plan_nothing(service, owner, existing)
    held: dict[bytes, list[Value]] = {key: [] for key in wanted}
    for one in existing:
        held.setdefault(_key(one.get("ports") or []), []).append(one)
    changes = Changes([], [], [])
    for key, slices in held.items():
        present, further = _lay_out(wanted.get(key, {}), slices)
        for old, endpoints in zip(slices, present, strict=True):
            if not endpoints:
                changes.delete.append(old)
            elif (new := _with(old, service, endpoints)) != old:
                changes.update.append(new)
        changes.create.extend(_new(service, owner, msgspec.json.decode(key), endpoints) for endpoints in further)
    return changes


def _wanted(service: Value, pods: Iterable[Value]) -> dict[bytes, dict[str, Value]]:
    """Return the endpoints, by their ports and the UIDs of their pods."""
    wanted: dict[bytes, dict[str, Value]] = {}
    for pod in pods:
        if (pod.get("status") or {}).get("podIPs") and not is_over(pod):
            endpoints = wanted.setdefault(_key(_ports(service, pod)), {})
            endpoints[pod["metadata"]["uid"]] = _endpoint(service, pod)
    return wanted


def _plan_nothing(service: Value, owner: OwnerReference, existing: Sequence[Value]) -> Changes:
    """One slice without ports tells that there is nothing."""
    kept = next((one for one in existing if not one.get("ports")), None)
    if kept is None:
        return Changes([_new(service, owner, [], [])], [], list(existing))
    new = _with(kept, service, [])
    return Changes([], [new] if new != kept else [], [one for one in existing if one is not kept])


def _lay_out(endpoints: dict[str, Value], slices: Sequence[Value]) -> tuple[list[list[Value]], list[list[Value]]]:
    """Return what the slices shall hold, in their order, and what further ones shall hold."""
    kept = [[uid for e in one.get("endpoints") or () if (uid := _uid(e)) in endpoints] for one in slices]
    new = [uid for uid in endpoints if not any(uid in uids for uids in kept)]
    present = []
    for uids in kept:
        room = _MOST - len(uids)
        present.append([endpoints[uid] for uid in (*uids, *new[:room])])
        new = new[room:]
    further = [new[start : start + _MOST] for start in range(0, len(new), _MOST)]
    return present, [[endpoints[uid] for uid in uids] for uids in further]


def _key(ports: Sequence[Value]) -> bytes:
    return msgspec.json.encode(list(ports), order="deterministic")


def _uid(endpoint: Value) -> str:
    return str((endpoint.get("targetRef") or {}).get("uid", ""))


def _ports(service: Value, pod: Value) -> list[Value]:
    """Return the Service's ports as they are on a pod; a named one that the pod does not have is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol", "TCP")
        number = _number(port.get("targetPort", port["port"]), protocol, pod)
        if number is not None:
            one = {"name": port.get("name", ""), "port": number, "protocol": protocol}
            if "appProtocol" in port:
                one["appProtocol"] = port["appProtocol"]
            found.append(one)
    return found


def _number(target: int | str, protocol: str, pod: Value) -> int | None:
    if isinstance(target, int):
        return target
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    named = (p for p in ports if p.get("name") == target and p.get("protocol", "TCP") == protocol)
    return next((p["containerPort"] for p in named), None)


def _endpoint(service: Value, pod: Value) -> Value:
    metadata, ready = pod["metadata"], is_ready(pod)
    terminating = "deletionTimestamp" in metadata
    endpoint: Value = {
        "addresses": [pod["status"]["podIPs"][0]["ip"]],
        "conditions": {
            "ready": bool(service["spec"].get("publishNotReadyAddresses")) or (ready and not terminating),
            "serving": ready,
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", **{name: metadata[name] for name in ("namespace", "name", "uid")}},
    }
    if node := pod["spec"].get("nodeName"):
        endpoint["nodeName"] = node
    if (hostname := pod["spec"].get("hostname")) and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = hostname
    return endpoint


def _metadata(service: Value) -> dict[str, Mapping[str, str]]:
    """Return the labels and annotations of a Service's slices."""
    metadata = service["metadata"]
    labels = {**(metadata.get("labels") or {}), SERVICE_NAME: metadata["name"], _MANAGED_BY: _CONTROLLER}
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != _LAST_APPLIED}
    return {"labels": labels, **({"annotations": annotations} if annotations else {})}


def _with(old: Value, service: Value, endpoints: list[Value]) -> Value:
    new = copy.deepcopy(old)
    new["metadata"].pop("annotations", None)
    new["metadata"] |= _metadata(service)
    new["endpoints"] = endpoints or None
    return new


def _new(service: Value, owner: OwnerReference, ports: list[Value], endpoints: list[Value]) -> Value:
    metadata = service["metadata"]
    return {
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "ownerReferences": [msgspec.to_builtins(owner)],
            **_metadata(service),
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }
