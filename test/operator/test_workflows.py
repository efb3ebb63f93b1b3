"""The three workflows of the mission, on a real kube-apiserver with kube-controller-manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import ISVCS

if TYPE_CHECKING:
    from disvc.runtime import Manager

pytestmark = pytest.mark.usefixtures("kserve")


async def test_a_changed_template_becomes_the_next_revision(cluster: Any, operator: Manager) -> None:
    await cluster.create(cluster.manifest(replicas=2))
    await cluster.until_ready()
    assert await cluster.names(ISVCS) == {"m-v1-0", "m-v1-1"}
    await cluster.set_spec("m", annotations={"version": "v2"})
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v1-1")
    assert await cluster.names(ISVCS) == {"m-v2-0", "m-v2-1"}
