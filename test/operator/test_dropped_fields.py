"""A field of the template that the InferenceService's CRD does not know, and that the server drops without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from disvc.runtime import Manager

pytestmark = pytest.mark.usefixtures("kserve")


async def test_a_field_that_the_server_drops_is_asked_for_once_and_said(cluster: Any, operator: Manager) -> None:
    manifest = cluster.manifest()
    manifest["spec"]["inferenservice"]["predictor"]["model"]["runtme"] = "a-typo"

    def said() -> list[Any]:
        return [entry for entry in log if "makes nothing of a change" in entry["event"]]

    async def are_said() -> bool:
        return len(said()) == 3

    with capture_logs() as log:
        await cluster.create(manifest)
        await cluster.until_ready()
        for note in ("1", "2", "3"):
            await cluster.change("m", {"metadata": {"annotations": {"note": note}}})
            await cluster.set_spec("m", replicas=int(note))
            await cluster.until_ready()
        await cluster.until(are_said)
        await cluster.change("m", {"metadata": {"annotations": {"note": "4"}}})
        await cluster.set_spec("m", replicas=2)
        await cluster.until_ready()
    assert sorted(entry["child"] for entry in said()) == ["m-v1-0", "m-v1-1", "m-v1-2"]
    assert "runtme" in str(said()[0]["patch"])
