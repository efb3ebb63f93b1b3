"""What the conditions say, that kstatus reads the same from them, and that each reason is explained."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import disvc
from disvc.api.status import Condition, Phase, Revision, Rollout
from disvc.rollout.conditions import REASONS, Said, Situation, merged, said
from disvc.rollout.observation import Observation, Obstacle, Routes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
V1, V2 = (Revision(name=f"m-v{number}", number=number, hash=f"{number}" * 10) for number in (1, 2))
FAILURE = Rollout(started_at=NOON, reason="ProgressDeadlineExceeded", message="not ready within 600 s")
CONFLICT = Obstacle("NameConflict", "Service m is not ours", needs_person=True, retry_seconds=10)
WEBHOOK = Obstacle("WebhookUnavailable", "KServe's webhook is down", needs_person=False, retry_seconds=2)


def situation(
    phase: Phase | None = Phase.STABLE, *, routes: str = "m-v1", endpoints: int = 1, **changes: Any
) -> Situation:
    """v1 is Stable and serves, or as far in a rollout of v2 as the phase says; with changes."""
    first = phase in (None, Phase.INITIALIZING)
    target = V1 if first or phase is Phase.STABLE else V2
    active = None if first else V2 if phase is Phase.DRAINING else V1
    led_to = target if active is None or phase is Phase.SWITCHING else active
    known: dict[str, Any] = {
        "phase": phase,
        "serving": None if phase is None else active or target,
        "led_to": None if phase is None else led_to,
        "target": None if phase is None else target,
        "rollout": FAILURE if phase in (Phase.ROLLING_BACK, Phase.FAILED) else None,
        "replicas": 1,
        "stopped": False,
        "paused": False,
        "behind": False,
        "complete": endpoints > 0,
        "failing": False,
        "seen": Observation(endpoints={"m-v1": endpoints, "m-v2": endpoints}, routes=Routes(routes, routes)),
        "obstacles": [],
        "elder_on_host": "",
        "serving_summary": "how v1 is doing",
        "target_summary": "how v2 is doing",
    }
    return Situation(**known | changes)


def brief(found: Iterable[Said]) -> dict[str, str]:
    return {one.type: f"{one.status} {one.reason}" for one in found}


def kstatus(found: Iterable[Said]) -> str:
    """What kstatus makes of conditions of the present generation (pkg/kstatus/status/generic.go)."""
    for one in found:
        if one.type == "Reconciling" and one.status == "True":
            return "InProgress"
        if one.type == "Stalled" and one.status == "True":
            return "Failed"
    return "Current"


READY = {"Ready": "True RolledOut", "Available": "True Serving", "TrafficReady": "True Routed"}


@pytest.mark.parametrize(
    ("now", "expected", "read"),
    [
        (situation(), READY, "Current"),
        (situation(None), {
            "Ready": "Unknown Progressing", "Available": "Unknown Initializing",
            "TrafficReady": "Unknown RoutesPending", "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(Phase.INITIALIZING, endpoints=0), {
            "Ready": "Unknown Progressing", "Available": "False Initializing", "TrafficReady": "True Routed",
            "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(Phase.INITIALIZING, failing=True), {
            "Ready": "Unknown MemberFailing", "Available": "False Initializing", "TrafficReady": "True Routed",
            "Reconciling": "True MemberFailing",
        }, "InProgress"),
        (situation(Phase.PROGRESSING), {
            **READY, "Ready": "Unknown Progressing", "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(Phase.PROGRESSING, failing=True), {
            **READY, "Ready": "Unknown MemberFailing", "Reconciling": "True MemberFailing",
        }, "InProgress"),
        (situation(Phase.PROGRESSING, endpoints=0), {
            **READY, "Ready": "Unknown Progressing", "Available": "False NoEndpoints",
            "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(Phase.AWAITING_PROMOTION), {
            **READY, "Ready": "Unknown AwaitingPromotion", "Reconciling": "True AwaitingPromotion",
        }, "InProgress"),
        (situation(Phase.SWITCHING), {
            "Ready": "Unknown Switching", "Available": "True Serving", "TrafficReady": "Unknown RoutesPending",
            "Reconciling": "True Switching",
        }, "InProgress"),
        (situation(Phase.SWITCHING, routes="m-v2", serving=V2), {
            **READY, "Ready": "Unknown Switching", "Reconciling": "True Switching",
        }, "InProgress"),
        (situation(Phase.DRAINING, routes="m-v2"), {
            **READY, "Ready": "Unknown Draining", "Reconciling": "True Draining",
        }, "InProgress"),
        (situation(Phase.ROLLING_BACK), {
            **READY, "Ready": "False ProgressDeadlineExceeded", "Stalled": "True ProgressDeadlineExceeded",
        }, "Failed"),
        (situation(Phase.FAILED), {
            **READY, "Ready": "False ProgressDeadlineExceeded", "Stalled": "True ProgressDeadlineExceeded",
        }, "Failed"),
        (situation(Phase.FAILED, endpoints=0), {
            **READY, "Available": "False NoEndpoints",
            "Ready": "False ProgressDeadlineExceeded", "Stalled": "True ProgressDeadlineExceeded",
        }, "Failed"),
        (situation(endpoints=0), {
            **READY, "Ready": "False MembersNotReady", "Available": "False NoEndpoints",
            "Reconciling": "True MembersNotReady",
        }, "InProgress"),
        (situation(complete=False), {
            **READY, "Ready": "Unknown MembersNotReady", "Reconciling": "True MembersNotReady",
        }, "InProgress"),
        (situation(complete=False, failing=True), {
            **READY, "Ready": "False MemberFailing", "Reconciling": "True MemberFailing",
        }, "InProgress"),
        (situation(failing=True), READY, "Current"),
        (situation(behind=True), {
            **READY, "Ready": "Unknown Progressing", "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(routes="m-v9"), {
            "Ready": "Unknown RoutesPending", "Available": "True Serving", "TrafficReady": "Unknown RoutesPending",
            "Reconciling": "True RoutesPending",
        }, "InProgress"),
        (situation(elder_on_host="ns/other"), {
            "Ready": "False HostConflict", "Available": "True Serving", "TrafficReady": "False HostConflict",
            "Stalled": "True HostConflict",
        }, "Failed"),
        (situation(replicas=0, endpoints=0, complete=True), {
            "Ready": "False ScaledToZero", "Available": "False ScaledToZero", "TrafficReady": "True Routed",
        }, "Current"),
        (situation(replicas=0, endpoints=0, complete=True, stopped=True), {
            "Ready": "False Stopped", "Available": "False Stopped", "TrafficReady": "True Routed",
        }, "Current"),
        (situation(Phase.PROGRESSING, replicas=0, endpoints=0), {
            "Ready": "Unknown Progressing", "Available": "False ScaledToZero", "TrafficReady": "True Routed",
            "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(paused=True), READY, "Current"),
        (situation(paused=True, behind=True), {
            **READY, "Ready": "Unknown Paused", "Reconciling": "True Paused",
        }, "InProgress"),
        (situation(Phase.PROGRESSING, paused=True), {
            **READY, "Ready": "Unknown Paused", "Reconciling": "True Paused",
        }, "InProgress"),
        (situation(Phase.FAILED, paused=True), {
            **READY, "Ready": "False ProgressDeadlineExceeded", "Stalled": "True ProgressDeadlineExceeded",
        }, "Failed"),
        (situation(Phase.INITIALIZING, paused=True, endpoints=0), {
            "Ready": "Unknown Progressing", "Available": "False Initializing", "TrafficReady": "True Routed",
            "Reconciling": "True Progressing",
        }, "InProgress"),
        (situation(obstacles=[CONFLICT]), {
            **READY, "Ready": "False NameConflict", "Stalled": "True NameConflict",
        }, "Failed"),
        (situation(obstacles=[WEBHOOK]), {
            **READY, "Ready": "Unknown WebhookUnavailable", "Reconciling": "True WebhookUnavailable",
        }, "InProgress"),
        (situation(Phase.PROGRESSING, obstacles=[WEBHOOK, CONFLICT]), {
            **READY, "Ready": "False NameConflict", "Stalled": "True NameConflict",
        }, "Failed"),
        (situation(None, obstacles=[CONFLICT]), {
            "Ready": "False NameConflict", "Available": "Unknown Initializing", "TrafficReady": "False NameConflict",
            "Stalled": "True NameConflict",
        }, "Failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_conditions_tell_the_situation(now: Situation, expected: dict[str, str], read: str) -> None:
    found = said(now)
    assert brief(found) == expected
    assert kstatus(found) == read


def every_situation() -> Iterator[Situation]:
    for phase, routes, (endpoints, complete), behind, paused, failing, replicas, obstacles, elder in product(
        [None, *Phase],
        ["m-v1", "m-v2"],
        [(0, False), (1, False), (2, True)],
        [False, True],
        [False, True],
        [False, True],
        [0, 1],
        [[], [CONFLICT], [WEBHOOK]],
        ["", "ns/other"],
    ):
        yield situation(
            phase,
            routes=routes,
            endpoints=endpoints,
            complete=complete,
            behind=behind,
            paused=paused,
            failing=failing,
            replicas=replicas,
            obstacles=obstacles,
            elder_on_host=elder,
        )


def test_in_every_situation_the_conditions_agree_with_each_other_and_with_kstatus() -> None:
    for now in every_situation():
        found = said(now)
        by_type = {one.type: one for one in found}
        assert len(by_type) == len(found)
        assert all(one.reason in REASONS for one in found)
        assert by_type.keys() - {"Reconciling", "Stalled"} == {"Ready", "Available", "TrafficReady"}
        ready, read = by_type["Ready"], kstatus(found)
        assert (read == "Failed") == ("Stalled" in by_type), now
        assert (read == "InProgress") == ("Reconciling" in by_type), now
        assert (read == "Current") == (ready.status == "True" or ready.reason in ("ScaledToZero", "Stopped")), now
        for other in ("Reconciling", "Stalled"):
            if other in by_type:
                assert by_type[other][2:] == ready[2:], now
        if ready.status == "True":
            assert now.phase is Phase.STABLE, now
            assert now.complete, now
            assert not now.behind, now
            assert now.replicas, now
            assert (by_type["Available"].status, by_type["TrafficReady"].status) == ("True", "True"), now


@pytest.mark.parametrize(
    ("now", "kind", "message"),
    [
        (situation(), "Ready", ""),
        (situation(endpoints=0), "Available", "how v1 is doing"),
        (situation(endpoints=0), "Ready", "how v1 is doing"),
        (situation(complete=False), "Available", "how v1 is doing"),
        (situation(complete=False), "Reconciling", "how v1 is doing"),
        (situation(Phase.PROGRESSING), "Ready", "how v2 is doing"),
        (situation(Phase.ROLLING_BACK), "Stalled", "not ready within 600 s"),
        (
            situation(Phase.FAILED),
            "Stalled",
            (
                "not ready within 600 s; change the template, or try again: "
                "kubectl annotate --overwrite disvc m disvc.serving.kserve.io/retry=m-v2/2"
            ),
        ),
        (situation(obstacles=[CONFLICT]), "Stalled", "Service m is not ours"),
        (situation(obstacles=[WEBHOOK]), "Reconciling", "KServe's webhook is down"),
        (situation(replicas=0), "Available", "spec.replicas is 0; scale it up to serve again"),
        (situation(paused=True, behind=True), "Ready", "spec.paused is true; set it to false to go on"),
        (
            situation(Phase.AWAITING_PROMOTION),
            "Ready",
            "m-v2 is ready; to promote it: kubectl annotate --overwrite disvc m disvc.serving.kserve.io/promote=m-v2",
        ),
        (
            situation(elder_on_host="ns/other"),
            "TrafficReady",
            "ns/other was first on this host; give one of them another routing.host or routing.domain",
        ),
    ],
)
def test_a_message_says_what_is_the_matter_and_what_to_do(now: Situation, kind: str, message: str) -> None:
    assert {one.type: one.message for one in said(now)}[kind] == message


# The time of a transition.


def condition(kind: str, status: Any, at: datetime, reason: str = "Serving", message: str = "") -> Condition:
    return Condition(
        type=kind, status=status, observed_generation=1, last_transition_time=at, reason=reason, message=message
    )


def test_the_time_of_transition_moves_with_the_status_and_with_nothing_else() -> None:
    later = NOON + timedelta(hours=1)
    before = [condition("Ready", "True", NOON), condition("Available", "True", NOON)]
    now = [Said("Ready", "True", "RolledOut", "other words"), Said("Available", "False", "Serving")]
    ready, available = merged(before, now, 2, later)
    assert ready == Condition(
        type="Ready",
        status="True",
        observed_generation=2,
        last_transition_time=NOON,
        reason="RolledOut",
        message="other words",
    )
    assert (available.status, available.last_transition_time) == ("False", later)


def test_a_condition_that_was_absent_begins_now() -> None:
    later = NOON + timedelta(hours=1)
    once = merged([condition("Stalled", "True", NOON)], [Said("Ready", "True", "RolledOut")], 2, NOON)
    (again,) = merged(once, [Said("Stalled", "True", "Aborted")], 3, later)
    assert again.last_transition_time == later


# The reasons.

CODE = Path(disvc.__file__).parent
SOURCES = [CODE / "rollout/machine.py", CODE / "rollout/conditions.py", *(CODE / "reconcilers").glob("*.py")]
REASON_ARGUMENT = {"Said": 2, "Obstacle": 0, "_failed": 3, "_for_a_person": 0}
"""Where the functions that take a reason take it."""


def reasons_in(path: Path) -> Iterator[str]:
    """Yield each reason that a module gives to a condition."""
    module = ast.parse(path.read_text())
    names = {ast.unparse(one.target): one.value for one in module.body if isinstance(one, ast.AnnAssign)}
    for node in ast.walk(module):
        given: ast.expr | None = None
        match node:
            case ast.Call(func=ast.Name(id=name), args=args) if len(args) > REASON_ARGUMENT.get(name, 99):
                given = args[REASON_ARGUMENT[name]]
            case ast.Assign(targets=[ast.Name(id="reason")], value=value):
                given = value
        if given is not None:
            given = names.get(ast.unparse(given)) or given
            found = (one.value for one in ast.walk(given) if isinstance(one, ast.Constant))
            yield from (text for text in found if isinstance(text, str))


def test_every_reason_that_is_given_is_explained_and_every_one_that_is_explained_is_given() -> None:
    given = {reason for path in SOURCES for reason in reasons_in(path)}
    by_phase = {str(Phase.SWITCHING), str(Phase.DRAINING)}
    assert given | by_phase == REASONS.keys()


def test_reasons_are_words_and_their_explanations_sentences() -> None:
    for reason, explanation in REASONS.items():
        assert re.fullmatch("[A-Z][A-Za-z]+", reason)
        assert re.fullmatch(r"[^\n]+[.]", explanation)
