"""Which objects an informer holds: a resource, its namespaces, and selectors; and whether one object belongs.

The server does the selecting. It is repeated here for one purpose: a cache takes in what this process has just
written (see `informer`), and has to know whether that still belongs to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import structlog

from disvc.runtime.arguments import check_instance, check_listed
from disvc.runtime.objects import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from disvc.runtime.objects import Object

T = TypeVar("T")

_log = structlog.get_logger("disvc.selection")

_REQUIREMENT = re.compile(
    r"\s*(?:!\s*(?P<absent>[^\s!=<>,()]+)"
    r"|(?P<key>[^\s!=<>,()]+)\s*(?:(?P<operator>==|=|!=)\s*(?P<value>[^\s!=<>,()]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,(?=\s*\S)|$)"
)
_FIELD = re.compile(r"(?P<path>[^\s!=,]+)(?P<operator>==|=|!=)(?P<value>(?:[^\\,=]|\\[\\,=])*)(?:,|$)")
_ESCAPED = re.compile(r"\\([\\,=])")


@lru_cache(maxsize=256)
def _requirements(pattern: re.Pattern[str], selector: str) -> tuple[dict[str, str | None], ...]:
    found, position = [], 0
    while position < len(selector):
        match = pattern.match(selector, position)
        if match is None:
            raise ValueError(f"selector {selector!r} cannot be read from {selector[position:]!r} on")
        found.append(match.groupdict())
        position = match.end()
    return tuple(found)


def labels_match(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a label selector. Raises `ValueError` where the selector cannot be read.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
    """
    return all(_label_fits(r, labels) for r in _requirements(_REQUIREMENT, selector))


def _label_fits(requirement: dict[str, str | None], labels: Mapping[str, str]) -> bool:
    if requirement["absent"]:
        return requirement["absent"] not in labels
    value = labels.get(requirement["key"] or "")
    if requirement["set"]:
        values = [v.strip() for v in (requirement["values"] or "").split(",")]
        return (value in values) == (requirement["set"] == "in")
    if requirement["operator"]:
        return (value == requirement["value"]) == (requirement["operator"] != "!=")
    return value is not None


def fields_match(selector: str, value: Any) -> bool:
    """Whether a decoded object fits a field selector; an absent field is the empty string.

    A comma, an equals sign or a backslash in a value is written with a backslash before it. Raises
    `ValueError` where the selector cannot be read.
    https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
    """
    for requirement in _requirements(_FIELD, selector):
        found = value
        for part in (requirement["path"] or "").split("."):
            found = found.get(part) if isinstance(found, dict) else None
        text = "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)
        wanted = _ESCAPED.sub(r"\1", requirement["value"] or "")
        if (text == wanted) != (requirement["operator"] != "!="):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Selection(Generic[T]):
    """A resource, and which of its objects.

    `namespaces` is empty for all of them, and for a resource that has none. `transform` gets an object's JSON
    and returns the JSON to keep: it may drop what nobody reads (`drop_managed_fields`), and never metadata that
    a cache is asked by.
    Equal selections share one informer.
    """

    resource: Resource[T]
    namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    field_selector: str = ""
    transform: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        check_instance("resource of a Selection", self.resource, (Resource,))
        check_listed(f"namespaces of a Selection of {self.resource}", self.namespaces, (str,))
        _requirements(_REQUIREMENT, self.label_selector)
        _requirements(_FIELD, self.field_selector)
        object.__setattr__(self, "namespaces", tuple(sorted(set(self.namespaces))) if self.resource.namespaced else ())

    def read(self, raw: bytes | msgspec.Raw) -> Object[T]:
        """Return the object to keep: transformed, or as it is where the transform fails. Raises `DecodeError`.

        An object that were left out for a failing transform would look as if it had been deleted.
        """
        if self.transform is not None:
            try:
                return self.resource.read(self.transform(bytes(raw)))
            except Exception:
                obj = self.resource.read(raw)
                _log.exception("transform failed; the object is kept as the server sent it", object=repr(obj))
                return obj
        return self.resource.read(raw)

    def holds(self, obj: Object[Any]) -> bool:
        """Whether an object of the resource belongs to this selection."""
        metadata = obj.metadata
        if self.namespaces and metadata.namespace not in self.namespaces:
            return False
        if self.label_selector and not labels_match(self.label_selector, metadata.labels):
            return False
        return not self.field_selector or fields_match(self.field_selector, msgspec.json.decode(obj.raw))

    def __str__(self) -> str:
        """Return what a person would call this."""
        words = [str(self.resource)]
        if self.namespaces:
            words.append("in " + ",".join(self.namespaces))
        words += [s for s in (self.label_selector, self.field_selector) if s]
        return " ".join(words)


def drop_managed_fields(raw: bytes) -> bytes:
    """Return the object without metadata.managedFields, often the largest part that no controller reads."""
    body = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    metadata = msgspec.json.decode(body["metadata"], type=dict[str, msgspec.Raw])
    if metadata.pop("managedFields", None) is None:
        return raw
    body["metadata"] = msgspec.Raw(msgspec.json.encode(metadata))
    return msgspec.json.encode(body)
