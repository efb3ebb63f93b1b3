"""Members of a revision, read from InferenceServices as the server has them.

Labels and annotations may have been edited by hand: what cannot be read is empty, and matches no revision.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.rollout import kserve
from disvc.rollout.diagnosis import diagnose
from disvc.rollout.names import GROUP_LABEL, HASH_ANNOTATION, member_index, revision_of
from disvc.rollout.observation import Member, Problem
from disvc.rollout.reading import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from disvc.rollout.observation import Obstacle

NO_INDEX: Final = -1
"""The index of an InferenceService that does not have a member's name."""


def member(
    isvc: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
) -> Member:
    """Return what an InferenceService says of itself, and what is wrong with it.

    Args:
        isvc: an InferenceService that the DISVC controls.
        pods: those with its name in KServe's label; others are left out of account.
        events: about it, of core/v1.
        now: tells a KServe that is silent from one that has not answered yet.

    """
    metadata = isvc["metadata"]
    name, deleting = metadata["name"], bool(metadata.get("deletionTimestamp"))
    index = member_index(revision_of(name), name)
    ready = not deleting and kserve.is_ready(isvc)
    return Member(
        name=name,
        revision=(metadata.get("labels") or {}).get(GROUP_LABEL, ""),
        index=NO_INDEX if index is None else index,
        hash=(metadata.get("annotations") or {}).get(HASH_ANNOTATION, ""),
        deleting=deleting,
        ready=ready,
        problem=diagnose(isvc, pods, events, ready=ready, now=now),
    )


def missing(obstacle: Obstacle | None, going: Member | None = None) -> Problem:
    """Return what is wrong with a member that does not exist.

    Args:
        obstacle: what its creation ran into.
        going: a member of another revision that is being deleted: none of a third revision is made before it is gone.

    """
    if obstacle is not None:
        return Problem(
            obstacle.reason,
            one_line(f"cannot be created: {obstacle.message}"),
            look_at=kserve.LOOK_AT_CONTROLLER if obstacle.reason == "WebhookUnavailable" else "",
            failing=obstacle.needs_person,
        )
    if going is not None and going.problem is not None:
        return replace(going.problem, message=f"waits until {going.name} is gone, which {going.problem.message}")
    return Problem("NotCreated", "does not exist yet", look_at="", failing=False)


def expected_addresses(record_member: Mapping[str, Any], replicas: int) -> int:
    """Return how many ready addresses a revision of so many members has at least, by its recorded rendering.

    The Services select the transformer's pods where there is a transformer, else the predictor's.
    """
    spec = record_member["spec"]
    entry_point = spec["predictor"] if spec.get("transformer") is None else spec["transformer"]
    least = entry_point.get("minReplicas")
    return replicas * (1 if least is None else max(1, least))
