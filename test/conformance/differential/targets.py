"""What steps that write have in common: which object they are about, and what they change of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from differential.spoiling import spoiled, with_unknown_field

if TYPE_CHECKING:
    from differential.kinds import Kind
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = ["WRONG_UID", "address", "change", "harmed", "subresource"]

WRONG_UID: Final = "11111111-2222-3333-4444-555555555555"


def harmed(scene: Scene, body: Value) -> Any:
    """Return a body that is now and then wrong in some way."""
    if scene.chance(0.05):
        return spoiled(scene.random, body)
    if scene.chance(0.06):
        return with_unknown_field(scene.random, body)
    return body


def address(scene: Scene, kind: Kind) -> tuple[str, Value]:
    """Return the path of an object that is probably there, and what a step says of it."""
    name = scene.old_name(kind)
    collection = kind.collection(scene.namespace)
    return f"{collection}/{name}", {"collection": collection, "name": name}


def subresource(scene: Scene, kind: Kind) -> str:
    """Return the end of the path: mostly "", now and then that of the status."""
    if kind.status is not None and scene.chance(0.35):
        return "/status"
    return "/status" if scene.chance(0.01) and kind.kind != "Service" else ""


def change(scene: Scene, kind: Kind, subresource: str) -> Value:
    """Return fields to change: of the status mostly, where the path ends in that."""
    if subresource and kind.status is not None and scene.chance(0.9):
        return {"status": kind.status(scene.random)} | ({"metadata": scene.metadata()} if scene.chance(0.2) else {})
    return scene.change(kind)
