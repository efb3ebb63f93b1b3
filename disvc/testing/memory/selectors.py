"""Label and field selectors, read once into a predicate.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors,
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from disvc.testing.memory import errors
from disvc.testing.memory.label_selectors import label_predicate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]
    Predicate = Callable[[Value], bool]

__all__ = ["Selector", "check_syntax", "selector", "selects", "text_of"]

_FIELD = re.compile(r"(?P<path>[^=!,]*)(?P<operator>==|!=|=)(?P<value>(?:[^\\,=]|\\[\\,=])*)(?:,|$)")
_ESCAPED = re.compile(r"\\([\\,=])")


class Selector(NamedTuple):
    """What a list or a watch asks for. `matches` is None where it asks for everything."""

    matches: Predicate | None
    name: str = ""
    """The one name that can match, "" for any."""
    namespace: str = ""
    """The one namespace that can match, "" for any."""


def selector(resource: ResourceType, labels: str, fields: str) -> Selector:
    """Read a labelSelector and a fieldSelector. Raises `Refused` (400) where one cannot be read."""
    predicates: list[Predicate] = []
    if labels.strip():
        predicates.append(_of_labels(label_predicate(labels)))
    names = {"metadata.name": "", "metadata.namespace": ""}
    for path, value, wanted in _field_terms(fields):
        get = _field_getter(resource, path)
        if wanted and path in names:
            names[path] = value
        predicates.append(_of_field(get, value, wanted=wanted))
    if not predicates:
        return Selector(None)
    return Selector(_all(predicates), names["metadata.name"], names["metadata.namespace"])


def check_syntax(labels: str, fields: str) -> None:
    """Raise `Refused` (400) where a labelSelector or a fieldSelector cannot be read, whatever it is of."""
    label_predicate(labels)
    list(_field_terms(fields))


def selects(selector: Value, labels: Mapping[str, str]) -> bool:
    """Return whether labels fit a metav1.LabelSelector, as objects have them; an empty one fits all."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _expression_fits(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def text_of(selector: Value) -> str:
    """Return a metav1.LabelSelector as a query parameter and a command line have it, "" for an empty one."""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        match expression["operator"]:
            case "In":
                text = f"{key} in ({values})"
            case "NotIn":
                text = f"{key} notin ({values})"
            case "Exists":
                text = key
            case _:
                text = f"!{key}"
        terms.append((key, text))
    return ",".join(text for _, text in sorted(terms))


def _expression_fits(expression: Value, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _all(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda value: all(predicate(value) for predicate in predicates)


def _of_labels(matches: Callable[[Mapping[str, str]], bool]) -> Predicate:
    return lambda value: matches(value["metadata"].get("labels") or {})


def _of_field(get: Callable[[Value], str], wanted_value: str, *, wanted: bool) -> Predicate:
    return lambda value: (get(value) == wanted_value) == wanted


def _field_getter(resource: ResourceType, path: str) -> Callable[[Value], str]:
    if path == "metadata.name":
        return lambda value: str(value["metadata"]["name"])
    if path == "metadata.namespace" and resource.namespaced:
        return lambda value: str(value["metadata"].get("namespace", ""))
    get = resource.selectable_fields.get(path)
    if get is None and (resource.is_custom or resource.selectable_fields):
        raise errors.bad_request(f"field label not supported: {path}")
    if get is None:
        known = '"metadata.name", "metadata.namespace"'
        raise errors.bad_request(f'"{path}" is not a known field selector: only {known}')
    return get


def _field_terms(text: str) -> Iterable[tuple[str, str, bool]]:
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None:
            term = text[position:].split(",", maxsplit=1)[0]
            raise errors.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        if match["path"] or match["value"]:  # a kube-apiserver takes a lone "=" for nothing
            yield match["path"], _ESCAPED.sub(r"\1", match["value"]), match["operator"] != "!="
        position = match.end()
