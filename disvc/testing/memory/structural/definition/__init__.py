"""CustomResourceDefinitions: what is wrong with one, what is filled in, and which resources it makes."""

from disvc.testing.memory.structural.definition.types import resource_types
from disvc.testing.memory.structural.definition.validation import validate

__all__ = ["resource_types", "validate"]
