"""What serves, by the word of the EndpointSlice controller."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def pods(slices: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return what requests to a Service may be sent to: the pods behind its ready addresses, by their UIDs.

    An address that is not a pod's stands for itself. Pods of the host's network may share theirs.
    """
    return {
        (endpoint.get("targetRef") or {}).get("uid") or endpoint["addresses"][0]
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if _is_ready(endpoint)
    }


def ready_addresses(slices: Iterable[Mapping[str, Any]]) -> int:
    """Return how many addresses of one Service are ready, from all its EndpointSlices.

    An address may stand in two slices while the controller moves it. A dual-stack Service has a slice for each
    family of the same pods, one of them perhaps empty: the fuller family counts. A condition that is not set is to
    be taken for ready=true, serving=true, terminating=false (discovery.k8s.io/v1).
    """
    families: defaultdict[str, set[str]] = defaultdict(set)
    for one in slices:
        for endpoint in one.get("endpoints") or ():
            if _is_ready(endpoint):
                families[one["addressType"]].add(endpoint["addresses"][0])
    return max(map(len, families.values()), default=0)


def _is_ready(endpoint: Mapping[str, Any]) -> bool:
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False and not conditions.get("terminating")
