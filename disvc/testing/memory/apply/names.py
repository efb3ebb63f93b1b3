"""Names of field managers: which may be given, and what a client is called that gives none.

Rules: k8s.io/apimachinery/pkg/apis/meta/v1/validation and k8s.io/apiserver/pkg/endpoints/handlers/create.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from disvc.testing.memory.errors import Cause

__all__ = ["manager_of", "validate"]

_MAX_BYTES: Final = 128


def validate(name: str, path: str = "fieldManager") -> list[Cause]:
    """Return what is wrong with the name of a field manager; "" is none, and good."""
    found = []
    if len(name.encode()) > _MAX_BYTES:
        found.append(causes.too_long(path, _MAX_BYTES))
    for place, character in enumerate(name):
        if not character.isprintable():
            position = len(name[:place].encode())
            problem = f"invalid character U+{ord(character):04X} (at position {position})"
            found.append(causes.invalid(path, name, problem))
    return found


def manager_of(user_agent: str) -> str:
    """Return the name of a client that gives none: its user agent up to the first "/", as far as it is a good name."""
    name = ""
    for character in filter(str.isprintable, user_agent.partition("/")[0]):
        if len((name + character).encode()) > _MAX_BYTES:
            break
        name += character
    return name
