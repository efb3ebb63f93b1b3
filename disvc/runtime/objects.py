"""API objects as this library keeps them: bytes as the server sent them, with the metadata decoded.

A `Resource` says what kind of object an address holds and how to decode one. An `Object` is one version of
one object. It cannot be changed: `decode()` makes a new value at each call, which the caller may change
and hand to the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, cast
from urllib.parse import quote

import msgspec
from typing_extensions import TypeVar

from disvc.runtime.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T", default=dict[str, Any])


class Key(NamedTuple):
    """Names one object of a resource: what a queue holds, a reconciler gets, and a cache is asked for."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return `namespace/name`, or only the name where there is no namespace."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


Request = Key
"""What a reconciler gets: the key of the object to reconcile."""


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One of metav1's owner references."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False

    @property
    def group(self) -> str:
        """Return the API group, "" for the core one."""
        return self.api_version.rpartition("/")[0]


_NOTHING = msgspec.Raw(b"null")
_decode_map = msgspec.json.Decoder(dict[str, str] | None).decode
_decode_owners = msgspec.json.Decoder(tuple[OwnerReference, ...] | None).decode


class Metadata(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The part of metav1.ObjectMeta that a controller decides by.

    Maps and owner references are kept as places in the object's JSON and decoded when asked for: as Python
    values they would take as much memory again as the JSON itself. `gc=False` is safe as nothing in here can
    refer back to it.
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    finalizers: tuple[str, ...] = ()
    _labels: msgspec.Raw = msgspec.field(name="labels", default=_NOTHING)
    _annotations: msgspec.Raw = msgspec.field(name="annotations", default=_NOTHING)
    _owner_references: msgspec.Raw = msgspec.field(name="ownerReferences", default=_NOTHING)

    @property
    def labels(self) -> Mapping[str, str]:
        """Return the labels; they cannot be changed."""
        return MappingProxyType(_decode_map(self._labels) or {})

    @property
    def annotations(self) -> Mapping[str, str]:
        """Return the annotations; they cannot be changed."""
        return MappingProxyType(_decode_map(self._annotations) or {})

    @property
    def owner_references(self) -> tuple[OwnerReference, ...]:
        """Return the owners, controlling or not."""
        return _decode_owners(self._owner_references) or ()

    @property
    def controller(self) -> OwnerReference | None:
        """Return the owner that controls this object, if it has one."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class _Envelope(msgspec.Struct, gc=False):
    metadata: Metadata


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


@lru_cache(maxsize=256)
def _decoder_of(model: Any) -> Callable[[bytes], Any]:
    validate = getattr(model, "model_validate_json", None)  # a pydantic model
    return cast("Callable[[bytes], Any]", validate or msgspec.json.Decoder(model).decode)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind of object and where the API server keeps it.

    `model` is what `Object.decode` gives: `dict` (as JSON has it), a `msgspec.Struct`, a dataclass, a
    TypedDict, or a pydantic model. `install_hint` tells a person what to do where the server does not know the kind.

        CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
        DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments", model=Deployment)
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True
    model: type[T] = cast("type[T]", dict)  # noqa: RUF009 - `cast` gives what it gets
    install_hint: str = field(default="", compare=False)

    @property
    def group(self) -> str:
        """Return the API group, "" for the core one."""
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        """Return the name that RBAC and kubectl use: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path, quoted, of the collection, of one object, or of one of its subresources.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
        """
        parts = ["/apis/" if self.group else "/api/", self.api_version]
        if namespace and self.namespaced:
            parts += "/namespaces/", quote(namespace, safe="")
        parts += "/", self.plural
        if name:
            parts += "/", quote(name, safe="")
        if subresource:
            parts += "/", subresource
        return "".join(parts)

    def read(self, raw: bytes | msgspec.Raw) -> Object[T]:
        """Return the object that `raw` holds: JSON with a `metadata`.

        Raises `DecodeError` where that is not so.
        """
        # A copy: `raw` may be a place in something much larger, or, fresh from an encoder, hold on to spare memory.
        own = bytes(memoryview(raw))
        try:
            return Object(self, _decode_envelope(own).metadata, own)
        except (ValueError, RecursionError) as error:  # msgspec's errors are, and so is that of wrong UTF-8
            raise DecodeError(f"{self}: metadata does not decode: {error}: {bytes(raw)[:200]!r}") from error

    def write(self, value: T | Mapping[str, Any]) -> dict[str, Any]:
        """Return a new dict of what JSON shows of `value`, with apiVersion and kind filled in.

        They are filled in because the items of a list do not carry them.
        """
        if isinstance(value, Object):
            raise TypeError(f"{value!r} cannot be written as it is: change what its decode() gives, and pass that")
        dump = getattr(value, "model_dump", None)  # a pydantic model
        body = dump(mode="json", by_alias=True, exclude_none=True) if dump else msgspec.to_builtins(value)
        return {"apiVersion": self.api_version, "kind": self.kind, **body}


class Object(msgspec.Struct, Generic[T], frozen=True, eq=False, gc=False):
    """One version of one API object: what the server sent, with its metadata decoded."""

    resource: Resource[T]
    metadata: Metadata
    raw: bytes

    @property
    def key(self) -> Key:
        """Return the object's key."""
        return Key(self.metadata.namespace, self.metadata.name)

    @property
    def version(self) -> int:
        """Return the resourceVersion as a number, by which versions of one object can be ordered.

        0 where it is not a number, which means that nothing can be said. That they are numbers that grow is
        a promise of the API: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
        """
        version = self.metadata.resource_version
        return int(version) if version.isdecimal() else 0

    def controller_reference(self) -> OwnerReference:
        """Return what a child's `metadata.ownerReferences` holds so that this object controls it.

        It keeps the owner from going before the child where somebody deletes in the foreground.
        """
        resource, metadata = self.resource, self.metadata
        return OwnerReference(
            resource.api_version, resource.kind, metadata.name, metadata.uid, controller=True, block_owner_deletion=True
        )

    def decode(self) -> T:
        """Return the whole object as the resource's model: a new value at each call, yours to change.

        Raises `DecodeError` (a `TerminalError`: trying again cannot help until the object is changed) where
        the object does not fit the model.
        """
        try:
            return cast("T", _decoder_of(cast("Any", self.resource.model))(self.raw))
        except (ValueError, RecursionError) as error:  # both msgspec's and pydantic's errors are ValueErrors
            raise DecodeError(
                f"{self.resource} {self.key} does not decode as {self.resource.model.__name__}: {error}"
            ) from error

    def __repr__(self) -> str:
        """Return which version of what this is."""
        return f"<{self.resource} {self.key} {self.metadata.resource_version}>"
