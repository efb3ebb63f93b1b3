"""The packages that only an extra of disvc installs, and what is said where they are absent."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, requires
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MissingExtra", "require"]

_REQUIREMENT: Final = re.compile(r"(?P<name>[\w.-]+)(\[(?P<included>\w+)\])?[^;]*; extra == .(?P<extra>\w+).")
"""As disvc's metadata has it: `cryptography>=45; extra == "testing"`, or `disvc[testing]; extra == "local"`."""


class MissingExtra(ImportError):
    """Packages are absent that only an extra installs."""


def require(extra: str, purpose: str) -> None:
    """Raise `MissingExtra` where a package of an extra is absent; nothing is imported.

    Args:
        extra: `testing` or `local`.
        purpose: what needs it, as the beginning of a sentence.

    """
    missing = sorted(name for name in _distributions(extra) if not _is_installed(name))
    if missing:
        raise MissingExtra(
            f"{purpose} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            f"pip install 'disvc[{extra}]'"
        )


def _distributions(extra: str) -> Iterator[str]:
    metadata = requires("disvc") if _is_installed("disvc") else None  # may be run from its sources
    for each in metadata or ():
        found = _REQUIREMENT.fullmatch(each)
        if found is None or found["extra"] != extra:
            continue
        if found["name"] == "disvc":
            yield from _distributions(found["included"])
        else:
            yield found["name"]


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
