"""How the members of a revision are doing, in one sentence for a condition's message.

The same observation gives the same words: times are told as `since`, so that a status is not rewritten because time
passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.rollout.members import missing
from disvc.rollout.names import member_name

if TYPE_CHECKING:
    from disvc.rollout.observation import Observation, Problem


LOOK_AT: Final = "; see: "
"""Stands between what is wrong and the command that tells more."""


def summary(revision: str, wanted: int, seen: Observation) -> str:
    """Return how many of the wanted members are ready, what is wrong with the gravest case, and where to look.

    A case is graver when waiting will not mend it, and when the member is not ready.
    """
    live = {member.name: member for member in seen.of(revision)}
    going = next((member for member in seen.members if member.deleting and member.revision != revision), None)
    ready, cases = 0, []
    for index in range(wanted):
        name = member_name(revision, index)
        member = live.get(name)
        problem = member.problem if member else missing(seen.refused.get(name), going)
        is_ready = member is not None and member.ready
        ready += is_ready
        if problem is not None:
            cases.append((is_ready, not problem.failing, name, problem))
    parts = [f"{ready} of {wanted} members ready"]
    look_at = ""
    if cases:
        is_ready, *_, name, problem = min(cases, key=lambda case: case[:2])
        parts.append(f"{name}: {_told(problem)}")
        look_at = problem.look_at
        others = wanted - ready - (not is_ready)
        parts += [f"{others} more not ready"] if others else []
    elif ready == wanted:
        parts.append(f"ready addresses of Service {revision}: {seen.endpoints.get(revision, 0)}")
    return "; ".join(parts) + (f"{LOOK_AT}{look_at}" if look_at else "")


def _told(problem: Problem) -> str:
    if problem.since is None:
        return problem.message
    return f"{problem.message}, since {problem.since:%Y-%m-%dT%H:%M:%SZ}"
