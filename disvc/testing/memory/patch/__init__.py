"""The kinds of patch but apply: JSON patch, JSON merge patch, strategic merge patch.

Each is a function from an object, which it does not change, and a decoded patch to the patched object.
"""

from disvc.testing.memory.patch.json_patch import json_patch, unknown_fields
from disvc.testing.memory.patch.merge_patch import merge_patch
from disvc.testing.memory.patch.strategic import strategic_merge

__all__ = ["json_patch", "merge_patch", "strategic_merge", "unknown_fields"]
