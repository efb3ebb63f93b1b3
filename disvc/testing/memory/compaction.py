"""The path that the server over HTTP has for its client in another process, and a kube-apiserver has not."""

from typing import Final

__all__ = ["COMPACT_PATH"]

COMPACT_PATH: Final = "/disvc.testing/compact"
"""A POST here forgets all but the current state, and answers with its revision."""
