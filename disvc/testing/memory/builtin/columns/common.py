"""How a column is declared, and what many have in common."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.definitions import definitions
from disvc.testing.memory.durations import human_duration
from disvc.testing.memory.resource import Column
from disvc.testing.memory.selectors import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Value = dict[str, Any]

__all__ = [
    "AGE",
    "CREATED_AT",
    "NAME",
    "NONE",
    "column",
    "containers",
    "count",
    "field",
    "selector_text",
    "since",
    "sorted_labels",
    "timed",
    "wide",
    "with_more",
]

NONE: Final = "<none>"
_UNKNOWN: Final = "<unknown>"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def column(
    name: str,
    cell: Callable[[Value], object],
    of: str,
    *,
    type: str = "string",  # noqa: A002 - the field's name
    priority: int = 0,
) -> Column:
    """Declare a column whose cell depends on the object alone.

    `of` is what the column is: a description, or a field as `io.k8s.api.core.v1.PodStatus.podIP`, whose description
    that is then.
    """
    return Column(name, type, lambda obj, _: cell(obj), description=_description(of), priority=priority)


def wide(name: str, cell: Callable[[Value], object], of: str) -> Column:
    """Declare a column that is shown with `-o wide` only."""
    return column(name, cell, of, priority=1)


def timed(name: str, cell: Callable[[Value, datetime], object], of: str, priority: int = 0) -> Column:
    """Declare a column whose cell depends on the time, too."""
    return Column(name, "string", cell, description=_description(of), priority=priority)


def _description(of: str) -> str:
    definition, _, name = of.rpartition(".")
    if (known := definitions().get(definition)) is None:
        return of
    return str(known["properties"][name]["description"])


def field(path: str, default: object = "") -> Callable[[Value], Any]:
    """Return what gets a field of an object by its path, like `status.replicas`; the default where it is not there."""
    names = path.split(".")

    def get(obj: Value) -> object:
        value: Any = obj
        for name in names:
            value = value.get(name)
            if value is None:
                return default
        return value

    return get


def count(path: str) -> Callable[[Value], int]:
    """Return what gets the number of items of a list or a map."""
    get = field(path, ())
    return lambda obj: len(get(obj))


def since(time: str | None, now: datetime) -> str:
    """Return how long ago something was."""
    return human_duration(now - datetime.fromisoformat(time)) if time else _UNKNOWN


def with_more(listed: Sequence[str], limit: int, separator: str = ",") -> str:
    """Return the first items of a list, and how many there are more."""
    text = separator.join(listed[:limit])
    return f"{text} + {len(listed) - limit} more..." if len(listed) > limit else text


def sorted_labels(labels: Mapping[str, str] | None) -> str:
    """Return labels as `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def selector_text(selector: Value | None) -> str:
    """Return a metav1.LabelSelector as one writes it on a command line."""
    return text_of(selector or {}) or NONE


def containers(path: str) -> tuple[Column, Column]:
    """Return the wide columns of the containers of a template."""
    get = field(path, ())
    return (
        wide(
            "Containers",
            lambda obj: ",".join(each["name"] for each in get(obj)),
            "Names of each container in the template.",
        ),
        wide(
            "Images",
            lambda obj: ",".join(each.get("image", "") for each in get(obj)),
            "Images referenced by each container in the template.",
        ),
    )


def _age(obj: Value, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


NAME: Final = Column(
    "Name", "string", lambda obj, _: obj["metadata"].get("name", ""), "name", _description(f"{_META}.name")
)
AGE: Final = Column("Age", "string", _age, description=_description(f"{_META}.creationTimestamp"))
CREATED_AT: Final = Column(
    "Created At", "date", lambda obj, _: obj["metadata"].get("creationTimestamp"), description=AGE.description
)
