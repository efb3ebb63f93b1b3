"""Which deltas are worth a reconcile: small functions from a `Delta` to a bool, to be combined.

Each lets creations and deletions pass, as controller-runtime's do, and decides on updates; a resync, where
nothing has changed, passes none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.runtime.arguments import check_function, check_functions

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.delta import Delta
    from disvc.runtime.objects import Object

    Predicate = Callable[[Delta[Any]], bool]


def _changed(what: Callable[[Object[Any]], object]) -> Predicate:
    def predicate(delta: Delta[Any]) -> bool:
        return delta.old is None or delta.new is None or what(delta.old) != what(delta.new)

    return predicate


generation_changed = _changed(lambda obj: obj.metadata.generation)
"""The spec has changed; changes of status and metadata alone are passed over."""

labels_changed = _changed(lambda obj: obj.metadata.labels)
"""A label was added, changed or removed."""

annotations_changed = _changed(lambda obj: obj.metadata.annotations)
"""An annotation was added, changed or removed."""

resource_version_changed = _changed(lambda obj: obj.metadata.resource_version)
"""Something has changed: resyncs are passed over."""


def any_of(*predicates: Predicate) -> Predicate:
    """Pass what at least one of the predicates passes."""
    check_functions("predicates of any_of", predicates)
    return lambda delta: any(predicate(delta) for predicate in predicates)


def all_of(*predicates: Predicate) -> Predicate:
    """Pass what all of the predicates pass."""
    check_functions("predicates of all_of", predicates)
    return lambda delta: all(predicate(delta) for predicate in predicates)


def negate(predicate: Predicate) -> Predicate:
    """Pass what the predicate does not pass."""
    check_function("predicate of negate", predicate)
    return lambda delta: not predicate(delta)
