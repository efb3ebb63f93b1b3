"""Who set which field of a live object, by its managedFields.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management: each entry holds the fields of one
manager as a tree of steps, `f:NAME` for a field, `k:{...}` for the item of a list with these keys, `v:...` for a
value in a set. `{}` stands for a field with all that is in it.

A write's fields are noted as the client sent them, before admission changes them: a field that a webhook rewrites or
removes stays with the client, and one that it adds is nobody's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str, ...]
"""Steps as in FieldsV1."""

_KSERVE: Final = "manager"
"""KServe's controller writes under the name of its binary (its Dockerfile); what it does to an InferenceService is
as legitimate as what its webhook does."""
_ITEM: Final = "k:"
NOBODYS_ITEM: Final = _ITEM
"""The step to an item that nobody has set."""


class Ownership:
    """The owners of a live object's fields, as seen by the field manager `manager`."""

    def __init__(self, live: Mapping[str, Any], manager: str) -> None:
        entries = live.get("metadata", {}).get("managedFields") or []
        spec = [entry for entry in entries if not entry.get("subresource")]
        fields = [(entry.get("manager"), tree) for entry in spec if (tree := entry.get("fieldsV1"))]
        self._all = [tree for _, tree in fields]
        self._own = [tree for owner, tree in fields if owner == manager]
        self._foreign = [tree for owner, tree in fields if owner not in (manager, _KSERVE)]

    def known(self) -> bool:
        """Whether the live object tells anything of owners at all."""
        return bool(self._all)

    def own(self, path: Path, *, by_itself: bool = False) -> bool:
        """Whether `manager` has set a field; `by_itself`: not as a part of something that was set as one value."""
        return any(_holds(tree, path, by_itself=by_itself) for tree in self._own)

    def foreign(self, path: Path) -> bool:
        """Whether somebody else but KServe has set a field, or something in it."""
        return any(_holds(tree, path) for tree in self._foreign)

    def anybody(self, path: Path) -> bool:
        """Whether anybody has set a field, or something in it."""
        return any(_holds(tree, path) for tree in self._all)

    def items(self, path: Path) -> list[tuple[str, dict[str, Any]]]:
        """Return step and keys of each item of a list that anybody has set; none where the list is one value."""
        steps = {step for tree in self._all for step in _steps(tree, path) if step.startswith(_ITEM)}
        return [(step, json.loads(step.removeprefix(_ITEM))) for step in sorted(steps)]


def _holds(tree: Mapping[str, Any], path: Path, *, by_itself: bool = False) -> bool:
    for step in path:
        if not tree:
            return not by_itself
        if step not in tree:
            return False
        tree = tree[step]
    return True


def _steps(tree: Mapping[str, Any], path: Path) -> Iterator[str]:
    for step in path:
        tree = tree.get(step) or {}
    yield from tree
