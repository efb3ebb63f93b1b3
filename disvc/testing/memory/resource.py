"""What the server serves: one kind under one API version, and what is particular about it.

A `ResourceType` says it all to the rest of the server: paths and names for discovery, the schema, how objects are
defaulted, prepared and validated (its `Strategy`), and how they are printed. Built-in kinds are declared in
`disvc.testing.memory.builtin`; a CustomResourceDefinition makes one for each version that it serves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from disvc.testing.memory.formats import dns_subdomain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["ALL_VERBS", "Column", "Conversion", "ResourceType", "Scale", "Strategy"]

ALL_VERBS: Final = frozenset({"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"})


class Strategy(Protocol):
    """What is particular about a kind. All methods are pure but for the objects they may change in place.

    The server has already decoded the object, set apiVersion and kind, checked the metadata that every kind has in
    common, and applied `default` to whatever it read from a request. Objects handed over as `old` must not be changed.
    """

    def default(self, obj: Value) -> None:
        """Fill in what the API declares as defaults, in place."""
        ...

    def prepare_for_create(self, obj: Value) -> None:
        """Drop what a client may not set (status), and set what the server gives (a clusterIP), in place."""
        ...

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep what an update may not change (status, for kinds with that subresource), in place."""
        ...

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong with a new object, or with an update of `old`; `subresource` is "" or `status`."""
        ...


@dataclass(frozen=True)
class Column:
    """A column of a Table: a metav1.TableColumnDefinition, and how to get a cell from an object.

    `priority` 0 is shown always, above that only with `-o wide`. `cell` gets the object and the time now.
    """

    name: str
    type: str
    cell: Callable[[Value, datetime], object]
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Scale:
    """Where the scale subresource reads and writes: field paths without the leading dot, e.g. `spec.replicas`."""

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""


@dataclass(frozen=True)
class Conversion:
    """How a kind is stored that is kept under another API version than the one it is served under."""

    group: str
    version: str
    to_stored: Callable[[Value], Value]
    """Makes of an object the one to store; apiVersion included, the argument is not changed."""
    from_stored: Callable[[Value], Value]
    """Makes of a stored object the one to serve."""


@dataclass(frozen=True)
class ResourceType:
    """One kind, served under one group and version."""

    group: str
    """"" for the core group."""
    version: str
    kind: str
    plural: str
    strategy: Strategy
    namespaced: bool = True
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    schema: Schema | None = None
    """The shape of the whole object; None where anything goes."""
    has_status: bool = False
    """Whether there is a status subresource, and so no other way to write the status."""
    scale: Scale | None = None
    generation_follows: Callable[[Value], object] | None = None
    """What of an object makes metadata.generation grow when it changes, None where that is not kept."""
    columns: Sequence[Column] = ()
    selectable_fields: Mapping[str, Callable[[Value], str]] = field(default_factory=dict)
    """Field selectors beside metadata.name and metadata.namespace."""
    is_custom: bool = False
    """Whether a CustomResourceDefinition made it."""
    stored_as: Conversion | None = None
    """None where objects are stored as they are served. The plural is the same."""
    check_name: Callable[[str], Sequence[str]] = dns_subdomain
    """Returns what is wrong with metadata.name, as the messages of an `Invalid value`."""
    decode: Callable[[Value], tuple[Value, Sequence[str]]] | None = None
    """Reads an object of a request as Go's decoder would, and returns it with the paths of fields that it dropped as
    unknown; raises `Refused` (400) for a value of a wrong type. The argument is not changed. For built-in kinds, whose
    decoding is stricter than pruning; None where pruning by the schema is all."""
    deprecation: str = ""
    """The warning that every answer about this kind carries; "" for none."""
    verbs: frozenset[str] = ALL_VERBS
    """What can be done with it; of `ALL_VERBS`."""
    allows_create_on_update: bool = False
    """Whether a PUT of an object that is not there creates it."""
    allows_unconditional_update: bool = True
    """Whether a PUT need not say a resourceVersion."""
    answers_deleted_object: bool = False
    """Whether a DELETE answers with the object that is gone, and not with a Status."""
    default_propagation: Literal["Background", "Orphan"] = "Background"
    """What becomes of dependents where a DELETE does not say."""
    grace_period: Callable[[Value, int | None], int] | None = None
    """For how many seconds an object is terminating before it goes, given what a DELETE asks for; None: it goes."""

    @property
    def api_version(self) -> str:
        """Return `group/version`, or just the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """Return `plural.group`, or just the plural in the core group: what messages and discovery say."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage(self) -> tuple[str, str]:
        """Return group and plural under which its objects are stored; types that share them serve the same objects."""
        return (self.stored_as.group if self.stored_as else self.group), self.plural
