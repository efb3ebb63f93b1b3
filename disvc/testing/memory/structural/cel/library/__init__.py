"""The CEL functions that Kubernetes has beside the standard ones."""

from typing import Final

from disvc.testing.memory.structural.cel.library import formats, lists, network, quantities
from disvc.testing.memory.structural.cel.library.functions import Function, declare

__all__ = ["FUNCTIONS", "declare"]

FUNCTIONS: Final[tuple[Function, ...]] = (
    *formats.FUNCTIONS,
    *lists.FUNCTIONS,
    *network.FUNCTIONS,
    *quantities.FUNCTIONS,
)
