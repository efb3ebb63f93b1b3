"""What the recorded phase asks of the reconcilers of InferenceServices, Services and routes; and where routes lead."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from disvc.api.spec import OnFailure, StrategyType
from disvc.api.status import DistributedInferenceServiceStatus, Phase, Revision, Rollout
from disvc.api.types import DistributedInferenceService
from disvc.rollout import gates
from disvc.rollout.observation import Member, Observation, Routes
from disvc.rollout.plan import Plan, is_whole, plan, replicas

V1, V2, V3 = (Revision(name=f"m-v{number}", number=number, hash=f"{number}" * 10) for number in (1, 2, 3))
STARTED = {"startedAt": "2026-01-01T12:00:00Z"}

RECORDED: dict[Phase, dict[str, Any]] = {
    Phase.INITIALIZING: {"target": V1},
    Phase.STABLE: {"active": V1, "target": V1},
    Phase.PROGRESSING: {"active": V1, "target": V2},
    Phase.AWAITING_PROMOTION: {"active": V1, "target": V2},
    Phase.SWITCHING: {"active": V1, "target": V2},
    Phase.DRAINING: {"active": V2, "target": V2, "previous": V1},
    Phase.ROLLING_BACK: {"active": V1, "target": V2},
    Phase.FAILED: {"active": V1, "target": V2},
}


def status(
    phase: Phase | None,
    active: Revision | None = None,
    target: Revision | None = None,
    previous: Revision | None = None,
) -> DistributedInferenceServiceStatus:
    rollout = Rollout.model_validate(STARTED).model_copy(update={"previous_revision": previous})
    return DistributedInferenceServiceStatus(
        phase=phase,
        active_revision=active,
        target_revision=target,
        rollout=None if phase in (None, Phase.STABLE) else rollout,
    )


def disvc(
    recorded: DistributedInferenceServiceStatus, annotations: dict[str, str] | None = None, **spec: Any
) -> DistributedInferenceService:
    metadata = {"name": "m", "uid": "u", "generation": 7, "annotations": annotations or {}}
    asked = DistributedInferenceService.model_validate({"metadata": metadata, "spec": spec})
    return asked.model_copy(update={"status": recorded})


def planned(phase: Phase, revisions: dict[str, Any] | None = None, replicas: int = 1, **strategy: Any) -> Plan:
    recorded = status(phase, **(RECORDED[phase] if revisions is None else revisions))
    return plan(disvc(recorded, replicas=replicas, deploymentStrategy=strategy))


@pytest.mark.parametrize(
    ("phase", "revisions", "routed"),
    [
        (Phase.INITIALIZING, (V1,), V1),
        (Phase.STABLE, (V1,), V1),
        (Phase.PROGRESSING, (V1, V2), V1),
        (Phase.AWAITING_PROMOTION, (V1, V2), V1),
        (Phase.SWITCHING, (V1, V2), V2),
        (Phase.DRAINING, (V2, V1), V2),
        (Phase.ROLLING_BACK, (V1, V2), V1),
        (Phase.FAILED, (V1,), V1),
    ],
)
def test_the_phase_tells_which_revisions_exist_and_which_has_the_traffic(
    phase: Phase, revisions: tuple[Revision, ...], routed: Revision
) -> None:
    now = planned(phase)
    assert now == Plan("u", 7, revisions, revisions, revisions, routed, 1)
    assert now.fresh == (phase is Phase.INITIALIZING)


def test_a_failed_revision_is_held_without_traffic_where_that_is_asked_for() -> None:
    held = planned(Phase.FAILED, onFailure="Hold")
    assert held == Plan("u", 7, (V1, V2), (V1, V2), (V1, V2), V1, 1)


@pytest.mark.parametrize("kept", ["Rollback", "Hold"])
@pytest.mark.parametrize("type_", list(StrategyType))
def test_a_first_revision_that_failed_keeps_everything(kept: str, type_: StrategyType) -> None:
    failed = planned(Phase.FAILED, {"target": V1}, onFailure=kept, type=type_)
    assert failed == Plan("u", 7, (V1,), (V1,), (V1,), V1, 1, alone=type_ is StrategyType.RECREATE)


@pytest.mark.parametrize(
    ("phase", "revisions", "staffed", "made", "alone"),
    [
        (Phase.INITIALIZING, (V1,), (V1,), (V1,), False),
        (Phase.STABLE, (V1,), (V1,), (V1,), True),
        (Phase.PROGRESSING, (V1, V2), (V2,), (V2,), True),
        (Phase.AWAITING_PROMOTION, (V1, V2), (V1, V2), (V1, V2), False),
        (Phase.SWITCHING, (V1, V2), (V1, V2), (V2,), False),
        (Phase.DRAINING, (V2, V1), (V2, V1), (V2,), False),
        (Phase.ROLLING_BACK, (V1, V2), (V1,), (V1,), True),
        (Phase.FAILED, (V1,), (V1,), (V1,), True),
    ],
)
@pytest.mark.parametrize("kept", ["Rollback", "Hold"])
def test_with_recreate_only_one_revision_is_given_members(
    phase: Phase, revisions: Any, staffed: Any, made: Any, alone: bool, kept: str
) -> None:
    now = planned(phase, type="Recreate", onFailure=kept)
    assert (now.revisions, now.staffed, now.made, now.alone) == (revisions, staffed, made, alone)
    assert now.routed == planned(phase).routed


@pytest.mark.parametrize(("phase", "type_", "kept"), list(product(Phase, StrategyType, OnFailure)), ids=str)
def test_what_has_the_traffic_exists_and_no_more_than_two_revisions_do(
    phase: Phase, type_: StrategyType, kept: OnFailure
) -> None:
    now = planned(phase, type=type_, onFailure=kept)
    assert now.routed in now.revisions
    assert set(now.made) <= set(now.staffed) <= set(now.revisions)
    assert len(now.revisions) <= 2
    assert now.staffed
    if type_ is StrategyType.ROLLING_UPDATE:
        assert now.routed in now.made


# Who may be given members.


def test_a_new_revision_waits_until_a_superseded_one_is_gone() -> None:
    now = planned(Phase.PROGRESSING, {"active": V1, "target": V3})
    assert not now.may_create(V3, ["m-v1", "m-v2"])
    assert now.may_create(V3, ["m-v1"])
    assert now.may_create(V3, ["m-v1", "m-v3"])
    assert now.may_create(V3, [])


def test_what_has_the_traffic_is_repaired_at_once() -> None:
    now = planned(Phase.PROGRESSING, {"active": V1, "target": V3})
    assert now.may_create(V1, ["m-v1", "m-v2"])
    assert now.may_create(V1, ["m-v2"])


def test_not_even_what_has_the_traffic_is_made_as_a_third() -> None:
    """The switch was made while nothing was wanted, and before the members of two others were gone."""
    now = planned(Phase.SWITCHING, {"active": V1, "target": V3})
    assert not now.may_create(V3, ["m-v1", "m-v2"])
    assert now.may_create(V3, ["m-v2"])


@pytest.mark.parametrize("phase", [Phase.SWITCHING, Phase.DRAINING])
def test_while_the_traffic_moves_both_revisions_are_repaired(phase: Phase) -> None:
    now = planned(phase)
    assert now.may_create(V1, ["m-v1", "m-v2"])
    assert now.may_create(V2, ["m-v1", "m-v2"])


def test_a_revision_that_is_not_planned_is_never_made() -> None:
    assert not planned(Phase.STABLE).may_create(V2, [])


def test_with_recreate_a_revision_waits_until_the_other_is_gone() -> None:
    now = planned(Phase.PROGRESSING, type="Recreate")
    assert not now.may_create(V2, ["m-v1"])
    assert now.may_create(V2, ["m-v2"])
    assert not now.may_create(V1, [])
    back = planned(Phase.ROLLING_BACK, type="Recreate")
    assert not back.may_create(V1, ["m-v2"])
    assert back.may_create(V1, ["m-v1"])
    assert not back.may_create(V2, [])


@pytest.mark.parametrize("phase", [Phase.SWITCHING, Phase.DRAINING])
def test_with_recreate_the_old_revision_is_not_made_again_while_the_traffic_moves(phase: Phase) -> None:
    now = planned(phase, type="Recreate")
    assert not now.may_create(V1, ["m-v2"])
    assert not now.may_create(V1, [])
    assert now.may_create(V2, ["m-v1", "m-v2"]), "the strategy may have been changed on the way"


# How many members.


@pytest.mark.parametrize("phase", list(Phase))
def test_scaling_changes_every_live_revision(phase: Phase) -> None:
    assert planned(phase, replicas=3).replicas == 3
    assert planned(phase, replicas=0).replicas == 0


@pytest.mark.parametrize(
    ("value", "wanted"), [("true", 0), ("True", 0), ("TRUE", 0), ("false", 2), ("", 2), ("yes", 2)]
)
def test_stopped_there_are_no_members(value: str, wanted: int) -> None:
    asked = disvc(status(Phase.STABLE, V1, V1), {"serving.kserve.io/stop": value}, replicas=2)
    assert replicas(asked) == plan(asked).replicas == wanted


# What is recorded may not be whole.


@pytest.mark.parametrize("phase", list(Phase))
def test_a_status_as_the_machine_records_it_is_whole(phase: Phase) -> None:
    assert is_whole(status(phase, **RECORDED[phase]))


@pytest.mark.parametrize(
    ("phase", "missing"),
    [
        *product(Phase, ["phase", "target_revision"]),
        *product([p for p in Phase if p not in (Phase.INITIALIZING, Phase.FAILED)], ["active_revision"]),
        *product([p for p in Phase if p is not Phase.STABLE], ["rollout"]),
    ],
)
def test_a_status_that_lacks_what_its_phase_needs_is_not_whole(phase: Phase, missing: str) -> None:
    assert not is_whole(status(phase, **RECORDED[phase]).model_copy(update={missing: None}))


@pytest.mark.parametrize(
    "senseless",
    [
        status(None, V1, V1),
        status(Phase.STABLE, V1, V2),
        status(Phase.DRAINING, V2, V2),
        status(Phase.STABLE, V1, V1).model_copy(update={"rollout": Rollout.model_validate(STARTED)}),
        DistributedInferenceServiceStatus(),
    ],
)
def test_a_status_that_makes_no_sense_is_not_whole(senseless: DistributedInferenceServiceStatus) -> None:
    assert not is_whole(senseless)


# Where routes lead.


@pytest.mark.parametrize(
    ("routes", "wants_ingress", "leads"),
    [
        (Routes("m-v1", "m-v1"), True, True),
        (Routes("m-v1", None), False, True),
        (Routes("m-v1", None), True, False),
        (Routes("m-v1", "m-v1"), False, False),
        (Routes("m-v1", "m-v2"), True, False),
        (Routes("m-v2", "m-v1"), True, False),
        (Routes("m-v2", "m-v2"), True, False),
        (Routes(None, "m-v1"), True, False),
        (Routes(None, None), True, False),
        (Routes(None, None), False, False),
        (None, True, False),
        (None, False, False),
    ],
)
def test_a_revision_is_routed_when_every_address_leads_to_it_and_to_no_other(
    routes: Routes | None, wants_ingress: bool, leads: bool
) -> None:
    assert gates.routed(V1, Observation(wants_ingress=wants_ingress), routes) is leads


@pytest.mark.parametrize(
    ("names", "highest"),
    [((), 0), (("m-v3-0", "m-v12-1"), 12), (("n-v9-0", "m-vx-0", "m-9-0", "m-v-0", "m-v٣-0", "m"), 0)],
)
def test_the_highest_number_is_read_from_the_names_of_members(names: tuple[str, ...], highest: int) -> None:
    members = tuple(Member(name, "m-v99", 0, "") for name in names)
    assert gates.highest_number("m", Observation(members=members)) == highest
