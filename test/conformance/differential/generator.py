"""Makes a sequence of steps from a seed: about a few objects of a few kinds, so that steps meet each other.

It knows none of the answers; names are few, so that most steps find something. The same seed and length give the same
steps, on every machine.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from differential import deleting, patching, reading, writing
from differential.kinds import KINDS
from differential.scene import Scene
from differential.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from differential.kinds import Kind

__all__ = ["sequence"]

_VERBS: Final[tuple[tuple[int, Callable[[Scene], dict[str, Any]]], ...]] = (
    (18, writing.create),
    (16, writing.update),
    (12, patching.merge_patch),
    (6, patching.json_patch),
    (8, patching.strategic_patch),
    (20, patching.apply),
    (9, deleting.delete),
    (2, deleting.delete_collection),
    (6, writing.scale),
    (8, reading.get),
    (14, reading.list_),
    (4, reading.next_page),
    (5, reading.watch),
)


def sequence(seed: int, length: int, namespace: str, kinds: Sequence[Kind] = KINDS) -> list[Step]:
    """Return the steps of a seed, in a namespace that exists and is empty, about some of the kinds."""
    random = Random(seed)
    scene = Scene(random, namespace, random.sample(kinds, min(len(kinds), random.randint(1, 3))))
    weights, verbs = zip(*_VERBS, strict=True)
    return [Step(number, **random.choices(verbs, weights)[0](scene.at(number))) for number in range(1, length + 1)]
