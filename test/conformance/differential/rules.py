"""What is not compared letter by letter, and why: the one table of exceptions. Everything else must be equal.

docs/reference/in-memory-api-server.md has the same table, under Differences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from differential.absent import ABSENT
from differential.kinds.custom import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from differential.learned import Learned

    Path = tuple[str, ...]
    Value = dict[str, Any]

__all__ = ["ARRANGED", "RULES", "Rule"]

CUSTOM_GROUPS: Final = frozenset(definition["spec"]["group"] for definition in DEFINITIONS)


@dataclass(frozen=True)
class Rule:
    """How values at certain places are compared; `agree` also learns from them."""

    what: str
    reason: str
    applies: Callable[[Path, Any, Any], bool]
    agree: Callable[[Path, Any, Any, Learned], bool]


@dataclass(frozen=True)
class Arranged:
    """What a kube-apiserver says in an order by chance; both sides are put in one order before they are compared."""

    what: str
    reason: str
    applies: Callable[[Path], bool]
    arrange: Callable[[Any], Any]


def _texts(left: object, right: object) -> bool:
    return isinstance(left, str) and isinstance(right, str)


def _is_revision(path: Path, left: object, right: object) -> bool:
    named = path[-2:] == ("metadata", "resourceVersion")
    return named and _texts(left, right) and str(left).isdigit() and str(right).isdigit()


def _revisions_agree(path: Path, left: str, right: str, learned: Learned) -> bool:
    if left == right and int(left) < 2:
        return True
    agree = learned.points_agree if path[0] == "list" else learned.changes_agree
    return agree(int(left), int(right))


_NUMBER_IN_TEXT: Final = re.compile(
    r"(?<=resource version: )\d+(?: \(\d+\))?"
    r"|(?<=current: )\d+"
    r"|(?<=Code: 4, Key: )[^,]+"
    r"|(?<=Invalid value: )\[\{.*\}\](?=: Only one reference)"
    r"|(?<=Invalid value: )(?:\[\]|\{\}|null)(?=:)"
    r"|, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    r"|(?<=in the precondition \()\d+(?=\))|(?<=in record \()\d+(?=\))"
    r'|(?<=odePort)\\*":\d+'
    r'|(?<=resourceVersion)\\*":\\*"\d+'
    r"|20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
)
_NODE_PORTS: Final = range(30000, 32800)
_AGE: Final = re.compile(r"(\d+[smh])+")


_CUT: Final = re.compile(
    r"(failed to create typed patch object \([^)]*\): |json parse error: |continue key is not valid: "
    r'|error decoding (?:patch|YAML): |patch: Invalid value: |^Invalid value: (?="(?:\{|map\[))).*',
    re.DOTALL,
)


def _messages_agree(_: Path, left: str, right: str, learned: Learned) -> bool:
    """Compare what is between commas, in any order, and without revisions and times."""
    left, right = (_CUT.sub(r"\1", _NUMBER_IN_TEXT.sub("", text)) for text in (left, right))
    if learned.texts_agree(left, right):
        return True
    one, other = (" ".join(sorted(re.split(", |[][]", text))) for text in (left, right))
    return learned.texts_agree(one, other)


RULES: Final = (
    Rule(
        "resourceVersion",
        "Each server counts in its own way. Those of objects must map one to one and in order; that of a list must"
        " lie after the same changes.",
        _is_revision,
        _revisions_agree,
    ),
    Rule(
        "of an error's words: revisions, times and storage keys, the order of causes, why a body cannot be read or has"
        " no type, the object that a bad patch makes, the media types of streams",
        "Numbers and keys are the server's own. A kube-apiserver goes through maps in Go's random order, and of a patch"
        " that does not fit its schema names those misfits that it has found first. Another parser has other words for"
        " what is no JSON.",
        lambda path, left, right: path[-1] == "message" and _texts(left, right),
        _messages_agree,
    ),
    Rule(
        "times that the server sets",
        "The servers answer one after the other. Both must lie within the run.",
        lambda _, left, right: _texts(left, right) and left[:2] == right[:2] == "20" and left.endswith("Z"),
        lambda _, left, right, learned: left == right or (learned.is_recent(left) and learned.is_recent(right)),
    ),
    Rule(
        "metadata.continue",
        "A continue token means something to its server only. Both or neither must have one.",
        lambda path, left, right: path[-2:] == ("metadata", "continue") and _texts(left, right),
        lambda _, left, right, __: bool(left) == bool(right),
    ),
    Rule(
        "node ports, and cluster IPs, also within texts",
        "A kube-apiserver allocates by chance; in memory they follow from namespace and name. Both or neither must have"
        " one.",
        lambda path, *_: path[-1] in {"nodePort", "healthCheckNodePort"},
        lambda _, left, right, __: left in _NODE_PORTS and right in _NODE_PORTS,
    ),
    Rule(
        "ages in tables",
        "The servers answer one after the other, and an age is in whole seconds.",
        lambda path, left, right: "cells" in path and _texts(left, right) and bool(_AGE.fullmatch(left)),
        lambda _, left, right, __: bool(_AGE.fullmatch(right)),
    ),
    Rule(
        "UIDs and generated names, also within texts",
        "Made by chance. They must map one to one.",
        lambda _, left, right: _texts(left, right),
        lambda _, left, right, learned: learned.texts_agree(left, right),
    ),
)


def _manager(entry: Value) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in ("operation", "manager", "apiVersion", "subresource"))


def _map_of(cause: Value) -> str:
    return str(cause.get("field", "")).partition("[")[0]


def _arranged_causes(details: Any) -> Any:
    """Drop causes that are there twice. Sort all for conflicts and custom resources, else those of one map in a row."""
    causes = details.get("causes") if isinstance(details, dict) else None
    if not causes:
        return details
    causes = [cause for index, cause in enumerate(causes) if cause not in causes[:index]]
    in_any_order = (
        details.get("group") in CUSTOM_GROUPS
        or details.get("kind") == "Service"
        or causes[0].get("reason") == "FieldManagerConflict"
    )
    groups = [causes] if in_any_order else (list(group) for _, group in groupby(causes, _map_of))
    return details | {"causes": [cause for group in groups for cause in sorted(group, key=str)]}


_WARNINGS: Final = re.compile(
    r'299 - "(?:(?:json patch )?(?:unknown|duplicate) field|metadata.finalizers|error)(?:[^"\\]|\\.)*"'
)


def _our_warnings(header: Any) -> Any:
    return (_WARNINGS.findall(header) or ABSENT) if isinstance(header, str) else header


def _kind_and_metadata(event: Any) -> Any:
    if not isinstance(event, dict) or event.get("type") != "BOOKMARK":
        return event
    kept = ("kind", "apiVersion", "metadata")
    return event | {"object": {name: event["object"][name] for name in kept if name in event["object"]}}


ARRANGED: Final = (
    Arranged(
        "the object of a bookmark",
        "Of its kind only kind and metadata count; what else Go writes of an empty object differs from kind to kind.",
        lambda path: len(path) == 1,
        _kind_and_metadata,
    ),
    Arranged(
        "warnings",
        "Not all that a kube-apiserver advises against in built-in kinds is warned of: compared are those about unknown"
        " and duplicate fields, and about finalizers of custom resources.",
        lambda path: path == ("header", "warning"),
        _our_warnings,
    ),
    Arranged(
        "managedFields",
        "Sorted by time first, which is in whole seconds: whether two managers wrote in one second is chance.",
        lambda path: path[-1] == "managedFields",
        lambda entries: sorted(entries, key=_manager) if isinstance(entries, list) else entries,
    ),
    Arranged(
        "causes of a 409 by server-side apply, of a 422 of a custom resource or a Service, or about keys of one map;"
        " causes that come twice",
        "A kube-apiserver goes through maps in Go's random order, and checks metadata twice for some kinds.",
        lambda path: path[-1] == "details",
        _arranged_causes,
    ),
)
