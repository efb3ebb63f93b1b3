"""The optional dependencies of `disvc.local`, and what is said where they are absent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_NEEDED: Final = {
    "kserve": "kserve",
    "kserve_storage": "kserve",
    "sklearn": "scikit-learn",
    "joblib": "joblib",
    "grpc": "grpcio",
}
"""The distribution of each module that model servers import."""


class MissingExtra(ImportError):
    """Packages are absent that only the extra `local` installs."""


def require() -> None:
    """Raise `MissingExtra` where model servers cannot be run; nothing is imported."""
    missing = sorted({name for module, name in _NEEDED.items() if find_spec(module) is None})
    if missing:
        raise MissingExtra(
            f"model servers on this machine need {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'disvc[local]'"
        )
