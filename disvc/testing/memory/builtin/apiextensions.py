"""The group apiextensions.k8s.io, v1: CustomResourceDefinitions, of which the package `structural` knows all."""

from __future__ import annotations

from typing import Final

from disvc.testing.memory.builtin.columns.others import DEFAULT
from disvc.testing.memory.builtin.strategy import kind, spec
from disvc.testing.memory.structural.definition.strategy import DefinitionStrategy

__all__ = ["TYPES"]

TYPES: Final = (
    kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        DefinitionStrategy,
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        generation_follows=spec,
        allows_unconditional_update=False,
        columns=DEFAULT,
    ),
)
