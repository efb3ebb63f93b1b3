"""get and list: what there is, or was at an older revision.

https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from disvc.testing.memory import causes, errors
from disvc.testing.memory.answers import list_answer, object_answer, value_answer
from disvc.testing.memory.options import ListOptions
from disvc.testing.memory.selectors import Selector, selector
from disvc.testing.memory.subresources import check_has_replicas, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.runtime.transport import Answer
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store, Version

    Value = dict[str, Any]

__all__ = ["Page", "get", "list_", "page_of", "revision_of", "selected_range"]

_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


def get(store: Store, call: Call) -> Answer:
    """Answer with one object as it is now; `resourceVersion` says how old it must not be."""
    version = call.request.query.get("resourceVersion", "")
    _check_not_too_new(store, revision_of(version))
    found = store.of(call.resource).get(call.key())
    if found is None:
        raise errors.not_found(call.resource, call.name)
    seen = found.seen_as(call.resource)
    if call.subresource == "scale":
        check_has_replicas(call.resource, seen.value)
        return value_answer(call, scale_of(call.resource, seen.value))
    return object_answer(call, seen)


def list_(store: Store, call: Call) -> Answer:
    """Answer with the objects of a collection, a page of them where there is a limit."""
    page = page_of(store, call)
    return list_answer(call, page.metadata(), page.versions)


def revision_of(text: str) -> int:
    """Read a resourceVersion; "" is 0. Raises `Refused` (500, as a kube-apiserver does for gets and watches)."""
    if not text:
        return 0
    if not text.isdecimal() or int(text) >= 2**64:
        why = "value out of range" if text.isdecimal() else "invalid syntax"
        cause = causes.invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": {why}')
        raise errors.Refused(500, "", str(cause))
    return int(text)


def selected_range(call: Call, wanted: Selector) -> tuple[str, str]:
    """Return the range of keys in which all that a selector selects must be."""
    first, end = call.key_range
    if wanted.namespace and not first and call.resource.namespaced:
        first, end = f"{wanted.namespace}/", f"{wanted.namespace}0"
    if wanted.name and (first or not call.resource.namespaced):
        first = f"{first}{wanted.name}"
        end = f"{first}\0"
    return first, end


class Page(NamedTuple):
    """A part of a list, or all of it."""

    versions: Sequence[Version]
    revision: int
    continue_token: str = ""
    remaining: int | None = None

    def metadata(self) -> Value:
        """Return its ListMeta."""
        metadata: Value = {"resourceVersion": str(self.revision)}
        if self.continue_token:
            metadata["continue"] = self.continue_token
            if self.remaining is not None:
                metadata["remainingItemCount"] = self.remaining
        return metadata


class _Token(msgspec.Struct):
    """A continue token: the key, within the namespace, from which on to continue, and the revision of the first page.

    A revision of -1 is whatever is newest then.
    """

    rv: int
    start: str
    v: str = "meta.k8s.io/v1"


def page_of(store: Store, call: Call) -> Page:
    """Return what the options of a list, in a request's query, ask for. Raises `Refused`."""
    options = ListOptions.read(call.request.query)
    wanted = selector(call.resource, options.label_selector, options.field_selector)
    prefix = call.key_range[0]
    first, end = selected_range(call, wanted)
    if options.continue_token:
        token = _decode_token(options)
        first = max(first, prefix + token.start)
        revision = _continued_revision(store, token)
    else:
        is_single = bool(end) and end == f"{first}\0"
        revision = _list_revision(store, options, is_single=is_single)
    versions = store.of(call.resource).at(revision, first, end)
    limit = 0 if options.resource_version == "0" else max(0, options.limit)
    selected: list[Version] = []
    for index, version in enumerate(versions):
        seen = version.seen_as(call.resource)
        if wanted.matches is None or wanted.matches(seen.value):
            selected.append(seen)
            if len(selected) == limit and index + 1 < len(versions):
                start = f"{version.key}\0".removeprefix(prefix)
                remaining = len(versions) - limit if wanted.matches is None else None
                return Page(selected, revision, _encode_token(_Token(revision, start)), remaining)
    return Page(selected, revision)


def _list_revision(store: Store, options: ListOptions, *, is_single: bool) -> int:
    """Return the revision that a list without a continue token is of; a limit on one name is none."""
    try:
        revision = revision_of(options.resource_version)
    except errors.Refused as refused:
        raise errors.bad_request(f"invalid resource version: {refused.message}") from refused
    _check_not_too_new(store, revision)
    is_exact = options.match == "Exact" or (not options.match and options.limit > 0 and not is_single)
    if not revision or not is_exact:
        return store.revision
    if revision < store.compacted:
        raise errors.expired("The resourceVersion for the provided list is too old.")
    return revision


def _continued_revision(store: Store, token: _Token) -> int:
    if token.rv < 0:
        return store.revision
    if token.rv < store.compacted:
        raise errors.expired(_TOO_OLD, continue_token=_encode_token(_Token(-1, token.start)))
    return token.rv


def _check_not_too_new(store: Store, revision: int) -> None:
    if revision > store.revision:
        raise errors.too_new(revision, store.revision)


def _encode_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _decode_token(options: ListOptions) -> _Token:
    text = options.continue_token
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
        if token.v != "meta.k8s.io/v1" or not token.rv or not token.start:
            raise ValueError(f"incorrect encoded start resourceVersion (version {token.v})")
    except ValueError as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    if options.resource_version not in ("", "0"):
        raise errors.bad_request("specifying resource version is not allowed when using continue")
    return token
