"""What puts a live child back to what it should be: a JSON merge patch (RFC 7386), or nothing.

Only what is ours is touched, and nothing is fought over that others do rightly:

| in the live object                  | InferenceService: wanted never changes   | Service, Ingress                |
| ----------------------------------- | ---------------------------------------- | ------------------------------- |
| a wanted field has another value    | put back, unless set by us or KServe (1) | put back                        |
| a wanted field is missing           | put back, unless it is ours still (2)    | likewise                        |
| a label or annotation is not wanted | left alone: removal would roll pods      | removed if we have set it       |
| another field is not wanted         | removed if set by anybody else (1)       | removed within `exact` only (3) |

(1) What we have set, and is not as we have set it, was rewritten at admission: KServe's webhook makes Standard of
RawDeployment, and "1" of "1000m". To put that back would be undone, again and again. What we have set and somebody has
removed, so that admission filled in something, is nobody's.
(2) Removed at admission: KServe's webhook makes `model` of `sklearn`.
(3) But what nobody has set, which the API server has chosen itself, as the class of an Ingress.

Owner references are not touched: a child whose reference is gone is not a child any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.rollout.inference_service import KIND as RECORDED
from disvc.rollout.ownership import NOBODYS_ITEM, Ownership, Path

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_NOT_COMPARED: Final = ("apiVersion", "kind", "metadata", "status")
_METADATA: Final = ("labels", "annotations")


def drift(
    wanted: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, exact: Collection[tuple[str, ...]] = ()
) -> dict[str, Any] | None:
    """Return the merge patch that puts a live object back, None where nothing is to be done.

    Args:
        wanted: the whole object, as it was, or would be, created; where it stands under `exact`, with the fields that
            the API server would add.
        live: what the API server has, with managedFields.
        manager: the field manager that `wanted` is written by.
        exact: paths, like ("spec", "selector"), under which nothing may stand but what is wanted.

    """
    comparison = _Comparison(
        Ownership(live, manager),
        frozenset(tuple(f"f:{name}" for name in path) for path in exact),
        recorded=wanted["kind"] == RECORDED,
    )
    return comparison.mapping(_compared(wanted), _compared(live), ()) or None


def _compared(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = value["metadata"]
    parts = {name: part for name, part in value.items() if name not in _NOT_COMPARED}
    return {"metadata": {name: metadata.get(name) or {} for name in _METADATA}, **parts}


class _Comparison:
    """Compares the parts of one wanted object with those of the live one."""

    def __init__(self, ownership: Ownership, exact: frozenset[Path], *, recorded: bool) -> None:
        self._ownership = ownership
        self._exact = exact
        self._recorded = recorded

    def mapping(self, wanted: Mapping[str, Any], live: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Return the merge patch for one object within the object."""
        removed = [name for name in sorted(live.keys() - wanted.keys()) if self._to_remove((*path, f"f:{name}"))]
        patch: dict[str, Any] = dict.fromkeys(removed)
        for name, value in wanted.items():
            step = (*path, f"f:{name}")
            if name not in live:
                # An empty object is noted like one that is one value: by then nothing tells what was in it. And what
                # somebody has edited may be what the webhook made of the missing field.
                own = self._ownership.own(step, by_itself=not live)
                if removed or not own or self._is_exact(step):
                    patch[name] = value
            elif isinstance(value, dict) and isinstance(live[name], dict):
                if inner := self.mapping(value, live[name], step):
                    patch[name] = inner
            elif value != live[name] and self._to_put_back(value, live[name], step):
                patch[name] = value
        return patch

    def _is_exact(self, path: Path) -> bool:
        return any(path[:length] in self._exact for length in range(1, len(path) + 1))

    def _to_put_back(self, wanted: Any, live: Any, path: Path) -> bool:
        if not self._recorded or live == []:
            return True  # that somebody has emptied a list is not noted
        items = self._ownership.items(path)
        if items and isinstance(wanted, list) and isinstance(live, list):
            return self._list_differs(wanted, live, path, items)
        return self._ownership.foreign(path) or not self._ownership.anybody(path)

    def _to_remove(self, path: Path) -> bool:
        if self._is_exact(path):
            return self._ownership.anybody(path) or not self._ownership.known()
        if path[0] == "f:metadata":
            return not self._recorded and self._ownership.own(path)
        return self._recorded and self._ownership.foreign(path)

    def _list_differs(
        self, wanted: list[Any], live: list[Any], path: Path, items: list[tuple[str, dict[str, Any]]]
    ) -> bool:
        """Whether a list whose items have keys is to be put back: a merge patch can only replace all of it.

        A key that is not given is one that the API server fills in, like the protocol of a port.
        """
        names = {name for _, keys in items for name in keys}

        def fits(item: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
            return all(item[name] == other.get(name) for name in names if name in item)

        unwanted = list(live)
        for item in wanted:
            found = next((other for other in unwanted if fits(item, other)), None)
            if found is None:
                if not any(self._ownership.own((*path, step)) for step, keys in items if fits(item, keys)):
                    return True
                continue
            unwanted.remove(found)
            steps = [step for step, keys in items if fits(keys, found)] or [NOBODYS_ITEM]
            if any(self.mapping(item, found, (*path, step)) for step in steps):
                return True
        return any(self._ownership.foreign((*path, step)) for o in unwanted for step, keys in items if fits(keys, o))
