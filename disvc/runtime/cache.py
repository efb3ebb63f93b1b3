"""What this process knows of a resource's objects, found by key, namespace, owner, label or a named index.

`Cache` is what reconcilers read. Nothing in it can be changed by accident: objects are immutable, and
`Object.decode` makes a new value each time. `Store` adds the writing, which only an informer does.

Answers come in the order in which the keys first came in, so that two runs of one history are alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Iterator

    from disvc.runtime.objects import Key, Object

T = TypeVar("T")

_OWNER = "owner"

_log = structlog.get_logger("disvc.cache")


class Cache(Generic[T]):
    """The objects that an informer holds, as far as it has seen them, and never older than own writes."""

    def __init__(self) -> None:
        self._objects: dict[Key, Object[T]] = {}
        self._indexes: dict[str, _Index[T]] = {}
        self._by_namespace: dict[str, dict[Key, Object[T]]] = {}

    def get(self, key: Key) -> Object[T] | None:
        """Return an object, or None where there is none that is known."""
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> builtins.list[Object[T]]:
        """Return all objects, or those of one namespace."""
        held = self._objects if namespace is None else self._by_namespace.get(namespace, {})
        return list(held.values())

    def owned_by(self, uid: str) -> builtins.list[Object[T]]:
        """Return the objects with an owner reference, controlling or not, to this UID."""
        if _OWNER not in self._indexes:
            self.add_index(_OWNER, lambda obj: (o.uid for o in obj.metadata.owner_references))
        return self.indexed(_OWNER, uid)

    def labelled(self, label: str, value: str) -> builtins.list[Object[T]]:
        """Return the objects whose `label` has this value. The first use of a label builds its index."""
        name = f"label {label}"
        if name not in self._indexes:

            def values(obj: Object[T]) -> Iterable[str]:
                found = obj.metadata.labels.get(label)
                return () if found is None else (found,)

            self.add_index(name, values)
        return self.indexed(name, value)

    def add_index(self, name: str, values: Callable[[Object[T]], Iterable[str]]) -> None:
        """Make objects findable by what `values` says of each of them: `indexed(name, value)`.

        `values` must be a pure function. An object for which it raises is reported in the log, and is in the
        cache but not in the index. Raises `ValueError` where there is an index of that name already.
        """
        if name in self._indexes:
            raise ValueError(f"there is an index named {name!r} already")
        index = self._indexes[name] = _Index(name, values)
        for key, obj in self._objects.items():
            index.put(key, None, obj)

    def indexed(self, name: str, value: str) -> builtins.list[Object[T]]:
        """Return the objects that a named index has under a value. Raises `KeyError` without such an index."""
        return list(self._indexes[name].found.get(value, {}).values())

    def __contains__(self, key: Key) -> bool:
        """Whether the object is known."""
        return key in self._objects

    def __iter__(self) -> Iterator[Object[T]]:
        """Iterate over a copy of what is known now."""
        return iter(self.list())

    def __len__(self) -> int:
        """Return how many objects are known."""
        return len(self._objects)


class Store(Cache[T]):
    """A cache that can be written."""

    def put(self, obj: Object[T]) -> None:
        """Add an object, or replace what stands under its key."""
        key = obj.key
        old = self._objects.get(key)
        for index in self._indexes.values():
            index.put(key, old, obj)
        self._objects[key] = obj
        self._by_namespace.setdefault(key.namespace, {})[key] = obj

    def remove(self, key: Key) -> None:
        """Take an object out. Raises `KeyError` where there is none."""
        old = self._objects.pop(key)
        for index in self._indexes.values():
            index.put(key, old, None)
        held = self._by_namespace[key.namespace]
        del held[key]
        if not held:
            del self._by_namespace[key.namespace]


class _Index(Generic[T]):
    """Which objects a function puts under which value."""

    def __init__(self, name: str, values: Callable[[Object[T]], Iterable[str]]) -> None:
        self._name = name
        self._function = values
        self.found: dict[str, dict[Key, Object[T]]] = {}

    def put(self, key: Key, old: Object[T] | None, new: Object[T] | None) -> None:
        """Put `new` in the place of `old`; what stays under a value keeps its place there."""
        values = self._values(new)
        # What the function said when the object was added is asked again, instead of being kept.
        for value in self._values(old):
            held = self.found.get(value)
            if held is not None and value not in values:
                held.pop(key, None)
                if not held:
                    del self.found[value]
        if new is not None:
            for value in values:
                self.found.setdefault(value, {})[key] = new

    def _values(self, obj: Object[T] | None) -> list[str]:
        if obj is None:
            return []
        try:
            return list(dict.fromkeys(self._function(obj)))  # raises here what cannot be a key
        except Exception:
            _log.exception("index function failed", index=self._name, object=repr(obj))
            return []
