"""What must be seen before a rollout moves on.

G1, ready to switch: `ready`, for `minReadySeconds`.
G2, switched: `routed` by a live read, for `propagationSeconds`: ingress controllers drop requests when an old backend
disappears before they have reloaded.
G3, safe to remove: `routed` by a live read, for `drainSeconds`, and `ready`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.rollout.members import expected_addresses
from disvc.rollout.names import member_name, revision_name, revision_of

if TYPE_CHECKING:
    from disvc.api.status import Revision
    from disvc.rollout.observation import Observation, Routes
    from disvc.rollout.revision import Record


def ready(revision: Revision, replicas: int, record: Record | None, seen: Observation) -> bool:
    """Whether every member of a revision is there, is exactly what it should be, and has its endpoints.

    Ready=True of an InferenceService is needed and not enough: what serves is what the EndpointSlices say.
    """
    if record is None:
        return replicas == 0
    fit = {m.name for m in seen.of(revision.name) if m.ready and not m.deleting and m.hash == revision.hash}
    wanted = {member_name(revision.name, index) for index in range(replicas)}
    return wanted <= fit and seen.endpoints.get(revision.name, 0) >= expected_addresses(record.member, replicas)


def routed(revision: Revision, seen: Observation, routes: Routes | None) -> bool:
    """Whether every address that there should be leads to a revision, and to no other."""
    if routes is None or routes.service != revision.name:
        return False
    return routes.ingress == (revision.name if seen.wants_ingress else None)


def highest_number(name: str, seen: Observation) -> int:
    """Return the highest revision number that a member of a DISVC has, 0 where there is none.

    By the members' names, as labels can be edited.
    """
    prefix = revision_name(name, 0).removesuffix("0")
    numbers = (revision_of(member.name).removeprefix(prefix) for member in seen.members)
    return max((int(number) for number in numbers if number.isascii() and number.isdecimal()), default=0)
