"""Validation rules in CEL, `x-kubernetes-validations`: checked when a definition is created, run on every write."""

from disvc.testing.memory.structural.cel.rules import problems
from disvc.testing.memory.structural.cel.tree import Rules, compile_rules

__all__ = ["Rules", "compile_rules", "problems"]
