"""Tells a finding to a person: the requests so far on that object, both answers, the difference."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from differential.comparison import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from differential.run import Finding
    from differential.step import Step

__all__ = ["account"]


def account(seed: int, steps: Sequence[Step], finding: Finding, names: tuple[str, str]) -> str:
    """Return the account of a finding in the sequence of a seed; `names` are the servers', left and right."""
    step = finding.step
    before = [
        earlier
        for earlier in steps
        if earlier.number < step.number and earlier.plural == step.plural and step.name in {"", earlier.name}
    ]
    lines = [f"seed {seed}, request {step.number} of {len(steps)}: {step}", "", "Differences:"]
    lines += [f"  {difference}" for difference in finding.differences[:20]]
    lines += ["", f"{names[0]} answered:", _text(finding.left), f"{names[1]} answered:", _text(finding.right)]
    lines += ["", "Requests before it on the same:", *(f"  {earlier}" for earlier in before)]
    return "\n".join(lines)


def _text(answer: object) -> str:
    if isinstance(answer, Reply):
        return f"  {answer.status} {json.dumps(answer.body, ensure_ascii=False)}"
    assert isinstance(answer, list)
    return "\n".join(f"  {json.dumps(event, ensure_ascii=False)}" for event in answer)
