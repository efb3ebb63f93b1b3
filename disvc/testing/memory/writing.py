"""create, update and patch: from what a request says to the object that is stored.

An update or a patch is tried on the object as it is. Where a webhook was waited for and the object has changed
meanwhile, it is tried again on what there is then, as the API server's guaranteed update does; so nothing is awaited
between the last look at an object and its write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.testing.memory import causes, decoding, deletion, errors, metadata
from disvc.testing.memory.answers import object_answer
from disvc.testing.memory.formats import path_segment
from disvc.testing.memory.options import WriteOptions
from disvc.testing.memory.store import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Answer
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]

__all__ = ["Writer"]

_NAME_ATTEMPTS: Final = 8
_NAME_CHARACTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_PREFIX_MAX: Final = 58
_PATCHES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_SYSTEM_FIELDS: Final = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_NOT_THE_LATEST: Final = "the object has been modified; please apply your changes to the latest version and try again"


class Writer:
    """Carries out creates, updates and patches."""

    def __init__(self, store: Store, environment: Environment) -> None:
        self._store = store
        self._environment = environment

    async def create(self, call: Call) -> Answer:
        """Create the object of the body."""
        options = WriteOptions.read(call.request.query, "CreateOptions")
        obj = decoding.read_object(call, options.validation)
        for name in _SYSTEM_FIELDS:
            obj["metadata"].pop(name, None)
        self._check_namespace(call, obj)
        return object_answer(call, await self._create(call, options, obj), 201)

    async def update(self, call: Call) -> Answer:
        """Replace an object, or its status, by that of the body."""
        options = WriteOptions.read(call.request.query, "UpdateOptions")
        given = decoding.read_object(call, options.validation)
        self._check_namespace(call, given)
        self._check_name(call, given)
        creates = call.resource.allows_create_on_update
        return await self._write(call, options, lambda _: copied(given), creates=creates)

    async def patch(self, call: Call) -> Answer:
        """Change an object, or its status, by a patch."""
        options = WriteOptions.read(call.request.query, "PatchOptions")
        if decoding.media_type(call) != "application/merge-patch+json":
            raise errors.unsupported_media_type(_PATCHES)
        patch = msgspec.json.decode(call.request.body)

        def merge(old: Value | None) -> Value:
            assert old is not None
            obj = decoding.known(call, copied(_merged(old, patch)), options.validation, [])
            self._check_namespace(call, obj)
            self._check_name(call, obj)
            return obj

        return await self._write(call, options, merge, creates=False)

    async def _create(self, call: Call, options: WriteOptions, given: Value) -> Version:
        """Store a new object, under a name made from generateName where it has none."""
        resource = call.resource
        name = ""
        for _ in range(_NAME_ATTEMPTS):
            obj = copied(given)
            generated = self._generate_name(obj["metadata"])
            self._prepare_new(call, obj)
            name = obj["metadata"]["name"]
            existing = self._store.of(resource).get(call.key(name))
            if existing is None:
                return self._commit(call, options, call.key(name), obj)
            if not generated:
                is_terminating = "deletionTimestamp" in existing.value["metadata"]
                raise errors.already_exists(resource, name, is_terminating=is_terminating)
        raise errors.no_unique_name(resource, name)

    def _generate_name(self, meta: Value) -> bool:
        prefix = meta.get("generateName", "")
        if meta.get("name") or not prefix:
            return False
        meta["name"] = prefix[:_PREFIX_MAX] + "".join(self._environment.random.choices(_NAME_CHARACTERS, k=5))
        return True

    def _prepare_new(self, call: Call, obj: Value) -> None:
        """Make of what a client says the object to store, in place. Raises `Refused` where it is not valid."""
        resource, meta = call.resource, obj["metadata"]
        meta["uid"] = self._environment.new_uid()
        meta["creationTimestamp"] = self._environment.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        resource.strategy.default(obj)
        resource.strategy.prepare_for_create(obj)
        if resource.generation_follows is not None:
            meta["generation"] = 1
        problems = metadata.new_problems(resource, meta, resource.check_name)
        problems += resource.strategy.validate(obj, None, call.subresource)
        if problems:
            raise errors.invalid(resource.group, resource.kind, meta.get("name", ""), problems)
        if meta.get("resourceVersion"):
            raise errors.Refused(500, "", "resourceVersion should not be set on objects to be created")
        metadata.normalise(obj)

    async def _write(
        self, call: Call, options: WriteOptions, change: Callable[[Value | None], Value], *, creates: bool
    ) -> Answer:
        """Change an object; `change` gets it as it is, or None where `creates` lets a new one be made."""
        collection = self._store.of(call.resource)
        while True:
            current = collection.get(call.key())
            if current is None and not creates:
                raise errors.not_found(call.resource, call.name)
            if current is None:
                return object_answer(call, await self._create(call, options, change(None)), 201)
            old = current.seen_as(call.resource).value
            obj = change(old)
            if collection.get(call.key()) is current:
                return object_answer(call, self._replace(call, options, obj, current))

    def _replace(self, call: Call, options: WriteOptions, obj: Value, current: Version) -> Version:
        """Store the new version of an object, unless it is as the old one; or let it go."""
        old = current.seen_as(call.resource).value
        self._prepare_changed(call, obj, old)
        if deletion.is_due(obj, old):
            return self._remove(call, options, obj)
        if obj == old:
            return current.seen_as(call.resource)
        return self._commit(call, options, call.key(), obj)

    def _prepare_changed(self, call: Call, obj: Value, old: Value) -> None:
        """Make of what a client says the object to store, in place. Raises `Refused` where it cannot follow the old."""
        resource, meta, before = call.resource, obj["metadata"], old["metadata"]
        self._check_preconditions(call, meta, before)
        meta["generation"] = before.get("generation", 0)
        resource.strategy.default(obj)
        resource.strategy.prepare_for_update(obj, old)
        meta["uid"] = meta.get("uid") or before["uid"]
        meta["creationTimestamp"] = before["creationTimestamp"]
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            if name in before:
                meta[name] = before[name]
        follows = resource.generation_follows
        if follows is not None and follows(obj) != follows(old):
            meta["generation"] = before.get("generation", 0) + 1
        problems = metadata.new_problems(resource, meta, path_segment) + metadata.change_problems(meta, before)
        problems += resource.strategy.validate(obj, old, call.subresource)
        if problems:
            raise errors.invalid(resource.group, resource.kind, call.name, problems)
        metadata.normalise(obj)

    def _check_preconditions(self, call: Call, meta: Value, before: Value) -> None:
        """Check uid and resourceVersion of the request, and fill in the version where it need not say one."""
        resource = call.resource
        uid, version = meta.get("uid"), meta.get("resourceVersion")
        if uid and uid != before["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['uid']}"
            raise errors.conflict(resource, call.name, why)
        if not version and resource.allows_unconditional_update:
            meta["resourceVersion"] = before["resourceVersion"]
        elif not version:
            cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(resource.group, resource.plural, call.name, [cause])
        elif version != before["resourceVersion"]:
            raise errors.conflict(resource, call.name, _NOT_THE_LATEST)

    def _commit(self, call: Call, options: WriteOptions, key: str, obj: Value) -> Version:
        if options.dry_run:
            return Version(call.resource, key, obj, self._store.revision)
        return self._store.put(call.resource, key, obj)

    def _remove(self, call: Call, options: WriteOptions, obj: Value) -> Version:
        """Let an object go whose last finalizer this write has taken; the answer is what was written."""
        if not options.dry_run:
            self._store.remove(call.resource, call.key())
        return Version(call.resource, call.key(), obj, self._store.revision)

    @staticmethod
    def _check_namespace(call: Call, obj: Value) -> None:
        """Give an object the namespace of the path. Raises `Refused` where it says another one."""
        meta = obj["metadata"]
        if not call.resource.namespaced:
            meta.pop("namespace", None)
        elif meta.setdefault("namespace", call.namespace) != call.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    @staticmethod
    def _check_name(call: Call, obj: Value) -> None:
        name = obj["metadata"].get("name", "")
        if not name:
            why = f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided"
            raise errors.bad_request(why)
        if name != call.name:
            raise errors.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({call.name})"
            )


def copied(value: Value) -> Value:
    """Return a copy that shares nothing with the original."""
    copy: Value = msgspec.json.decode(msgspec.json.encode(value))
    return copy


def _merged(target: Value, patch: Value) -> Value:
    """Return a JSON merge patch's result (RFC 7386)."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            known = result.get(name)
            result[name] = _merged(known if isinstance(known, dict) else {}, value)
        else:
            result[name] = value
    return result
