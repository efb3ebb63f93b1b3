"""Content negotiation: which of the server's representations a request's Accept header asks for.

As in k8s.io/apiserver (pkg/endpoints/handlers/negotiation): the parameters `as`, `v` and `g` of a media type ask for
the answer as another kind, a Table for example. What the server cannot give is passed over for the next media type.
There is no protobuf here; clients that prefer it name JSON after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ["DISCOVERY", "JSON", "OBJECTS", "PLAIN", "YAML", "Conversion", "MediaType", "negotiate", "not_acceptable"]

JSON: Final = "application/json"
YAML: Final = "application/yaml"
_AVAILABLE: Final = (JSON, YAML)
_SAID_TO_BE_AVAILABLE: Final = (*_AVAILABLE, "application/vnd.kubernetes.protobuf")
"""In the words of a kube-apiserver, which has protobuf."""


class Conversion(NamedTuple):
    """The kind that an answer is to be given as."""

    kind: str
    version: str
    group: str


class MediaType(NamedTuple):
    """What was agreed on."""

    name: str = JSON
    """`application/json` or `application/yaml`."""
    conversion: Conversion | None = None
    """None for the answer as it is."""


PLAIN: Final[AbstractSet[Conversion]] = frozenset()
"""The conversions of what is only given as it is."""

OBJECTS: Final[AbstractSet[Conversion]] = frozenset(
    Conversion(kind, version, "meta.k8s.io")
    for kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
    for version in ("v1", "v1beta1")
)
"""The conversions of objects, lists and the objects in watches."""

DISCOVERY: Final[AbstractSet[Conversion]] = frozenset(
    {Conversion("APIGroupDiscoveryList", "v2", "apidiscovery.k8s.io")}
)
"""The conversion of `/api` and `/apis`."""


def negotiate(accept: str, conversions: AbstractSet[Conversion] = OBJECTS) -> MediaType:
    """Return the media type to answer with.

    Args:
        accept: the header, "" where there is none.
        conversions: those that the answer has.

    Raises:
        Refused: 406, none of them is to be had.

    """
    clauses = [_Clause.parse(text) for text in accept.split(",")] if accept else [_Clause("*/*", 1.0, None)]
    if not any(clause.name == "*/*" or clause.name in _AVAILABLE for clause in clauses):
        message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(_SAID_TO_BE_AVAILABLE)}"
        raise Refused(406, "NotAcceptable", message, details={})
    for clause in sorted(clauses, key=lambda clause: -clause.quality):
        if clause.conversion is None or clause.conversion in conversions:
            for name in _AVAILABLE:
                if clause.name in {name, "application/*", "*/*"}:
                    return MediaType(name, clause.conversion)
    raise not_acceptable()


def not_acceptable() -> Refused:
    """Return the 406 of an object that is not to be had in any form that the client accepts."""
    accepted = ", ".join(_SAID_TO_BE_AVAILABLE)
    return Refused(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")


class _Clause(NamedTuple):
    name: str
    quality: float
    conversion: Conversion | None

    @classmethod
    def parse(cls, text: str) -> _Clause:
        name, *rest = (part.strip() for part in text.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        asked = Conversion(*(parameters.get(key, "") for key in ("as", "v", "g")))
        try:
            quality = float(parameters.get("q", 1.0))
        except ValueError:
            quality = 1.0
        return cls(name, quality, asked if any(asked) else None)
