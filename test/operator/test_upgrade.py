"""Another version of the operator, or another configuration of it, takes a service over as it is.

KServe rolls the pods of an InferenceService whose metadata changes, so a live one is never edited: what today's
operator would make of a template counts for the next revision only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers import status
from disvc.reconcilers.resources import INGRESSES, ISVCS, PODS, REVISIONS
from disvc.rollout import inference_service, machine
from disvc.rollout.configuration import RoutingDefaults

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from disvc.api.types import DistributedInferenceService
    from disvc.runtime import Manager

    Value = dict[str, Any]
    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

pytestmark = pytest.mark.usefixtures("kserve")


def otherwise(disvc: DistributedInferenceService, number: int) -> Value:
    """Render as another version of the operator: another label of ours, another annotation, another default."""
    made = inference_service.render(disvc, number)
    made["metadata"]["labels"]["disvc.version"] = "other"
    made["metadata"]["annotations"]["disvc.serving.kserve.io/other"] = "yes"
    made["spec"]["predictor"]["minReplicas"] = 2
    return made


def of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (machine, status):
        monkeypatch.setattr(module, "render", otherwise)


async def what_runs(cluster: Any, among: Collection[str] | None = None) -> dict[str, tuple[str, Any]]:
    """Return UID, labels, annotations and spec of each pod and InferenceService: a rolled pod has another UID."""
    found = {}
    for resource in (PODS, ISVCS):
        for name, value in (await cluster.list(resource)).items():
            metadata = value["metadata"]
            parts = [metadata.get("labels"), metadata.get("annotations"), value["spec"]]
            if among is None or f"{resource.kind} {name}" in among:
                found[f"{resource.kind} {name}"] = (metadata["uid"], parts)
    return found


async def edits(cluster: Any) -> list[str]:
    """Return the InferenceServices that the operator has patched."""
    log = await cluster.plane.audit.settled()
    return [
        c.name for c in log.calls(user="operator", verb="patch", resource=ISVCS.plural, namespace=cluster.namespace)
    ]


@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
async def test_only_the_next_revision_is_rendered_by_the_new_version(
    cluster: Any, operate: Operate, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    with monkeypatch.context() as first:
        if back:  # the service was made by a newer version
            of_another_version(first)
        async with operate():
            await cluster.create(cluster.manifest(replicas=2))
            before = await cluster.until_ready()
            ran = await what_runs(cluster)

    with monkeypatch.context() as second:
        if not back:
            of_another_version(second)
        async with operate():
            # All reconcilers write something after they have looked at everything: so they have.
            await cluster.set_spec("m", replicas=3)
            after = await cluster.until_ready()
            assert await what_runs(cluster, among=ran) == ran
            assert await edits(cluster) == []
            assert after["activeRevision"] == before["activeRevision"]
            assert await cluster.names(REVISIONS) == {"m-v1"}
            members = await cluster.list(ISVCS)
            # What is made anew is as it was recorded.
            assert {_is_other(member) for member in members.values()} == {back}

            await cluster.set_spec("m", annotations={"version": "v2"})
            await cluster.until_ready()
            assert _is_other(await cluster.get("m-v2-0", ISVCS)) is not back


def _is_other(member: Value) -> bool:
    metadata, predictor = member["metadata"], member["spec"]["predictor"]
    signs: set[bool] = {
        metadata["labels"].get("disvc.version") == "other",
        metadata["annotations"].get("disvc.serving.kserve.io/other") == "yes",
        predictor.get("minReplicas") == 2,
    }
    assert len(signs) == 1, "rendered in part by one version, in part by another"
    return signs.pop()


async def test_a_manager_of_another_name_takes_over_and_rolls_no_pod(cluster: Any, operate: Operate) -> None:
    """By the name, which the server notes with each field, the operator knows its own fields from people's edits."""
    async with operate():
        await cluster.create(cluster.manifest(replicas=2))
        await cluster.until_ready()
        ran = await what_runs(cluster)
    async with operate(name="another"):
        await cluster.set_spec("m", replicas=3)
        await cluster.until_ready()
        assert await what_runs(cluster, among=ran) == ran
        # Once each, to the values that there are: the fields change hands.
        assert sorted(await edits(cluster)) == ["m-v1-0", "m-v1-1"]
        await cluster.set_spec("m", replicas=4)
        await cluster.until_ready()
        assert len(await edits(cluster)) == 2


async def test_another_domain_moves_the_route_and_nothing_else(cluster: Any, operate: Operate) -> None:
    async with operate():
        await cluster.create(cluster.manifest())
        await cluster.until_ready()
        ran = await what_runs(cluster)
    async with operate(routing=RoutingDefaults(domain="models.example.org")):
        host = f"m-{cluster.namespace}.models.example.org"
        await cluster.until(lambda: _has_url(cluster, f"http://{host}"))
        ingress = await cluster.get("m", INGRESSES)
        assert [rule["host"] for rule in ingress["spec"]["rules"]] == [host]
        await cluster.until_ready()
    assert await what_runs(cluster) == ran
    assert await edits(cluster) == []


async def _has_url(cluster: Any, url: str) -> bool:
    status = await cluster.status()
    return bool(status.get("url") == url)
