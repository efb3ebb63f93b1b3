"""What is asked of a pod's log: a PodLogOptions, as the API server and, from it, the kubelet get it in a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory import causes, errors, go_time
from disvc.testing.memory.options import boolean, integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.memory.errors import Cause

__all__ = ["LogOptions"]

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The options of a request for a log; None where nothing is asked for."""

    container: str
    """"" where the pod has only one."""
    follow: bool
    previous: bool
    timestamps: bool
    since_seconds: int | None
    since_time: str | None
    """A metav1.Time."""
    tail_lines: int | None
    limit_bytes: int | None

    @classmethod
    def read(cls, query: Mapping[str, str], pod: str) -> LogOptions:
        """Read the options of a request for the log of a pod of this name. Raises `Refused` (400, 422)."""
        options = cls(
            query.get("container", ""),
            boolean(query, "follow") or False,
            boolean(query, "previous") or False,
            boolean(query, "timestamps") or False,
            integer(query, "sinceSeconds"),
            _time(query, "sinceTime"),
            integer(query, "tailLines"),
            integer(query, "limitBytes"),
        )
        problems = options._problems()
        if "stream" in query:  # the feature gate PodLogsQuerySplitStreams is off
            problems.append(causes.forbidden("stream", "may not be specified"))
        if problems:
            raise errors.invalid("", "PodLogOptions", pod, problems)
        return options

    def query(self) -> str:
        """Return the query by which a kubelet is asked for the same, in alphabetical order."""
        flags = {"follow": self.follow, "previous": self.previous, "timestamps": self.timestamps}
        values = {
            "limitBytes": self.limit_bytes,
            "sinceSeconds": self.since_seconds,
            "sinceTime": self.since_time,
            "tailLines": self.tail_lines,
        }
        asked = {name: "true" for name, given in flags.items() if given}
        asked |= {name: str(value) for name, value in values.items() if value is not None}
        return urlencode(sorted(asked.items()))

    def _problems(self) -> list[Cause]:
        found = []
        if self.tail_lines is not None and self.tail_lines < 0:
            found.append(causes.invalid("tailLines", self.tail_lines, "must be greater than or equal to 0"))
        if self.limit_bytes is not None and self.limit_bytes < 1:
            found.append(causes.invalid("limitBytes", self.limit_bytes, "must be greater than 0"))
        if self.since_seconds is not None and self.since_time is not None:
            why = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            found.append(causes.forbidden("[]", why))
        elif self.since_seconds is not None and self.since_seconds < 1:
            found.append(causes.invalid("sinceSeconds", self.since_seconds, "must be greater than 0"))
        return found


def _time(query: Mapping[str, str], name: str) -> str | None:
    text = query.get(name)
    if not text:
        return None if text is None else _ZERO_TIME
    try:
        return metav1_time(go_time.seconds(text))
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
