"""The pytest plugin gives control planes to those who ask, and costs the others nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
import pytest

@pytest.fixture(scope="session", autouse=True)
def afterwards():
    yield
    assert not plane.folder.exists()

def test_a_plain_test(control_plane, namespace):
    global plane, name
    plane, name = control_plane, namespace
    plane.admin.call("POST", f"/api/v1/namespaces/{name}/configmaps", {"metadata": {"name": "a"}})

async def test_another_loop(control_plane, make_control_plane):
    assert control_plane is plane
    assert plane.admin.request("GET", f"/api/v1/namespaces/{name}").status == 404
    own = await make_control_plane()
    assert own.url != plane.url

@pytest.mark.asyncio(loop_scope="module")
async def test_a_loop_of_the_module(control_plane):
    assert "default" in await control_plane.kubectl("get", "namespaces")
"""


def pytest_in(folder: Path, tests: str) -> str:
    (folder / "test_it.py").write_text(tests)
    options = ["-W", "error", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(folder), *options, str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_other_peoples_tests_share_one_control_plane_whatever_their_event_loops(tmp_path: Path) -> None:
    assert "3 passed" in pytest_in(tmp_path, TESTS)


def test_a_test_run_that_does_not_use_the_plugin_imports_nothing_of_it(tmp_path: Path) -> None:
    heavy = "{'cryptography', 'jwt', 'urllib3', 'yaml', 'msgspec', 'aiohttp', 'kubernetes_asyncio'}"
    tests = f"import sys\ndef test_it():\n    assert not {heavy} & set(sys.modules)\n"
    assert "1 passed" in pytest_in(tmp_path, tests)
