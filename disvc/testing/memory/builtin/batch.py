"""The group batch, v1."""

from __future__ import annotations

from typing import Final

from disvc.testing.memory.builtin.strategy import kind, spec

__all__ = ["TYPES"]

TYPES: Final = (
    kind("batch", "v1", "Job", "jobs", categories=("all",), generation_follows=spec, default_propagation="Orphan"),
    kind("batch", "v1", "CronJob", "cronjobs", short_names=("cj",), categories=("all",), generation_follows=spec),
)
