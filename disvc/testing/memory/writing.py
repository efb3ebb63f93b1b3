"""create, update and patch: from what a request says to the object that is stored.

A change is tried on the object as it is. Where a webhook was waited for and the object has changed meanwhile, it is
tried again on what there is then, as the API server's guaranteed update does: nothing is awaited between the last look
at an object and its write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory import causes, decoding, deletion, errors, metadata
from disvc.testing.memory.answers import object_answer, value_answer
from disvc.testing.memory.apply import keep_times
from disvc.testing.memory.field_managers import manager_name
from disvc.testing.memory.options import WriteOptions
from disvc.testing.memory.patching import check_patch_type, patch_change
from disvc.testing.memory.requests import Call, Request
from disvc.testing.memory.store import Version, copied
from disvc.testing.memory.subresources import read_scale, rescaled, scale_of, with_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Answer
    from disvc.testing.memory.admission import Admission
    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.field_managers import FieldManagers
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]
    Change = Callable[[Value | None], Value]

__all__ = ["Writer"]

_NAME_ATTEMPTS: Final = 8
_NAME_CHARACTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_PREFIX_MAX: Final = 58
_SELF: Final = "kube-apiserver"
_NOT_THE_LATEST: Final = "the object has been modified; please apply your changes to the latest version and try again"


class Writer:
    """Carries out creates, updates and patches.

    Args:
        store: where the objects are.
        environment: the time, and what names and UIDs are made of.
        managers: who keep managedFields.
        admission: what is asked before an object is stored.

    """

    def __init__(self, store: Store, environment: Environment, managers: FieldManagers, admission: Admission) -> None:
        self._store = store
        self._environment = environment
        self._managers = managers
        self._admission = admission

    async def create(self, call: Call) -> Answer:
        """Create the object of the body."""
        options = WriteOptions.read(call.request.query, "CreateOptions")
        obj = decoding.read_object(call, options.validation)
        metadata.forget_system_fields(obj["metadata"])
        decoding.check_namespace(call, obj)
        obj = self._managed(call, options, None, self._tidied(call, obj))
        return object_answer(call, await self._create(call, options, obj), 201)

    async def update(self, call: Call) -> Answer:
        """Replace an object, its status, or its scale, by that of the body."""
        options = WriteOptions.read(call.request.query, "UpdateOptions")
        if call.subresource == "scale":
            given = read_scale(call, options.validation)
        else:
            given = decoding.read_object(call, options.validation)
        decoding.check_namespace(call, given)
        decoding.check_name(call, given)

        def replace(old: Value | None) -> Value:
            uid = given["metadata"].get("uid")
            if old is not None and uid and uid != old["metadata"]["uid"]:
                raise errors.wrong_uid(call.resource, call.key(), uid, old["metadata"]["uid"])
            if old is None and uid:
                raise errors.wrong_uid(call.resource, call.key(), uid, "")
            if call.subresource == "scale":
                return self._rescaled(call, old, lambda scale: self._managed(call, options, scale, given))
            return self._managed(call, options, old, self._tidied(call, copied(given)))

        return await self._write(call, options, replace, creates=call.resource.allows_create_on_update)

    async def patch(self, call: Call) -> Answer:
        """Change an object, its status, or its scale, by a patch."""
        check_patch_type(call)
        is_apply = decoding.media_type(call) == decoding.APPLY_PATCH
        options = WriteOptions.read(call.request.query, "PatchOptions", is_apply=is_apply)
        manager = self._managers.of(call)
        patched = patch_change(call, options, manager, self._environment.clock.now)

        def change(old: Value | None) -> Value:
            obj = patched(old) if call.subresource == "scale" else self._tidied(call, patched(old))
            return obj if is_apply else self._managed(call, options, old, obj)

        if call.subresource == "scale":
            return await self._write(call, options, lambda old: self._rescaled(call, old, change))
        creates = is_apply and (not call.subresource or call.resource.allows_create_on_update)
        return await self._write(call, options, change, creates=creates)

    def seed(self, resource: ResourceType, obj: Value) -> None:
        """Store an object that is there from the start."""
        call = Call(Request("POST", ""), resource, "create", obj["metadata"].get("namespace", ""), "", "")
        obj = self._tidied(call, decoding.known(call, obj, "Ignore", []))
        self._prepare_new(call, obj)
        self._store.put(resource, call.key(obj["metadata"]["name"]), obj)

    def revise(self, resource: ResourceType, subresource: str, version: Version, obj: Value) -> Version:
        """Store what the server itself makes of an object; it goes where that takes its last finalizer."""
        current = version.seen_as(resource)
        meta = current.value["metadata"]
        request = Request("PUT", "", headers={"user-agent": _SELF})
        call = Call(request, resource, "update", meta.get("namespace", ""), meta["name"], subresource)
        options = WriteOptions(False, "", "Ignore", None)
        obj = self._managed(call, options, current.value, copied(obj))
        return self._replace(call, options, self._prepare_changed(call, obj, current.value), version)

    def put(self, resource: ResourceType, version: Version, obj: Value) -> Version:
        """Store an object as it is given, in place of a version of it."""
        normalised = copied(obj)
        metadata.normalise(normalised)
        return self._store.put(resource, version.key, normalised)

    def now(self) -> str:
        """Return the time, as metadata and conditions have it."""
        return metav1_time(self._environment.clock.now())

    def _tidied(self, call: Call, obj: Value) -> Value:
        """Return a decoded object, changed in place, with its defaults, and each owner once."""
        call.resource.strategy.default(obj)
        call.warnings += metadata.merge_owners(obj["metadata"])
        return obj

    def _managed(self, call: Call, options: WriteOptions, old: Value | None, obj: Value) -> Value:
        """Return an object with managedFields that tell what this write has set."""
        name = manager_name(call, options.manager)
        return self._managers.of(call).update(old, obj, name, self._environment.clock.now())

    def _rescaled(self, call: Call, old: Value | None, change: Callable[[Value], Value]) -> Value:
        assert old is not None
        return rescaled(call, old, self._managers.entries_of_scale(call.resource), change)

    async def _create(self, call: Call, options: WriteOptions, given: Value) -> Version:
        """Store a new object, under a name made from generateName where it has none."""
        resource = call.resource
        given = await self._admission.admit(call, given, None, dry_run=options.dry_run)
        name = ""
        for _ in range(_NAME_ATTEMPTS):
            obj = copied(given)
            is_generated = self._generate_name(obj["metadata"])
            self._prepare_new(call, obj)
            await self._admission.validate(call, obj, None, dry_run=options.dry_run)
            if obj["metadata"].get("resourceVersion") and not options.dry_run:
                raise errors.Refused(500, "", "resourceVersion should not be set on objects to be created")
            name = obj["metadata"]["name"]
            existing = self._store.of(resource).get(call.key(name))
            if existing is None:
                return self._commit(call, options, call.key(name), obj)
            if not is_generated:
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
        meta["creationTimestamp"] = self.now()
        resource.strategy.prepare_for_create(obj)
        if resource.generation_follows is not None:
            meta["generation"] = 1
        problems = _kind_problems(resource, obj) + metadata.new_problems(resource, meta)
        problems += resource.strategy.validate(obj, None, "")
        if problems:
            raise errors.invalid(resource.group, obj["kind"], meta.get("name", ""), problems)
        if resource.is_custom:
            call.warnings += metadata.finalizer_warnings(meta, {})
        metadata.normalise(obj)

    async def _write(self, call: Call, options: WriteOptions, change: Change, *, creates: bool = False) -> Answer:
        """Change an object; `change` gets it as it is, or None where `creates` lets a new one be made."""
        collection = self._store.of(call.resource)
        while True:
            current = collection.get(call.key())
            if current is None and not creates:
                raise errors.not_found(call.resource, call.name)
            if current is None:
                new = change(None)
                if uid := new["metadata"].get("uid"):
                    why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    raise errors.conflict(call.resource, call.name, why)
                _asked_version(new["metadata"].pop("resourceVersion", ""))
                metadata.forget_system_fields(new["metadata"])
                return object_answer(call, await self._create(call, options, new), 201)
            old = current.seen_as(call.resource).value
            obj = await self._admission.admit(call, change(old), old, dry_run=options.dry_run)
            obj = self._prepare_changed(call, obj, old)
            await self._admission.validate(call, obj, old, dry_run=options.dry_run)
            if collection.get(call.key()) is current:
                return self._answer(call, self._replace(call, options, obj, current))

    def _prepare_changed(self, call: Call, obj: Value, old: Value) -> Value:
        """Return the object to store for what a client says. Raises `Refused` where it cannot follow the old one."""
        resource, before = call.resource, old["metadata"]
        obj = {**obj, "metadata": {**obj["metadata"], "generation": before.get("generation", 0)}}
        self._check_version(call, obj["metadata"], before)
        if call.subresource == "status":
            obj = with_status(resource, obj, old)
        elif call.subresource == "finalize":
            obj["status"] = old["status"]
        else:
            resource.strategy.prepare_for_update(obj, old)
        meta = obj["metadata"]
        metadata.keep_system_fields(meta, before)
        follows = resource.generation_follows
        if follows is not None and call.subresource != "status" and follows(obj) != follows(old):
            meta["generation"] += 1
        problems = _kind_problems(resource, obj) + metadata.changed_problems(resource, meta, before)
        validated = call.subresource if call.subresource == "status" else ""
        problems += resource.strategy.validate(obj, old, validated)
        if problems:
            raise errors.invalid(resource.group, obj["kind"], call.name, problems)
        if resource.is_custom:
            call.warnings += metadata.finalizer_warnings(meta, before)
        metadata.normalise(obj)
        return keep_times(obj, old)

    def _check_version(self, call: Call, meta: Value, before: Value) -> None:
        """Check the resourceVersion of a request, and fill it in where the request need not say one."""
        resource, version = call.resource, _asked_version(meta.get("resourceVersion"))
        if not version and resource.allows_unconditional_update:
            meta["resourceVersion"] = before["resourceVersion"]
        elif not version:
            cause = causes.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid(resource.group, resource.plural, call.name, [cause])
        elif version != before["resourceVersion"]:
            raise errors.conflict(resource, call.name, _NOT_THE_LATEST)

    def _replace(self, call: Call, options: WriteOptions, obj: Value, current: Version) -> Version:
        """Store the new version of an object, unless it is as the old one; or let it go."""
        old = current.seen_as(call.resource)
        if deletion.is_due(call.resource, obj, old.value):
            if not options.dry_run:
                self._store.remove(call.resource, call.key())
            return Version(call.resource, call.key(), obj, self._store.revision)
        if obj == old.value:
            return old
        return self._commit(call, options, call.key(), obj)

    def _commit(self, call: Call, options: WriteOptions, key: str, obj: Value) -> Version:
        if options.dry_run:
            return Version(call.resource, key, obj, self._store.revision)
        return self._store.put(call.resource, key, obj)

    @staticmethod
    def _answer(call: Call, version: Version) -> Answer:
        if call.subresource == "scale":
            return value_answer(call, scale_of(call.resource, version.value))
        return object_answer(call, version)


def _asked_version(version: str | None) -> str:
    """Return the resourceVersion of a write, "" where there is none. Raises `Refused` (500) where it is no number."""
    if version and not version.isdecimal():
        raise errors.Refused(500, "", f'strconv.ParseUint: parsing "{version}": invalid syntax')
    return "" if version in (None, "0") else version


def _kind_problems(resource: ResourceType, obj: Value) -> list[Cause]:
    """Return what is wrong with the kind that a custom object says; of a built-in kind no other is decoded."""
    said = obj["kind"]
    return [causes.invalid("kind", said, f"must be {resource.kind}")] if said != resource.kind else []
