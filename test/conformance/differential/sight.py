"""What one side has answered so far, and the symbols of a step replaced by it."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from differential.step import Continue, Revision, Seen, Uid, plural_of

if TYPE_CHECKING:
    from differential.step import Step

    Value = dict[str, Any]

__all__ = ["Sight"]


class Sight:
    """The memory of one side; `see` fills it, `resolve` reads it."""

    def __init__(self) -> None:
        self._objects: defaultdict[str, list[Value]] = defaultdict(list)
        self._revisions: defaultdict[str, list[str]] = defaultdict(list)
        self._tokens: dict[str, str] = {}
        self._newest: dict[str, int] = {}
        self._unsure: set[str] = set()
        """Kinds of which something was deleted since, at a revision that the answer does not tell."""

    def see(self, step: Step, answer: object) -> None:
        """Remember what an answer says."""
        if step.method == "DELETE":
            self._unsure.add(step.plural)
        if not isinstance(answer, dict) or answer.get("kind") in {"Status", "Table"}:
            return
        if "items" in answer:
            self._see_list(step, answer)
        elif (name := answer.get("metadata", {}).get("name")) is not None and answer["kind"] != "Scale":
            self._see_object(f"{step.collection}/{name}", answer)

    def newest_revision(self, collection: str) -> str:
        """Return the resourceVersion of the newest change of a kind, "" where that is not known."""
        plural = plural_of(collection)
        return "" if plural in self._unsure else str(self._newest.get(plural, ""))

    def is_untouched(self, collection: str) -> bool:
        """Return whether nothing was seen of a kind."""
        plural = plural_of(collection)
        return plural not in self._unsure and plural not in self._newest

    def see_newest(self, collection: str, revision: str) -> None:
        """Remember that no change of a kind is newer than a revision."""
        self._unsure.discard(plural_of(collection))
        self._newest[plural_of(collection)] = int(revision)

    def resolve(self, value: Any) -> Any:
        """Return JSON without symbols; a symbol for something never seen is ""."""
        match value:
            case Revision(path, back, plus):
                known = self._revisions[path]
                return str(int(known[-1 - min(back, len(known) - 1)]) + plus) if known else ""
            case Uid(path):
                return self._objects[path][-1]["metadata"]["uid"] if self._objects[path] else ""
            case Continue(path):
                return self._tokens.get(path, "")
            case Seen(path, change, otherwise, back):
                known_objects = self._objects[path]
                base = known_objects[-1 - min(back, len(known_objects) - 1)] if known_objects else otherwise
                return merged(base, self.resolve(change))
            case dict():
                resolved = {key: self.resolve(field) for key, field in value.items()}
                return {key: field for key, field in resolved.items() if field != "" or value[key] == ""}
            case list():
                return [self.resolve(item) for item in value]
            case _:
                return value

    def _see_list(self, step: Step, answer: Value) -> None:
        metadata = answer["metadata"]
        self._tokens[step.subject] = metadata.get("continue", "")
        if metadata.get("resourceVersion", "").isdigit():
            self._revisions[step.subject].append(metadata["resourceVersion"])

    def _see_object(self, path: str, answer: Value) -> None:
        revision = answer["metadata"].get("resourceVersion")
        if revision is None or answer["kind"] == "PartialObjectMetadata":
            return
        known = self._objects[path]
        if not known or known[-1]["metadata"]["resourceVersion"] != revision:
            known.append(answer)
            self._revisions[path].append(revision)
        self._newest[plural_of(path)] = max(self._newest.get(plural_of(path), 0), int(revision))


def merged(base: Any, change: Any) -> Any:
    """Return a value changed by a JSON merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    result = deepcopy(base) if isinstance(base, dict) else {}
    for key, field in change.items():
        if field is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), field)
    return result
