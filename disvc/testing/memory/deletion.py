"""delete and deletecollection: gone at once, or terminating until grace period and finalizers let it go.

As in k8s.io/apiserver, pkg/registry/rest/delete.go and pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import yaml

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory import decoding, errors, holders
from disvc.testing.memory.answers import list_answer, object_answer, value_answer
from disvc.testing.memory.builtin.decoding import Unreadable, read
from disvc.testing.memory.holders import NAMESPACES, is_holder, marked
from disvc.testing.memory.metadata import FOREGROUND, ORPHAN, normalise
from disvc.testing.memory.options import DeleteOptions
from disvc.testing.memory.reading import page_of
from disvc.testing.memory.store import Version

if TYPE_CHECKING:
    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Answer
    from disvc.testing.memory.admission import Admission
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]

_KIND: Final = "DeleteOptions"
_DEFINITION: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

__all__ = ["Deleter", "is_due"]


class Deleter:
    """Carries out deletes."""

    def __init__(self, store: Store, environment: Environment, admission: Admission) -> None:
        self._store = store
        self._environment = environment
        self._admission = admission

    async def delete(self, call: Call) -> Answer:
        """Delete one object, or begin to."""
        options = _options(call)
        while True:
            current = self._store.of(call.resource).get(call.key())
            if current is None:
                raise errors.not_found(call.resource, call.name)
            old = current.seen_as(call.resource).value
            _check_preconditions(call.resource, old["metadata"], options)
            await self._admission.check_delete(call, old, dry_run=options.dry_run)
            if self._store.of(call.resource).get(call.key()) is current:
                break
        last, is_gone = self.remove(call.resource, current, options)
        if not is_gone:
            return object_answer(call, last, 202 if options.accepted else 200)
        if call.resource.answers_deleted_object:
            return object_answer(call, last)
        return value_answer(call, _gone(call.resource, last))

    async def delete_collection(self, call: Call) -> Answer:
        """Delete all objects of a selection, or of one page of it; the answer is how they were."""
        page = page_of(self._store, call)
        options = _options(call)
        for version in page.versions:
            self.remove(call.resource, version, options)
        return list_answer(call, page.metadata(), page.versions)

    def remove(self, resource: ResourceType, version: Version, options: DeleteOptions) -> tuple[Version, bool]:
        """Delete an object, and return its last version and whether it is gone. Raises `Refused` (409)."""
        current = version.seen_as(resource)
        old = current.value["metadata"]
        _check_preconditions(resource, old, options)
        changed = self._changed(resource, current.value, options)
        if changed is None:
            return current, False
        normalise(changed)
        stays = _waits(resource, changed)
        if changed["metadata"] != old and (stays or resource.grace_period is not None):
            current = self._marked(current, changed, options)
        if stays or options.dry_run:
            return current, not stays
        return self._store.remove(resource, current.key), True

    def _marked(self, version: Version, obj: Value, options: DeleteOptions) -> Version:
        if options.dry_run:
            return Version(version.resource, version.key, obj, version.revision)
        return self._store.put(version.resource, version.key, obj)

    def _changed(self, resource: ResourceType, obj: Value, options: DeleteOptions) -> Value | None:
        """Return what a DELETE makes of an object; None where it goes on terminating as it does."""
        if is_holder(resource):
            if "deletionTimestamp" not in obj["metadata"]:
                return marked(resource, obj, options, metav1_time(self._environment.clock.now()))
            if (obj.get("spec") or {}).get("finalizers"):
                return None
        return self._terminating(resource, obj, options)

    def _terminating(self, resource: ResourceType, obj: Value, options: DeleteOptions) -> Value | None:
        """Return the object as it is once it is being deleted; None where that goes on already and stays as it is."""
        old = obj["metadata"]
        asked = options.grace_period_seconds
        asked = 1 if asked is not None and asked < 0 else asked
        grace = 0
        meta = dict(old)
        now = self._environment.clock.now()
        is_graceful = resource.grace_period is not None and old.get("deletionGracePeriodSeconds") != 0
        if resource.grace_period is not None and is_graceful:
            if "deletionTimestamp" in old:
                left = old["deletionGracePeriodSeconds"]
                if asked is None or asked >= left:
                    return None
                return {**obj, "metadata": _sooner(meta, asked, now)}
            grace = resource.grace_period(obj, asked)
        finalizers = _finalizers(resource, old, options)
        if finalizers:
            meta["finalizers"] = finalizers
        else:
            meta.pop("finalizers", None)
        if finalizers or is_graceful:
            if "deletionTimestamp" not in old:
                meta["deletionTimestamp"] = metav1_time(now + timedelta(seconds=grace))
                if old.get("generation"):
                    meta["generation"] = old["generation"] + 1
            meta["deletionGracePeriodSeconds"] = grace
        return {**obj, "metadata": meta}


def is_due(resource: ResourceType, obj: Value, old: Value) -> bool:
    """Return whether an update makes a terminating object go: it takes the last finalizer, and no grace is left."""
    before = old["metadata"]
    return (
        "deletionTimestamp" in before
        and not obj["metadata"].get("finalizers")
        and not before.get("deletionGracePeriodSeconds")
        and not (resource.storage == NAMESPACES and obj["spec"].get("finalizers"))
    )


def _waits(resource: ResourceType, obj: Value) -> bool:
    """Return whether an object that is being deleted stays for now."""
    meta = obj["metadata"]
    is_full = resource.storage == NAMESPACES and obj["spec"].get("finalizers")
    return bool(is_full or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"))


def _options(call: Call) -> DeleteOptions:
    """Read the options of a delete: of the body, or of the query where there is none. Raises `Refused`."""
    if not call.request.body:
        return DeleteOptions.of_query(call.request.query)
    try:
        given, _ = decoding.read_body(call)
        if not isinstance(given, dict | None):
            raise ValueError(f"json: an object is expected, not {given!r}")
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(decoding.why_unreadable(error)) from error
    given = given or {}
    kind, version = given.get("kind", _KIND), given.get("apiVersion", "meta.k8s.io/v1")
    if kind != _KIND:
        why = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        raise errors.bad_request(why)
    try:
        return DeleteOptions.read(read(_DEFINITION, given)[0])
    except Unreadable as error:
        raise errors.bad_request(str(error)) from error


def _check_preconditions(resource: ResourceType, meta: Value, options: DeleteOptions) -> None:
    """Check what the client believes the object to be. Raises `Refused` (409), which names the kind, as the server."""
    if is_holder(resource):
        holders.check_preconditions(resource, meta, options)
    what = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": meta["name"], "group": resource.group, "kind": resource.kind}
    if options.uid is not None and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version is not None and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({meta['resourceVersion']}). The object might have been modified"
        )
    else:
        return
    message = f'Operation cannot be fulfilled on {what} "{meta["name"]}": {why}'
    details = {key: value for key, value in details.items() if value}
    raise errors.Refused(409, "Conflict", message, details=details)


def _finalizers(resource: ResourceType, meta: Value, options: DeleteOptions) -> list[str]:
    """Return the finalizers with those that the garbage collector waits for, as the policy of the delete wants it."""
    names = meta.get("finalizers") or []
    policy = options.propagation
    if not policy:
        marks = {ORPHAN: "Orphan", FOREGROUND: "Foreground"}
        policy = next((marks[name] for name in names if name in marks), resource.default_propagation)
    kept = [name for name in names if name not in (ORPHAN, FOREGROUND)]
    match policy:
        case "Orphan":
            return [*kept, ORPHAN]
        case "Foreground":
            return [*kept, FOREGROUND]
        case _:
            return kept


def _sooner(meta: Value, seconds: int, now: datetime) -> Value:
    """Return metadata whose grace period is shortened, though its end is not moved into the past."""
    given = datetime.fromisoformat(meta["deletionTimestamp"])
    end = given + timedelta(seconds=seconds - meta["deletionGracePeriodSeconds"])
    if end < now:
        end, seconds = now, min(seconds, 1)
    return {**meta, "deletionTimestamp": metav1_time(end), "deletionGracePeriodSeconds": seconds}


def _gone(resource: ResourceType, last: Version) -> Value:
    meta = last.value["metadata"]
    details = {"name": meta["name"], "group": resource.group, "kind": resource.plural, "uid": meta["uid"]}
    details = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
