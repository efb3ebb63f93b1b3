"""What becomes of an ISVC on its way through KServe's Go types, before the CRD's own validation: the webhook is first.

A value of another type than the field's is refused by Go's decoder, with a 400. A required field that is missing is
written back with Go's zero value, so that the CRD never misses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
}
_ZERO: Final[dict[str, Any]] = {"string": "", "integer": 0, "boolean": False}


def round_trip(value: Any, schema: Value, path: str) -> Any:
    """Return a value as Go writes it back after reading it; `schema` is the CRD's for it.

    Raises `TypeError` with Go's words where the types do not fit.
    """
    kind = schema.get("type")
    if kind is None or value is None:
        return value
    if not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        found = "number" if isinstance(value, float) else next(k for k, t in _TYPES.items() if type(value) in t)
        raise TypeError(f"json: cannot unmarshal {found} into Go struct field {path} of type {kind}")
    if isinstance(value, list):
        return [round_trip(item, schema["items"], path) for item in value]
    if isinstance(value, dict):
        fields, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        missing = [name for name in schema.get("required", ()) if name not in value]
        value = {**{name: _ZERO.get(fields[name]["type"], {}) for name in missing}, **value}
        return {name: round_trip(item, fields.get(name, other), f"{path}.{name}") for name, item in value.items()}
    return value
