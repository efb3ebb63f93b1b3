"""What serves, by the word of the EndpointSlice controller."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def ready_addresses(slices: Iterable[Mapping[str, Any]]) -> int:
    """Return how many addresses of one Service are ready, from all its EndpointSlices.

    An address may stand in two slices while the controller moves it. A dual-stack Service has a slice for each
    family of the same pods, one of them perhaps empty: the fuller family counts. A condition that is not set is to
    be taken for ready=true, serving=true, terminating=false (discovery.k8s.io/v1).
    """
    families: defaultdict[str, set[str]] = defaultdict(set)
    for one in slices:
        for endpoint in one.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                families[one["addressType"]].add(endpoint["addresses"][0])
    return max(map(len, families.values()), default=0)
