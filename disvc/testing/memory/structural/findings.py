"""What the validation of a value against a schema finds: k8s.io/kube-openapi/pkg/validation's Result.

A `Findings` also counts what was in order, by which the alternative of an `anyOf` or `oneOf` is chosen whose failures
are shown: the one with the most that matched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.memory.errors import Cause

__all__ = ["Failure", "Findings"]


@dataclass(frozen=True)
class Failure:
    """One thing that is wrong.

    `message` is what kube-openapi says, by which repetitions are recognized; `cause` makes of the path of the value
    that was validated what the API server answers.
    """

    message: str
    cause: Callable[[str], Cause]


@dataclass
class Findings:
    """The failures of a value, in the order in which they were found, and the number of checks that it passed."""

    failures: list[Failure] = field(default_factory=list)
    matches: int = 0

    @property
    def is_valid(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.failures

    def add(self, message: str, cause: Callable[[str], Cause] | None = None) -> None:
        """Take in a failure, unless its message is there already.

        Without `cause`, it is one that has no field: it is shown for the value that was validated as a whole.
        """
        if all(message != failure.message for failure in self.failures):
            self.failures.append(Failure(message, cause or (lambda path: causes.invalid(path, "", message))))

    def merge(self, other: Findings) -> None:
        """Take in what was found of a part."""
        for failure in other.failures:
            self.add(failure.message, failure.cause)
        self.matches += other.matches
