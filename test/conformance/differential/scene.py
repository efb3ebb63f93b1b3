"""What a sequence is about, for those who make its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from differential.kinds.kind import Kind, chance
from differential.spoiling import part
from differential.step import Uid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    Value = dict[str, Any]

__all__ = ["Scene"]

_NAMES: Final = ("a", "b", "c")
_LABELS: Final[tuple[dict[str, str], ...]] = ({"app": "x"}, {"app": "y"}, {"app": "x", "tier": "t"}, {"tier": "u"}, {})


@dataclass
class Scene:
    """A namespace, kinds in it, and the generator of all chance."""

    random: Random
    namespace: str
    kinds: Sequence[Kind]
    number: int = 0
    """Of the step that is being made."""
    made: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of what exists by all likelihood."""

    def at(self, number: int) -> Self:
        """Return itself, at a step."""
        self.number = number
        return self

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return chance(self.random, probability)

    def kind(self) -> Kind:
        """Return one of the kinds."""
        return self.random.choice(self.kinds)

    def new_name(self, kind: Kind) -> str:
        """Return a name that is probably free."""
        free = [name for name in _NAMES if (kind.kind, name) not in self.made]
        return self.random.choice(free if free and self.chance(0.85) else _NAMES)

    def old_name(self, kind: Kind) -> str:
        """Return a name that is probably taken."""
        taken = [name for name in _NAMES if (kind.kind, name) in self.made]
        return self.random.choice(taken if taken and self.chance(0.92) else _NAMES)

    def metadata(self) -> Value:
        """Return changes of the metadata that every kind has."""
        metadata: Value = {}
        if self.chance(0.5):
            metadata["labels"] = dict(self.random.choice(_LABELS))
        if self.chance(0.2):
            metadata["annotations"] = {"note": self.random.choice(("1", "2"))}
        if self.chance(0.06):
            metadata["finalizers"] = self.random.choice(
                (["example.com/hold"], ["example.com/hold", "example.com/b"], [])
            )
        if self.chance(0.05):
            metadata["ownerReferences"] = [self._owner()]
        if self.chance(0.02):
            metadata |= self.random.choice(
                (
                    {"labels": {"bad key!": "x"}},
                    {"labels": {"app": "bad value!"}},
                    {"annotations": {"bad key!": "x"}},
                    {"finalizers": ["unqualified"]},
                    {"finalizers": ["orphan"]},
                    {"generation": 77},
                    {"creationTimestamp": "2019-01-02T03:04:05Z"},
                    {"managedFields": []},
                    {"managedFields": [{}]},
                    {"managedFields": [{"manager": "x", "operation": "Odd"}]},
                )
            )
        return metadata

    def _owner(self) -> Value:
        kind = self.kind()
        name = self.random.choice(_NAMES)
        owner: Value = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": name,
            "uid": Uid(f"{kind.collection(self.namespace)}/{name}")
            if self.chance(0.7)
            else "11111111-2222-3333-4444-555555555555",
        }
        if self.chance(0.4):
            owner |= {"controller": True, "blockOwnerDeletion": self.chance(0.5)}
        if self.chance(0.1):
            del owner[self.random.choice(list(owner))]
        return owner

    def change(self, kind: Kind) -> Value:
        """Return a merge patch for an object."""
        patch: Value = {}
        if self.chance(0.7):
            patch |= part(self.random, kind.content(self.random), keep=0.5)
        if self.chance(0.5) or not patch:
            patch["metadata"] = self.metadata()
        return patch

    def writing_query(self) -> Value:
        """Return the query parameters that all writes have."""
        query: Value = {}
        if self.chance(0.06):
            query["dryRun"] = self.random.choice(("All", "All", "All", "Odd"))
        if self.chance(0.15):
            query["fieldValidation"] = self.random.choice(
                ("Strict", "Warn", "Ignore", "Odd" if self.chance(0.2) else "Warn")
            )
        if self.chance(0.3):
            query["fieldManager"] = self.random.choice(("m1", "m2"))
        if self.chance(0.01):
            query["fieldManager"] = "x" * 129
        return query
