"""KServe's storage-initializer: `python -m disvc.local.storage URI FOLDER` fetches a model into a folder.

The work is that of kserve-storage, which knows gs://, s3://, https://, hf://, file:// and more, with the credentials
that its libraries find in this user's environment. What it says of a URI that it cannot fetch, and its exit code 1,
become the status of the pod's init container, and so the ISVC's.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Final
from urllib.request import getproxies

from kserve_storage import Storage
from kserve_storage.logging import configure_logging, logger

if TYPE_CHECKING:
    from collections.abc import Sequence


_GCS: Final = "storage.googleapis.com"


def main(args: Sequence[str]) -> None:
    """Fetch what the first argument names into the folder that the second does."""
    uri, folder = args
    configure_logging()
    os.environ.setdefault(
        "NO_GCE_CHECK", "true"
    )  # no metadata server is asked for credentials: this is no cloud machine
    logger.info("Initializing, args: src_uri [%s] dest_path [%s]", uri, folder)
    if uri.startswith("gs://") and not getproxies():
        _reach(_GCS)
    Storage.download(uri, folder)


def _reach(host: str) -> None:
    """Raise `RuntimeError` where a machine has no network: Google's library tries for two minutes before it says so."""
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        raise RuntimeError(f"Failed to connect to GCS endpoint '{host}': {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
