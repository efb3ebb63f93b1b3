"""Where only disvc is installed, without its extras, what needs one of them says so."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from disvc.local.host import Host
from disvc.testing.extra import MissingExtra, require

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def needed(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what a distribution needs, and itself."""
    yield name
    for text in distribution(name).requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in (*extras, "")):
            yield from needed(requirement.name, frozenset(requirement.extras))


def run_without_extras(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python with disvc, pytest and what these need, and nothing else."""
    site = folder / "site"
    site.mkdir()
    for name in {*needed("disvc"), *needed("pytest")}:
        for file in distribution(name).files or ():
            top = site / file.parts[0]
            if ".." not in file.parts and not top.exists() and not file.name.startswith("__editable__"):
                top.symlink_to(Path(str(distribution(name).locate_file(file.parts[0]))))
    return subprocess.run(
        [sys.executable, "-S", *args],
        cwd=folder,
        env={"PYTHONPATH": f"{site}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_server_to_play_with_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    ended = run_without_extras(tmp_path, "-m", "disvc.testing.memory")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("A Kubernetes API server in memory needs PyJWT, cel-expr-python, cryptography, ")
    assert line.endswith(" which are not installed: pip install 'disvc[testing]'")


def test_a_test_that_asks_for_a_control_plane_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(control_plane): ...\ndef test_other(): ...\n")
    ended = run_without_extras(
        tmp_path, "-m", "pytest", "--control-plane=memory", "test_it.py", "-p", "no:cacheprovider"
    )
    assert "MissingExtra: A control plane for tests needs PyJWT, " in ended.stdout
    assert "pip install 'disvc[testing]'" in ended.stdout
    assert "1 passed, 1 error" in ended.stdout


async def test_model_servers_on_this_machine_need_another_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("disvc.testing.extra._is_installed", lambda name: name not in ("kserve", "scikit-learn"))
    with pytest.raises(MissingExtra, match=r"needs kserve, scikit-learn, .*: pip install 'disvc\[local\]'"):
        async with Host(tmp_path, mirror={}):
            pass
    require("testing", "All else")
