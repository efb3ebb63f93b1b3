"""Validation rules in CEL, `x-kubernetes-validations`: checked when a definition is created, run on every write."""

from disvc.testing.memory.structural.cel.rules import Rule, check_rules
from disvc.testing.memory.structural.cel.tree import Rules, compile_rules

__all__ = ["Rule", "Rules", "check_rules", "compile_rules"]
