"""Whoever installs disvc, or one of its extras, gets what the code of that imports: nothing comes along by chance."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"testing": ["testing"], "local": ["local", "testing"]}


@pytest.fixture(scope="module")
def distributions() -> Mapping[str, Sequence[str]]:
    """Which distributions have a package."""
    return packages_distributions()


def imported(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names of the packages of others that a package imports, each with one of the files that do."""
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names):
                    modules = [name.name for name in names]
                case ast.ImportFrom(module=str(module)):
                    modules = [module]
                case _:
                    continue
            yield from ((module.partition(".")[0], file) for module in modules)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", sorted(path.parent.name for path in (ROOT / "disvc").glob("*/__init__.py")))
def test_what_a_package_imports_is_declared(package: str, distributions: Mapping[str, Sequence[str]]) -> None:
    lists = [PROJECT["dependencies"]]
    lists += [PROJECT["optional-dependencies"][extra] for extra in EXTRAS.get(package, [])]
    declared = {normalised(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for listed in lists for each in listed}
    others = {
        name: str(file.relative_to(ROOT))
        for name, file in imported(ROOT / "disvc" / package)
        if name != "disvc" and name not in sys.stdlib_module_names
    }
    missing = {
        name: file
        for name, file in others.items()
        if not declared & {normalised(distribution) for distribution in distributions[name]}
    }
    assert not missing


def test_who_runs_the_in_memory_server_in_another_process_does_not_import_it() -> None:
    program = "import sys; import disvc.testing.memory.controlplane; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "disvc.testing.memory.controlplane" in modules
    assert not {"disvc.testing.memory.server", "disvc.runtime", "aiohttp", "google.protobuf"} & set(modules)
