"""The volumes of a Pod, and how containers mount them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.downward import IN_VOLUMES, field_reference
from disvc.testing.memory.builtin.validation.fields import formatted, required
from disvc.testing.memory.causes import child, item
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["volume_mounts", "volumes"]

_REFERENCES: Final = {
    "secret": "secretName",
    "configMap": "name",
    "persistentVolumeClaim": "claimName",
    "hostPath": "path",
}
_FILE_MODE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
_MODES: Final = range(0o777 + 1)
_SHORTEST_TOKEN_S: Final = 600


def volumes(path: str, given: list[Value]) -> tuple[list[Cause], Collection[str]]:
    """Check volumes; return what is wrong, and the names of those in which nothing is."""
    found: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(given):
        at = item(path, index)
        wrong = [*_source(at, volume), *required(child(at, "name"), volume["name"], formats.dns_label)]
        if volume["name"] in names:
            wrong.append(causes.duplicate(child(at, "name"), volume["name"]))
        if not wrong:
            names.add(volume["name"])
        found += wrong
    return found, names


def _source(path: str, volume: Value) -> Iterator[Cause]:
    types = [name for name in volume if name != "name"]
    if not types:
        yield causes.required(path, "must specify a volume type")
    for name in types[1:]:
        yield causes.forbidden(child(path, name), "may not specify more than 1 volume type")
    for name in types[:1]:
        yield from _contents(child(path, name), name, volume[name])


def _contents(path: str, name: str, source: Value) -> Iterator[Cause]:
    if (reference := _REFERENCES.get(name)) and not source.get(reference):
        yield causes.required(child(path, reference))
    if source.get("defaultMode", 0) not in _MODES:
        yield causes.invalid(child(path, "defaultMode"), source["defaultMode"], _FILE_MODE)
    if name == "emptyDir" and amount(source.get("sizeLimit", "0")) < 0:
        yield causes.forbidden(child(path, "sizeLimit"), "SizeLimit field must be a valid resource quantity")
    yield from _files(path, source)
    if name == "projected":
        for index, projection in enumerate(source["sources"] or ()):
            yield from _projection(path, item(child(path, "sources"), index), projection)


def _projection(path: str, at: str, projection: Value) -> Iterator[Cause]:
    """Check what the projected volume at `path` has from one source."""
    for kind, source in projection.items():
        if kind in {"secret", "configMap"} and not source.get("name"):
            yield causes.required(f"{at}.{kind}.name")
        yield from _files(f"{at}.{kind}", source)
        if kind == "serviceAccountToken":
            if source["expirationSeconds"] < _SHORTEST_TOKEN_S:
                why = "may not specify a duration less than 10 minutes"
                yield causes.invalid(f"{at}.{kind}.expirationSeconds", source["expirationSeconds"], why)
            yield from _local_path(child(path, "path"), source["path"])


def _files(path: str, source: Value) -> Iterator[Cause]:
    """Check the files that a volume, or a source of one, takes from what it shows."""
    for index, entry in enumerate(source.get("items", ())):
        at = item(child(path, "items"), index)
        if "key" in entry:
            if not entry["key"]:
                yield causes.required(child(at, "key"))
            yield from _local_path(child(at, "path"), entry["path"])
        else:
            # A file of the downward API is told by its volume.
            at = path
            yield from _local_path(child(path, "path"), entry["path"])
        if entry.get("mode", 0) not in _MODES:
            yield causes.invalid(child(at, "mode"), entry["mode"], _FILE_MODE)
        if (reference := entry.get("fieldRef")) is not None:
            yield from field_reference(child(path, "fieldRef"), reference, IN_VOLUMES)
        elif "key" not in entry and "resourceFieldRef" not in entry:
            yield causes.required(path, "one of fieldRef and resourceFieldRef is required")


def _local_path(at: str, path: str) -> Iterator[Cause]:
    if not path:
        yield causes.required(at)
    yield from formatted(at, path, _descending)
    if path.startswith("..") and not path.startswith("../"):
        yield causes.invalid(at, path, "must not start with '..'")


def volume_mounts(path: str, mounts: list[Value], names: Collection[str]) -> Iterator[Cause]:
    """Check where a container mounts volumes of those names."""
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at = item(path, index)
        if not mount["name"]:
            yield causes.required(child(at, "name"))
        if mount["name"] not in names:
            yield causes.not_found(child(at, "name"), mount["name"])
        mount_path = mount["mountPath"]
        if not mount_path:
            yield causes.required(child(at, "mountPath"))
        if mount_path in seen:
            yield causes.invalid(child(at, "mountPath"), mount_path, "must be unique")
        seen.add(mount_path)
        if sub_path := mount.get("subPath"):
            yield from formatted(child(path, "subPath"), sub_path, _descending)


def _descending(path: str) -> Iterator[str]:
    if path.startswith("/"):
        yield "must be a relative path"
    if ".." in path.split("/"):
        yield "must not contain '..'"
