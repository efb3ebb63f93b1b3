"""Lists in a strategic merge patch: how two are merged, and in which order.

An order that the patch gives (`$setElementOrder`) comes first, then the order in the patch, then that of the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import json_text, plain, type_name
from disvc.testing.memory.patch import directives
from disvc.testing.memory.patch.directives import broken, merge_key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Value = dict[str, Any]

__all__ = ["check_order", "check_types", "delete_from", "merged_list", "ordered"]


def merged_list(
    original: list[Any], patch: list[Any], merge_key: str, merge_items: Callable[[Value, Value], Value]
) -> list[Any]:
    """Return a list with another merged into it, item by item; scalars are a set.

    Args:
        original: the object's.
        patch: the patch's, directives included.
        merge_key: the field that tells maps apart.
        merge_items: merges two items.

    Raises:
        Refused: the items are of several types, a map has no merge key, or a directive is unknown.

    """
    if not original and not patch:
        return original
    if check_types(original, patch) is not dict:
        unique = {json_text(item): item for item in [*original, *patch]}
        return ordered(list(unique.values()), patch, original, "")
    if not merge_key:
        raise broken("cannot merge lists without merge key for struct")
    original, patch = _carried_out(original, patch, merge_key)
    merged = list(original)
    for item in patch:
        key = merge_key_of(item, merge_key)
        place = next((place for place, old in enumerate(merged) if directives.as_map(old).get(merge_key) == key), None)
        if place is None:
            merged.append(item)
        else:
            merged[place] = merge_items(merged[place], item)
    return ordered(merged, patch, original, merge_key)


def _carried_out(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Return both lists with the directives in the patch carried out."""
    plain_items: list[Any] = []
    replaces = False
    for item in patch:
        match item.get(directives.MARKER):
            case None if directives.MARKER not in item:
                plain_items.append(item)
            case directives.DELETE:
                key = merge_key_of(item, merge_key)
                original = [old for old in original if directives.as_map(old).get(merge_key) != key]
            case directives.REPLACE:
                replaces = True
            case "merge":
                raise broken("merging lists cannot yet be specified in the patch")
            case directive:
                raise directives.unknown_directive(directive, item)
    return (plain_items, []) if replaces else (original, plain_items)


def delete_from(original: list[Any], deleted: list[Any]) -> list[Any]:
    """Return a list of scalars without some of them."""
    return [item for item in original if item not in deleted]


def ordered(merged: list[Any], first: list[Any], original: list[Any], merge_key: str) -> list[Any]:
    """Return a merged list with the items that are in `first` in its order, and the others in the original one.

    Where both kinds meet, an item of the others comes before if it did so in the original list.
    """
    places, before = _places(first, merge_key), _places(original, merge_key)
    keyed = [(json_text(merge_key_of(item, merge_key)), item) for item in merged]
    ours = sorted((pair for pair in keyed if pair[0] in places), key=lambda pair: places[pair[0]])
    theirs: list[tuple[str, Any]] = []
    for pair in keyed:
        if pair[0] not in places:
            theirs.insert(_place_among(theirs, pair[0], before), pair)
    out: list[Any] = []
    while ours and theirs:
        mine, other = before.get(ours[0][0]), before.get(theirs[0][0])
        takes_other = mine is not None and other is not None and other < mine
        out.append((theirs if takes_other else ours).pop(0)[1])
    return out + [item for _, item in (*ours, *theirs)]


def _place_among(pairs: list[tuple[str, Any]], key: str, before: dict[str, int]) -> int:
    """Return where an item goes by its place in the original list; one that is in no list goes before all others."""
    at = len(pairs)
    while at and (key not in before or pairs[at - 1][0] not in before or before[key] < before[pairs[at - 1][0]]):
        at -= 1
    return at


def _places(items: list[Any], merge_key: str) -> dict[str, int]:
    """Return where each item comes first."""
    return {json_text(merge_key_of(item, merge_key)): place for place, item in reversed(list(enumerate(items)))}


def check_order(patch: list[Any], order: list[Any], merge_key: str) -> None:
    """Check that the items of a patch are in a `$setElementOrder` list, in its order. Raises Refused: they are not."""
    if not order or not patch:
        return
    left = [item for item in patch if not (isinstance(item, dict) and directives.MARKER in item)]
    for place in order:
        if left and merge_key_of(left[0], merge_key) == merge_key_of(place, merge_key):
            left.pop(0)
    if left:
        lists = f"{plain(patch)}\n doesn't match {directives.SET_ORDER} list:\n{plain(order)}\n"
        raise broken(f"The order in patch list:\n{lists}")


def check_types(*lists: list[Any]) -> type:
    """Return the one type of all items. Raises Refused: there are several, lists of lists, or no items at all."""
    items = [item for one in lists for item in one]
    if not items:
        raise broken("no elements in any of the given slices")
    if isinstance(items[0], list):
        message = "the server rejected our request due to an error in our request"
        raise Refused(422, "Invalid", message, details={})
    if len({type_name(item) for item in items}) > 1:
        raise broken(f"list element types are not identical: {plain(list(lists))}")
    return type(items[0])
