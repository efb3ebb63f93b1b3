"""Names and labels of what a DistributedInferenceService consists of: the contract of docs/reference.

NAME            Service, Ingress: the stable address
NAME-vN         ControllerRevision, Service: one revision
NAME-vN-i       InferenceService: one member of a revision
"""

from __future__ import annotations

from typing import Final

DISVC_LABEL: Final = "disvc"
"""On members (and so on their pods) and on Service NAME: the DISVC's name."""
GROUP_LABEL: Final = "disvc.group"
"""On members (and so on their pods): the revision's name."""
SERVICE_GROUP_LABEL: Final = "group"
"""On both Services: the Service's own name. The EndpointSlice controller copies it to the Service's slices."""
HASH_ANNOTATION: Final = "disvc.serving.kserve.io/hash"
"""On members and ControllerRevisions: the hash of the revision's template."""
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
"""On EndpointSlices: the Service they belong to."""
VISIBILITY_LABEL: Final = "networking.kserve.io/visibility"
CLUSTER_LOCAL: Final = "cluster-local"
STOP_ANNOTATION: Final = "serving.kserve.io/stop"


def revision_name(name: str, number: int) -> str:
    """Return the name of a DISVC's revision."""
    return f"{name}-v{number}"


def member_name(revision: str, index: int) -> str:
    """Return the name of a revision's member."""
    return f"{revision}-{index}"


def revision_of(member: str) -> str:
    """Return the name of the revision that a member belongs to; unlike its labels, nobody can edit that."""
    return member.rpartition("-")[0]


def member_index(revision: str, member: str) -> int | None:
    """Return the index of a revision's member, None where the name is not that of a member."""
    index = member.removeprefix(f"{revision}-")
    canonical = index.isascii() and index.isdecimal() and str(int(index)) == index
    return int(index) if index != member and canonical else None
