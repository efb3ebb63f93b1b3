"""What a request asks for beside its object: the options of lists, watches, writes and deletes.

They come as query parameters; those of a delete may come as a body. A value that cannot be read is a 400, one that is
not allowed a 422, in the words of k8s.io/apimachinery/pkg/apis/meta.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, errors
from disvc.testing.memory.selectors import check_syntax

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["DeleteOptions", "ListOptions", "WriteOptions", "boolean", "integer", "manager_problems"]

_EXACT: Final = "Exact"
_NOT_OLDER: Final = "NotOlderThan"
_MANAGER_MAX: Final = 128
_INT64: Final = range(-(2**63), 2**63)
_PROPAGATION: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """The options of a list, a watch or a deletecollection."""

    is_watch: bool
    label_selector: str
    field_selector: str
    resource_version: str
    match: str
    """resourceVersionMatch: `Exact`, `NotOlderThan` or ""."""
    limit: int
    continue_token: str
    timeout_seconds: int
    """0 where none is given."""
    bookmarks: bool
    initial_events: bool | None

    @classmethod
    def read(cls, query: Mapping[str, str], *, is_watch: bool = False) -> ListOptions:
        """Read the options of a request. Raises `Refused`."""
        check_syntax(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        options = cls(
            is_watch,
            query.get("labelSelector", ""),
            query.get("fieldSelector", ""),
            query.get("resourceVersion", ""),
            query.get("resourceVersionMatch", ""),
            integer(query, "limit") or 0,
            query.get("continue", ""),
            integer(query, "timeoutSeconds") or 0,
            boolean(query, "allowWatchBookmarks") or False,
            boolean(query, "sendInitialEvents"),
        )
        problems = options._watch_problems() if is_watch else options._list_problems()
        if problems:
            raise errors.invalid("meta.k8s.io", "ListOptions", "", problems)
        return options

    @property
    def starts_with_state(self) -> bool:
        """Whether a watch tells of all there is before it tells of what happens."""
        if self.initial_events is None:
            return not self.match and self.resource_version in ("", "0")
        return self.initial_events

    def _list_problems(self) -> list[Cause]:
        found: list[Cause] = []
        path = "resourceVersionMatch"
        if self.match:
            if not self.resource_version:
                found.append(causes.forbidden(path, f"{path} is forbidden unless resourceVersion is provided"))
            if self.continue_token:
                found.append(causes.forbidden(path, f"{path} is forbidden when continue is provided"))
            if self.match not in (_EXACT, _NOT_OLDER):
                found.append(causes.not_supported(path, self.match, (_EXACT, _NOT_OLDER, "")))
            if self.match == _EXACT and self.resource_version == "0":
                found.append(causes.forbidden(path, f'{path} "exact" is forbidden for resourceVersion "0"'))
        if self.initial_events is not None:
            found.append(causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        return found

    def _watch_problems(self) -> list[Cause]:
        found: list[Cause] = []
        path = "resourceVersionMatch"
        if self.initial_events is not None and self.match != _NOT_OLDER:
            why = f"sendInitialEvents requires setting resourceVersionMatch to {_NOT_OLDER}"
            found.append(causes.forbidden(path, why))
        if self.match:
            if self.initial_events is None:
                why = f"{path} is forbidden for watch unless sendInitialEvents is provided"
                found.append(causes.forbidden(path, why))
            if self.match != _NOT_OLDER:
                found.append(causes.not_supported(path, self.match, (_NOT_OLDER,)))
            if self.continue_token:
                found.append(causes.forbidden(path, f"{path} is forbidden when continue is provided"))
        return found


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The options of a create, an update or a patch."""

    dry_run: bool
    manager: str
    """The fieldManager, "" where none is given."""
    validation: str
    """fieldValidation: `Ignore`, `Warn` or `Strict`."""
    force: bool | None

    @classmethod
    def read(cls, query: Mapping[str, str], kind: str, *, is_apply: bool = False) -> WriteOptions:
        """Read the options of a request; `kind` is that of the options, e.g. `CreateOptions`. Raises `Refused`."""
        manager, validation, dry_run = (query.get(name, "") for name in ("fieldManager", "fieldValidation", "dryRun"))
        force = boolean(query, "force")
        found: list[Cause] = []
        if is_apply and not manager:
            found.append(causes.required("fieldManager", "is required for apply patch"))
        if kind == "PatchOptions" and not is_apply and force is not None:
            found.append(causes.forbidden("force", "may not be specified for non-apply patch"))
        found += manager_problems(manager, "fieldManager")
        found += _dry_run_problems([dry_run] if "dryRun" in query else [])
        if validation not in ("", "Ignore", "Warn", "Strict"):
            found.append(causes.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
        if found:
            raise errors.invalid("meta.k8s.io", kind, "", found)
        return cls(bool(dry_run), manager, validation or "Warn", force)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """The options of a delete or a deletecollection."""

    dry_run: bool = False
    grace_period_seconds: int | None = None
    propagation: str = ""
    """`Foreground`, `Background`, `Orphan`, or "" where none is given."""
    uid: str | None = None
    resource_version: str | None = None
    accepted: bool = False
    """Whether what is not gone at once is answered by 202: orphanDependents was given as false."""

    @classmethod
    def read(cls, given: Value) -> DeleteOptions:
        """Read a DeleteOptions, or the query parameters of that name. Raises `Refused`."""
        dry_run = given.get("dryRun") or []
        propagation, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
        found: list[Cause] = []
        if orphan is not None and propagation is not None:
            why = "orphanDependents and deletionPropagation cannot be both set"
            found.append(causes.invalid("propagationPolicy", propagation, why))
        if propagation is not None and propagation not in _PROPAGATION:
            found.append(causes.not_supported("propagationPolicy", propagation, (*_PROPAGATION, "nil")))
        found += _dry_run_problems(dry_run)
        if found:
            raise errors.invalid("meta.k8s.io", "DeleteOptions", "", found)
        if orphan is not None:
            propagation = "Orphan" if orphan else "Background"
        preconditions = given.get("preconditions") or {}
        return cls(
            bool(dry_run),
            given.get("gracePeriodSeconds"),
            propagation or "",
            preconditions.get("uid"),
            preconditions.get("resourceVersion"),
            accepted=orphan is False,
        )

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> DeleteOptions:
        """Read the query parameters. Raises `Refused`."""
        given: Value = {
            "gracePeriodSeconds": integer(query, "gracePeriodSeconds"),
            "orphanDependents": boolean(query, "orphanDependents"),
            "propagationPolicy": query.get("propagationPolicy"),
        }
        if "dryRun" in query:
            given["dryRun"] = [query["dryRun"]]
        return cls.read(given)


def manager_problems(manager: str, path: str) -> list[Cause]:
    """Return what is wrong with the name of a field manager."""
    found = [causes.too_long(path, _MANAGER_MAX)] if len(manager.encode()) > _MANAGER_MAX else []
    for position, character in enumerate(manager):
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {len(manager[:position].encode())})"
            found.append(causes.invalid(path, manager, why))
    return found


def _dry_run_problems(given: Sequence[str]) -> list[Cause]:
    if all(value == "All" for value in given):
        return []
    return [causes.not_supported("dryRun", list(given), ("All",))]


def integer(query: Mapping[str, str], name: str) -> int | None:
    """Read a number of 64 bits, None where none is given. Raises `Refused` (400)."""
    text = query.get(name)
    if text is None:
        return None
    if not re.fullmatch("[+-]?[0-9]+", text):
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if int(text) not in _INT64:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def boolean(query: Mapping[str, str], name: str) -> bool | None:
    """Read a flag as apimachinery does: whatever is there, but for "false" and "0", is true."""
    text = query.get(name)
    return None if text is None else text.lower() not in ("false", "0")
