"""A set of fields of an object, and its form in managedFields (fieldsV1).

A set is a tree: at each node the elements that are members, and the elements below which there are members. That a
parent is a member says nothing of its children, nor the other way round. Sets are values: what is built up with
`insert` is not changed once it has been handed on. Rules: sigs.k8s.io/structured-merge-diff, fieldpath/set.go and
serialize.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.apply import elements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from disvc.testing.memory.apply.elements import Element, Path
    from disvc.testing.memory.apply.types import Type

__all__ = ["EMPTY", "FieldSet"]


class FieldSet:
    """A set of paths; falsy when it is empty."""

    __slots__ = ("children", "members")

    def __init__(self, members: set[Element] | None = None, children: dict[Element, FieldSet] | None = None) -> None:
        self.members: set[Element] = set() if members is None else members
        self.children: dict[Element, FieldSet] = {} if children is None else children

    @classmethod
    def of(cls, paths: Iterable[Path]) -> FieldSet:
        """Return the set of these paths."""
        made = cls()
        for path in paths:
            made.insert(path)
        return made

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> FieldSet:
        """Read fieldsV1.

        Raises:
            ValueError: a name in it is malformed.

        """
        made = cls()
        for name, below in fields.items():
            if name == "." or (element := elements.load(name)) is None:
                continue
            child = cls.load(below)
            if "." in below or not child:
                made.members.add(element)
            made.put(element, child)
        return made

    def dump(self) -> dict[str, Any]:
        """Write it as fieldsV1, with names in order."""
        fields: dict[str, Any] = {}
        for element in sorted(self.members | self.children.keys()):
            child = self.children.get(element)
            below = child.dump() if child else {}
            fields[elements.dump(element)] = {".": {}} | below if below and element in self.members else below
        return fields

    def insert(self, path: Path) -> None:
        """Add a path, without its parents; the empty path, which is the whole object, is never in a set."""
        if not path:
            return
        node = self
        for element in path[:-1]:
            child = node.children.get(element)
            if child is None:
                child = node.children[element] = FieldSet()
            node = child
        node.members.add(path[-1])

    def put(self, element: Element, below: FieldSet) -> None:
        """Add what is below an element; a node without members is never kept."""
        if below:
            known = self.children.get(element)
            self.children[element] = below if known is None else known | below

    def __bool__(self) -> bool:
        return bool(self.members or self.children)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and set(self) == set(other)

    __hash__ = None  # type: ignore[assignment]  # a set that is built up has no lasting hash

    def __contains__(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node and node.children.get(element)
        return bool(path) and node is not None and path[-1] in node.members

    def __iter__(self) -> Iterator[Path]:
        """Yield the paths in the server's order: at each level the members, and then what is below them."""
        yield from ((element,) for element in sorted(self.members))
        for element, child in sorted(self.children.items(), key=lambda item: item[0]):
            yield from ((element, *path) for path in child)

    def below(self, element: Element) -> FieldSet:
        """Return the paths that begin with this element, without it."""
        return self.children.get(element, EMPTY)

    def __or__(self, other: FieldSet) -> FieldSet:
        children = dict(self.children)
        for element, child in other.children.items():
            mine = children.get(element)
            children[element] = child if mine is None else mine | child
        return FieldSet(self.members | other.members, children)

    def __and__(self, other: FieldSet) -> FieldSet:
        children = {
            element: both
            for element, child in self.children.items()
            if element in other.children and (both := child & other.children[element])
        }
        return FieldSet(self.members & other.members, children)

    def __sub__(self, other: FieldSet) -> FieldSet:
        """Return what is only here; a path in `other` takes away just itself, not what is below it."""
        children = {
            element: rest
            for element, child in self.children.items()
            if (rest := child - other.children[element] if element in other.children else child)
        }
        return FieldSet(self.members - other.members, children)

    def without(self, other: FieldSet) -> FieldSet:
        """Return what is neither in `other` nor below a path in it."""
        children = {
            element: rest
            for element, child in self.children.items()
            if element not in other.members
            and (rest := child.without(other.children[element]) if element in other.children else child)
        }
        return FieldSet(self.members - other.members, children)

    def with_declared_parents(self, type_: Type | None) -> FieldSet:
        """Return it with the declared fields above its paths as members; keys of maps and items of lists are not."""
        map_, list_ = (type_.map, type_.list) if type_ else (None, None)
        members = set(self.members)
        children = {}
        for element, child in self.children.items():
            below: Type | None = None
            if elements.is_field(element) and map_:
                name = element[1]
                if name in map_.fields:
                    members.add(element)
                below = map_.fields.get(name, map_.other)
            elif elements.is_keys(element) and list_:
                below = list_.item
            children[element] = child.with_declared_parents(below)
        return FieldSet(members, children)


EMPTY: Final = FieldSet()
