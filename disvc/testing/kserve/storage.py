"""Which storageUris KServe supports."""

from __future__ import annotations

import re
from typing import Final

PREFIXES: Final = (
    "gs://",
    "s3://",
    "pvc://",
    "file://",
    "https://",
    "http://",
    "hdfs://",
    "webhdfs://",
    "oci://",
    "oci+native://",
    "hf://",
)
_WITHOUT_INITIALIZER: Final = ("pvc://", "oci://", "oci+native://")
_SCHEME: Final = re.compile(r"\w+?://")


class UnsupportedUri(Exception):
    """KServe does not know the scheme of a storageUri."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"StorageURI not supported: storageUri, must be one of: [{', '.join(PREFIXES)}] or match "
            f"https://{{}}.blob.core.windows.net/{{}}/{{}} or be an absolute or relative local path. "
            f"StorageUri [{uri}] is not supported"
        )


def check(uri: str) -> None:
    """Raise `UnsupportedUri` for a scheme that is not known; without one it is a local path."""
    if _SCHEME.search(uri) and not uri.startswith(PREFIXES):
        raise UnsupportedUri(uri)


def needs_initializer(uri: str) -> bool:
    """Whether a storage-initializer fetches the model; volumes and images are mounted."""
    return not uri.startswith(_WITHOUT_INITIALIZER)
