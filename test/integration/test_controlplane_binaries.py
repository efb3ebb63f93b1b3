"""The control plane's binaries are found, or built once, or the error says how to get them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disvc.testing import binaries
from disvc.testing.binaries import BinaryNotFoundError, binary
from disvc.testing.controlplane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Callable

    FakeGo = Callable[[str], Path]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("DISVC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()


@pytest.fixture
def fake_go(tmp_path: Path) -> FakeGo:
    """Put a `go` on the PATH that notes its arguments and runs a script, in which $output is what -o names."""

    def make(script: str) -> Path:
        go, calls = tmp_path / "bin" / "go", tmp_path / "calls"
        find_output = 'while [ "$1" != -o ]; do shift; done; output=$2'
        go.write_text(f'#!/bin/sh\necho "$CGO_ENABLED $@" >> {calls}\n{find_output}\n{script}\n')
        go.chmod(0o755)
        return calls

    return make


BUILDS = 'echo "#!/bin/sh" > "$output"; chmod +x "$output"'


def test_a_binary_is_built_once_with_the_pinned_version_and_says_what_it_costs(
    fake_go: FakeGo, capfd: pytest.CaptureFixture[str]
) -> None:
    calls = fake_go(BUILDS)
    path = binary("kube-apiserver")
    assert binary("kube-apiserver") == path
    version = re.search(r"k8s.io/kubernetes (v\S+)", (Path(binaries.__file__).parent / "kubernetes/go.mod").read_text())
    assert version is not None
    assert path.name.startswith(f"kube-apiserver-{version[1]}-{sys.platform}-")
    (call,) = calls.read_text().splitlines()
    assert call.startswith("0 build -trimpath -buildvcs=false -mod=readonly -ldflags -s -w ")
    assert f"gitVersion={version[1]} " in call
    assert f"-o {path} " not in call  # under its name only when it is complete
    assert call.endswith("k8s.io/kubernetes/cmd/kube-apiserver")
    told = capfd.readouterr().err
    assert f"building kube-apiserver {version[1]} from source, once: about 3 min 30 s and 105 MB" in told
    assert f"built kube-apiserver {version[1]} in 0 s" in told


def test_a_build_that_goes_on_says_so(
    fake_go: FakeGo, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_PROGRESS_S", 0.2)
    fake_go(f"sleep 1; {BUILDS}")
    binary("etcd")
    assert "still building etcd, " in capfd.readouterr().err


def test_two_that_need_a_binary_build_it_once_and_the_other_says_that_it_waits(fake_go: FakeGo) -> None:
    calls = fake_go(f"sleep 2; {BUILDS}")
    script = "from disvc.testing.binaries import binary; print(binary('etcd'))"
    both = [subprocess.Popen([sys.executable, "-c", script], stdout=-1, stderr=-1, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert answers[0][0] == answers[1][0] != ""
    assert len(calls.read_text().splitlines()) == 1
    assert sum("another process is building etcd" in errors for _, errors in answers) == 1


def test_a_failed_build_tells_the_output_and_leaves_nothing_to_be_taken_for_a_binary(fake_go: FakeGo) -> None:
    fake_go('echo half > "$output"; echo "missing go.sum entry"; exit 1')
    with pytest.raises(BinaryNotFoundError, match=r"building etcd v.*(.|\n)*missing go.sum entry"):
        binary("etcd")
    assert [path for path in binaries.cache_folder().iterdir() if path.suffix != ".lock"] == []


def test_what_a_killed_build_left_is_removed_by_the_next(fake_go: FakeGo) -> None:
    fake_go(BUILDS)
    path = binary("etcd")
    left = path.with_name(f".{path.name}.build-1")
    path.rename(left)
    assert binary("etcd") == path
    assert not left.exists()


def test_without_go_the_error_says_how_to_get_the_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BinaryNotFoundError, match=r"no `go` on the PATH. Install Go .* or set KUBEBUILDER_ASSETS"):
        binary("etcd")


def test_kubebuilder_assets_are_used_and_what_is_missing_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert binary("etcd") == assets / "etcd"
    expected = f"KUBEBUILDER_ASSETS is {assets}, and there is no executable kube-apiserver in it"
    with pytest.raises(BinaryNotFoundError, match=expected):
        ControlPlane().start()
