"""Code of a program's own that raises, in a real process: what is logged, what goes on, and what ends."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disvc.testing.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.controlplane import ControlPlane

FAULTY = Path(__file__).with_name("programs") / "faulty.py"


@pytest.fixture
async def start(control_plane: ControlPlane, namespace: str) -> Callable[[str], Program]:
    """Start the program with a bug in a given place; it meets the ConfigMaps `bad` and `good`."""

    def create() -> None:
        for name in ("bad", "good"):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            control_plane.admin.call("POST", path, {"metadata": {"name": name}})

    await asyncio.to_thread(create)
    environment = {"KUBECONFIG": str(control_plane.admin.kubeconfig)}
    return lambda bug: Program(FAULTY, f"--namespace={namespace}", bug, environment=environment)


async def ends_well(program: Program) -> None:
    program.send(signal.SIGTERM)
    assert await program.ended() == 0
    assert len(program.log) == len(program.lines), "every line is JSON, tracebacks included"


async def test_a_handler_that_raises_is_told_with_the_key_and_called_again_while_the_rest_goes_on(
    start: Callable[[str], Program], namespace: str
) -> None:
    async with start("handler") as program:
        failed = await program.logged("event handler failed; it gets this again", times=3)
        assert f"{namespace}/bad" in failed["object"]
        assert failed["handler"] == "faulty handler"
        assert failed["exception"].endswith("ZeroDivisionError: a bug in the handler")
        await program.logged("handled", object=f"{namespace}/good")
        await program.logged("reconciled", name="bad")
        await program.logged("reconciled", name="good")
        await ends_well(program)


async def test_a_reconciler_that_raises_is_told_with_the_key_and_tried_again_with_back_off(
    start: Callable[[str], Program], namespace: str
) -> None:
    async with start("reconciler") as program:
        failed = await program.logged("reconcile failed", times=6)
        await program.logged("reconciled", name="good")
        await ends_well(program)
    expected = {"controller": "faulty", "namespace": namespace, "name": "bad", "error": "a bug in the reconciler"}
    assert expected.items() <= failed.items()
    assert failed["exception"].endswith("ZeroDivisionError: a bug in the reconciler")
    entries = program.entries("reconcile failed")[:6]
    assert [entry["retry_in"] for entry in entries] == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16]
    assert len({entry["reconcile_id"] for entry in entries}) == 6


async def test_a_terminal_error_is_told_with_the_key_and_not_tried_again(
    start: Callable[[str], Program], namespace: str
) -> None:
    async with start("terminal") as program:
        failed = await program.logged("reconcile failed for good", namespace=namespace, name="bad")
        assert failed["error"] == "spec.size is negative; set it to 0 or more"
        await asyncio.sleep(2)
        await ends_well(program)
    assert len(program.entries("reconcile failed for good")) == 1


async def test_a_background_task_that_raises_ends_the_process_with_the_reason_and_the_task_as_its_last_lines(
    start: Callable[[str], Program],
) -> None:
    async with start("background") as program:
        assert await program.ended() == 1
    assert "ZeroDivisionError: a bug in the background" in program.lines[-2]
    assert program.lines[-1] == "raised by runnable Pump"
