"""Strategic merge patch, for the built-in kinds: k8s.io/apimachinery/pkg/util/strategicpatch.

Maps are merged; a list is merged where its field says so in the schema (x-kubernetes-patch-strategy), and else
replaced. Directives in the patch (`$patch`, `$retainKeys`, …) say more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import json_kind, type_name
from disvc.testing.memory.patch import directives, lists
from disvc.testing.memory.patch.directives import as_list, broken, without_directives, without_nulls

if TYPE_CHECKING:
    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["strategic_merge"]


def strategic_merge(obj: Value, patch: object, schema: Schema) -> Value:
    """Return the patched object, which may share parts with both.

    Args:
        obj: the object, as the server writes it.
        patch: the decoded patch.
        schema: of the whole object.

    Raises:
        Refused: 400, 422 or 500, as the real server has it, for a patch that is none or contradicts itself.

    """
    if not isinstance(patch, dict | None):
        kind = f"json: cannot unmarshal {json_kind(patch)} into Go value of type map[string]interface {{}}"
        raise Refused(400, "BadRequest", kind)
    return _merge_maps(obj, patch or {}, schema)


def _merge_maps(original: Value, patch: Value, schema: Schema) -> Value:
    if directives.MARKER in patch:
        return _replaced(patch)
    merged, patch = _retained(dict(original), patch)
    merged, patch = _in_given_order(merged, patch, schema)
    for name, given in patch.items():
        if name.startswith(directives.DELETE_FROM):
            _delete_from(merged, name, given, schema)
        elif given is None:
            merged.pop(name, None)
        elif type_name(merged.get(name)) != type_name(given) or not isinstance(given, dict | list):
            _take(merged, name, given)
        else:
            merged[name] = _merge_field(merged[name], given, _field(schema, name))
    return merged


def _replaced(patch: Value) -> Value:
    """Return what a map with a directive becomes."""
    match patch[directives.MARKER]:
        case directives.REPLACE:
            return {name: given for name, given in patch.items() if name != directives.MARKER}
        case directives.DELETE:
            return {}
        case directive:
            raise directives.unknown_directive(directive, patch)


def _retained(original: Value, patch: Value) -> tuple[Value, Value]:
    """Carry out `$retainKeys`: return the object with no other fields, and the patch without the directive."""
    if directives.RETAIN_KEYS not in patch:
        return original, patch
    patch = dict(patch)
    retained = patch.pop(directives.RETAIN_KEYS)
    if not isinstance(retained, list):
        raise directives.bad_format("retainKeys")
    for name, given in patch.items():
        is_directive = name.startswith((directives.DELETE_FROM, directives.SET_ORDER))
        if given is not None and not is_directive and name not in retained:
            raise directives.bad_format("retainKeys")
    return {name: value for name, value in original.items() if name in retained}, patch


def _in_given_order(original: Value, patch: Value, schema: Schema) -> tuple[Value, Value]:
    """Carry out `$setElementOrder/…`, and merge those lists: return the object with them, and the patch without."""
    orders = {name: order for name, order in patch.items() if name.startswith(directives.SET_ORDER)}
    left = {name: given for name, given in patch.items() if name not in orders}
    for directive, given in orders.items():
        order = as_list(given)
        name = _name_in(directive, directives.SET_ORDER, "setElementOrder list")
        live = as_list(original[name]) if name in original else None
        patched = as_list(left[name]) if name in left else None
        field = _field(schema, name)
        lists.check_order(patched or [], order, field.patch_merge_key)
        if live is None and patched is None:
            continue
        if live is None:
            merged = without_directives(patched)
        elif patched is None:
            merged = live
        else:
            merged = _merge_field(live, patched, field)
        lists.check_types(live or [], patched or [])
        original[name] = lists.ordered(merged, order, live or [], field.patch_merge_key)
        left.pop(name, None)
    return original, left


def _delete_from(merged: Value, directive: str, deleted: Any, schema: Schema) -> None:
    """Carry out `$deleteFromPrimitiveList/…`."""
    name = _name_in(directive, directives.DELETE_FROM, "primitive list")
    if deleted is None:
        merged.pop(name, None)
    elif isinstance(deleted, list) and isinstance(live := merged.get(name), list) and (live or deleted):
        _field(schema, name)
        lists.check_types(live, deleted)
        merged[name] = lists.delete_from(live, deleted)


def _name_in(directive: str, prefix: str, of: str) -> str:
    found, _, name = directive.partition("/")
    if found != prefix or not name:
        raise directives.bad_format(of)
    return name


def _take(merged: Value, name: str, given: Any) -> None:
    """Set a field that cannot be merged; one with a directive goes."""
    if isinstance(given, dict) and directives.MARKER in given:
        merged.pop(name, None)
    else:
        merged[name] = without_directives(without_nulls(given))


def _merge_field(original: Any, given: Any, field: Schema) -> Any:
    """Merge two maps or two lists."""
    if isinstance(given, dict):
        return given if "replace" in field.patch_strategies else _merge_maps(original, given, field)
    if "merge" not in field.patch_strategies:
        return given
    items = field.items
    assert items is not None, "a list that is merged has items in the schema"
    return lists.merged_list(original, given, field.patch_merge_key, lambda old, new: _merge_maps(old, new, items))


def _field(schema: Schema, name: str) -> Schema:
    if (field := schema.properties.get(name)) is not None:
        return field
    if schema.properties:
        raise broken(f'unable to find api field in struct for the json field "{name}"')
    raise broken("merging an object in json but data type is not struct, instead is: map")
