"""`kubectl apply -k config/default` on a real control plane: accepted, restricted, and with roles for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from disvc.testing.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.testing.controlplane import ControlPlane

    Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

DEFAULT = Path(__file__).parents[2] / "config" / "default"


async def test_the_operators_manifests_are_accepted_and_do_what_they_are_for(
    make_control_plane: Callable[..., Awaitable[ControlPlane]], until: Until
) -> None:
    plane = await make_control_plane(controller_manager=True)
    await plane.kubectl("apply", "-k", str(DEFAULT))

    async def pods() -> list[str]:
        path = "jsonpath={.items[*].spec.serviceAccountName}"
        return (await plane.kubectl("get", "pods", "--namespace=disvc-system", "-o", path)).split()

    # The namespace enforces the Pod Security Standard "restricted", so pods that break it are never made.
    async def both_replicas_are_there() -> bool:
        return await pods() == ["disvc-manager"] * 2

    await until(both_replicas_are_there)

    async def may(verb: str, resource: str, user: str, subresource: str = "") -> bool:
        flags = [f"--as={user}", f"--subresource={subresource}", "--namespace=default"]
        try:
            answer = await plane.kubectl("auth", "can-i", verb, resource, *flags)
        except KubectlError:
            return False
        return answer.strip() == "yes"

    for role in ("view", "edit", "admin"):
        await plane.kubectl(
            "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "--namespace=default"
        )

    async def the_roles_are_aggregated() -> bool:
        return await may("delete", "disvc", "editer") and await may("list", "disvc", "viewer")

    await until(the_roles_are_aggregated)
    assert await may("patch", "disvc", "adminer")
    assert await may("update", "disvc", "editer", "scale")
    assert await may("get", "disvc", "viewer", "status")
    assert not await may("update", "disvc", "adminer", "status"), "only the operator writes status"
    assert not await may("create", "disvc", "viewer")
    account = "system:serviceaccount:disvc-system:disvc-manager"
    assert await may("create", "ingresses", account)
    assert not await may("delete", "disvc", account)
    assert not await may("get", "secrets", account)
