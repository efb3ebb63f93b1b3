"""A DISVC that is deleted leaves nothing: by garbage collection alone, whether the operator runs or is long gone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import DISVCS, ENDPOINT_SLICES, INGRESSES, ISVCS, PODS, REVISIONS, SERVICES
from disvc.runtime import Resource

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.history import History

    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

pytestmark = pytest.mark.usefixtures("kserve")

OWN = (ISVCS, SERVICES, INGRESSES, REVISIONS)
DEPLOYMENTS: Resource[Any] = Resource("apps/v1", "Deployment", "deployments")
OF_KSERVE = (DEPLOYMENTS, PODS, ENDPOINT_SLICES)


async def left(cluster: Any) -> set[str]:
    """Return what there is of a DISVC and of what came of it."""
    return {
        f"{resource.kind} {name}" for resource in (DISVCS, *OWN, *OF_KSERVE) for name in await cluster.names(resource)
    }


async def test_orphaning_ends_and_leaves_the_children_to_nobody(cluster: Any, operator: Manager) -> None:
    """The orphaner patches ControllerRevisions strategically; their data must survive that byte by byte."""
    await cluster.create(cluster.manifest(annotations={"note": "a<b & c>d \u2028"}))
    await cluster.until_ready()
    await cluster.kubectl("delete", "disvc", "m", "--cascade=orphan", "--timeout=100s")
    revisions = await cluster.list(REVISIONS)
    assert [value["metadata"].get("ownerReferences") for value in revisions.values()] == [None]


@pytest.mark.parametrize("policy", ["background", "foreground"])
@pytest.mark.parametrize("operating", [True, False], ids=["with the operator", "without the operator"])
@pytest.mark.parametrize("phase", ["Stable", "AwaitingPromotion"])
async def test_deleting_a_disvc_leaves_nothing(
    cluster: Any, operate: Operate, history: History, policy: str, phase: str, *, operating: bool
) -> None:
    strategy = {
        "propagationSeconds": 0,
        "drainSeconds": 0,
        "promotion": "Manual" if phase == "AwaitingPromotion" else "Automatic",
    }
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(operate())
        await cluster.create(cluster.manifest(annotations={"version": "v1"}, replicas=2, deploymentStrategy=strategy))
        await cluster.until_ready()
        if phase != "Stable":
            await cluster.set_spec("m", annotations={"version": "v2"})
            await cluster.until_phase(phase)
        if not operating:
            await stack.aclose()
        await cluster.kubectl("delete", "disvc", "m", f"--cascade={policy}", "--wait=false")

        async def nothing_is_left() -> bool:
            return not await left(cluster)

        # kube-controller-manager learns only every 30 s that there are kinds that were not there when it started.
        await cluster.until(nothing_is_left, seconds=120)
    moments = await history.moments()
    deleted = next(
        i
        for i, m in enumerate(moments)
        if m.change.resource.kind == DISVCS.kind
        and (m.change.type == "DELETED" or "deletionTimestamp" in m.change.object["metadata"])
    )
    made = [m.change.name for m in moments[deleted:] if m.change.type == "ADDED" and m.change.resource in OWN]
    assert made == []
