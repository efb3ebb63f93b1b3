"""Server-side apply: who owns which field of an object, and how applied configurations are merged.

`FieldManager` is all that the server calls. Pure functions of values and schemas; time is passed in.
"""

from disvc.testing.memory.apply.managers import FieldManager, keep_times

__all__ = ["FieldManager", "keep_times"]
