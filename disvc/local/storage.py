"""KServe's storage-initializer: `python -m disvc.local.storage URI FOLDER` fetches a model into a folder.

The work is that of kserve-storage, which knows gs://, s3://, https://, hf://, file:// and more, with the credentials
that its libraries find in this user's environment. What it says of a URI that it cannot fetch, and its exit code 1,
become the status of the pod's init container, and so the ISVC's.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from kserve_storage import Storage
from kserve_storage.logging import configure_logging, logger

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(args: Sequence[str]) -> None:
    """Fetch what the first argument names into the folder that the second does."""
    uri, folder = args
    configure_logging()
    os.environ.setdefault(
        "NO_GCE_CHECK", "true"
    )  # no metadata server is asked for credentials: this is no cloud machine
    logger.info("Initializing, args: src_uri [%s] dest_path [%s]", uri, folder)
    Storage.download(uri, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
