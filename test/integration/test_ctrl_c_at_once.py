"""Ctrl-C while a program is still being imported ends it without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = str(Path(__file__).parents[2] / "hack/demo.py")


@pytest.mark.parametrize(
    ("program", "imported"),
    [
        ([DEMO], "asyncio.events"),
        ([DEMO], "disvc.testing.extra"),
        (["-m", "disvc.testing.memory"], "importlib.metadata"),
        (["-m", "disvc.testing.memory"], "urllib3"),
    ],
)
def test_it_ends_with_130_and_no_traceback(program: list[str], imported: str) -> None:
    command = [sys.executable, "-X", "importtime", *program]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert any(line.split()[-1] == imported for line in running.stderr)
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert "Traceback" not in rest
    assert running.returncode == 130
