"""What the conformance suite and the differential test have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from differential.generator import sequence

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def steps_of() -> Callable[[int], list[str]]:
    """Return how the steps of a seed read."""
    return lambda seed: [str(step) for step in sequence(seed, 50, "any")]
