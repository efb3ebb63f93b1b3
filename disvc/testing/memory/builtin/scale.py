"""autoscaling/v1 Scale, which is only ever a subresource of another kind."""

from __future__ import annotations

from typing import Final

from disvc.testing.memory.builtin.strategy import kind

__all__ = ["SCALE"]

SCALE: Final = kind("autoscaling", "v1", "Scale", "scales")
