"""The programs of docs/how-to/embed-the-operator.md, as they are, each in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import INGRESSES, ISVCS, SERVICES
from disvc.runtime import Manager, Resource
from disvc.testing.program import Program
from disvc.testing.rights import rules_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.reconcilers.embedding import Name
    from disvc.testing.users import User

ROOT = Path(__file__).parents[2]
CONFIG_MAPS: Resource[dict[str, Any]] = Resource("v1", "ConfigMap", "configmaps")
ROUTER_RIGHTS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch"]}


def program(name: str, user: User, namespace: str) -> Program:
    return Program(ROOT / "docs/how-to" / name, namespace, environment={"KUBECONFIG": str(user.kubeconfig)})


@pytest.mark.usefixtures("kserve")
async def test_all_reconcilers_work_in_somebody_elses_manager(cluster: Any, operator_user: User) -> None:
    async with program("embed_the_operator.py", operator_user, cluster.namespace) as running:
        await cluster.create(cluster.manifest())
        url = f"http://m-{cluster.namespace}.models.example.org"
        await running.logged("announced", name="m", url=url, revision="m-v1")
        await cluster.set_spec("m", annotations={"version": "v2"})
        await running.logged("announced", name="m", url=url, revision="m-v2")
        assert (await cluster.until_ready())["activeRevision"]["name"] == "m-v2"
        assert running.entries("announced", revision="m-v1", name="m") != []
        assert len(running.entries("announced")) == 2


@pytest.mark.usefixtures("kserve")
async def test_single_reconcilers_work_beside_somebody_elses_router(cluster: Any) -> None:
    rules = rules_in(ROOT / "config/rbac/role.yaml", ROOT / "config/rbac/events.yaml")
    user = cluster.plane.user("router-platform", rules=[*rules, ROUTER_RIGHTS])

    def leads_to(revision: str) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            found = await cluster.find("m-upstream", CONFIG_MAPS)
            url = f"http://{revision}.{cluster.namespace}.svc.cluster.local"
            return found is not None and found["data"] == {"url": url}

        return holds

    async with program("embed_single_reconcilers.py", user, cluster.namespace):
        await cluster.create(cluster.manifest(routing={"type": "None"}))
        await cluster.until(leads_to("m-v1"))
        await cluster.set_spec("m", annotations={"version": "v2"})
        await cluster.until(leads_to("m-v2"))
        await cluster.until_ready()
        await cluster.until_gone(ISVCS, "m-v1-0")
        assert (await cluster.get("m", SERVICES))["spec"]["selector"]["disvc.group"] == "m-v2"
        assert await cluster.names(INGRESSES) == set()

        # What is edited by hand is put back, as it is for the operator's own children.
        await cluster.change("m-upstream", {"data": {"url": "http://elsewhere"}}, CONFIG_MAPS)
        await cluster.until(leads_to("m-v2"))
    await cluster.delete("m")
    await cluster.until_gone(CONFIG_MAPS, "m-upstream")


async def test_just_those_reconcilers_are_added_that_are_asked_for_and_there_are(cluster: Any) -> None:
    manager = Manager(cluster.client.transport)
    some: tuple[Name, ...] = ("inferenceservice", "service", "status")
    assert tuple(add_to_manager(manager, only=some)) == some
    manager = Manager(cluster.client.transport)
    assert tuple(add_to_manager(manager)) == ("inferenceservice", "service", "ingress", "status")
    with pytest.raises(ValueError, match=r"'route'.*inferenceservice, service, ingress, status"):
        add_to_manager(manager, only=("route",))  # type: ignore[arg-type]
