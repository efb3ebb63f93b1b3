"""What a load came to: requests, failures, latencies and whose the answers were, by phase and protocol. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Sample:
    """One request: in which phase it was sent, how long it took, and what came of it."""

    phase: str
    protocol: str
    address: str
    """What it was sent to."""
    seconds: float
    version: str = ""
    """Whose model gave the answer."""
    problem: str = ""
    """Why it failed; "" where it did not."""


@dataclass(frozen=True)
class Line:
    """All requests of one phase and protocol, or of several."""

    phase: str
    protocol: str
    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    answers: tuple[int, ...]
    """How many there were of each version."""


def lines(samples: Iterable[Sample], versions: Sequence[str]) -> list[Line]:
    """Return a line for each phase and protocol, in the order of their first sample, and then the protocols' sums."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    sums: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.phase, sample.protocol), []).append(sample)
        sums.setdefault(("in all", sample.protocol), []).append(sample)
    phases = list(dict.fromkeys(phase for phase, _ in groups))
    ordered = sorted(groups, key=lambda key: (phases.index(key[0]), key[1]))
    return [
        _line(*key, group, versions) for key, group in [*((key, groups[key]) for key in ordered), *sorted(sums.items())]
    ]


def strays(samples: Iterable[Sample], expected: Mapping[tuple[str, str], Collection[str]]) -> list[Sample]:
    """Return the answers that came from another version than one of those expected in their phase and protocol."""
    return [s for s in samples if not s.problem and s.version not in expected[s.phase, s.protocol]]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that at least this share of them does not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def _line(phase: str, protocol: str, samples: Sequence[Sample], versions: Sequence[str]) -> Line:
    good = [sample for sample in samples if not sample.problem]
    times = [sample.seconds * 1000 for sample in good]
    return Line(
        phase,
        protocol,
        requests=len(samples),
        failures=len(samples) - len(good),
        p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99),
        answers=tuple(sum(sample.version == version for sample in good) for version in versions),
    )
