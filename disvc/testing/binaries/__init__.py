"""Finds etcd, kube-apiserver, kube-controller-manager and kubectl, and builds once what is not there.

Promise: `binary(name)` is the path of an executable, or an error that says how to get it.

1. `KUBEBUILDER_ASSETS`, if set, is the only place looked at (kubectl may also be on the PATH).
2. Otherwise the cache: `$DISVC_CACHE/disvc`, else `$XDG_CACHE_HOME/disvc`, else `~/.cache/disvc`.
3. Otherwise the binary is built into the cache from the Go module beside this file that pins it. Builds of
   one binary exclude each other by a file lock, and a binary has its name only when it is complete.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BinaryNotFoundError", "binary", "cache_folder"]

# How often a build that runs says that it still does.
_PROGRESS_S = 30.0


class BinaryNotFoundError(Exception):
    """A component of the control plane is not there and cannot be built; the message says what to do."""


@dataclass(frozen=True)
class _Component:
    module: str  # the folder beside this file with go.mod and go.sum
    dependency: str  # what go.mod requires, and so what gives the version
    package: str  # what `go build` is told
    cost: str  # measured on two cores with cold caches


_KUBERNETES = "k8s.io/kubernetes"
_COMPONENTS = {
    "etcd": _Component("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", "about 40 s and 27 MB"),
    "kube-apiserver": _Component(
        "kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kube-apiserver", "about 3 min 30 s and 105 MB"
    ),
    "kube-controller-manager": _Component(
        "kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kube-controller-manager", "about 1 min and 96 MB"
    ),
    "kubectl": _Component("kubernetes", _KUBERNETES, f"{_KUBERNETES}/cmd/kubectl", "about 30 s and 60 MB"),
}


def binary(name: str) -> Path:
    """Find the executable of a component: etcd, kube-apiserver, kube-controller-manager or kubectl.

    Builds it when it is not in the cache yet, which takes minutes, and tells so on stderr.

    Raises:
        BinaryNotFoundError: it is missing from KUBEBUILDER_ASSETS, or there is no Go, or the build failed.

    """
    component = _COMPONENTS[name]
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(Path(assets) / name, os.X_OK):
        return (Path(assets) / name).absolute()
    if name == "kubectl" and (on_path := shutil.which(name)):
        return Path(on_path)
    if assets:
        msg = (
            f"KUBEBUILDER_ASSETS is {assets}, and there is no executable {name} in it. Put one there, point "
            "KUBEBUILDER_ASSETS at a folder that has it, or unset it to have the binary built from source "
            "(needs Go)."
        )
        raise BinaryNotFoundError(msg)
    version = _pinned_version(component)
    path = cache_folder() / f"{name}-{version}-{_platform()}"
    if not path.exists():
        _build_once(name, component, version, path)
    return path


def cache_folder() -> Path:
    """Where built binaries are kept: $DISVC_CACHE/disvc, else $XDG_CACHE_HOME/disvc, else ~/.cache/disvc."""
    base = os.environ.get("DISVC_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache").absolute() / "disvc"


def _pinned_version(component: _Component) -> str:
    go_mod = (Path(__file__).parent / component.module / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(component.dependency)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:  # only possible in a broken installation
        msg = f"the go.mod for {component.package} does not require {component.dependency}; reinstall disvc"
        raise BinaryNotFoundError(msg)
    return found[1]


def _platform() -> str:
    """GOOS-GOARCH, told without Go, as a filled cache must do without it."""
    machine = platform.machine().lower()
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{sys.platform}-{arch}"


def _build_once(name: str, component: _Component, version: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(path.with_name(f".{path.name}.lock"), f"{name} {version}"):
        if path.exists():  # somebody else built it while this one waited
            return
        for stale in path.parent.glob(f".{path.name}.build-*"):  # of a build that was killed
            stale.unlink(missing_ok=True)
        _build(name, component, version, path)


@contextmanager
def _exclusive(lock: Path, what: str) -> Iterator[None]:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another process is building {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # the lock goes with the file, also when this process is killed


def _build(name: str, component: _Component, version: str, path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        msg = (
            f"{name} {version} is not in {path.parent} and cannot be built, as there is no `go` on the PATH. "
            "Install Go (1.24 or later; it fetches a newer one itself where that is needed), or set "
            "KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl, as `setup-envtest use` "
            "makes it."
        )
        raise BinaryNotFoundError(msg)
    _say(f"building {name} {version} from source, once: {component.cost} on two cores, into {path.parent}")
    building = path.with_name(f".{path.name}.build-{os.getpid()}")
    command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
    command += ["-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={version}"]
    command += ["-o", str(building), component.package]
    started = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - the command is ours
        command,
        cwd=Path(__file__).parent / component.module,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            output = _communicate(process, name, started)
        except BaseException:
            process.kill()
            building.unlink(missing_ok=True)
            raise
    if process.returncode != 0:
        building.unlink(missing_ok=True)
        msg = (
            f"building {name} {version} failed (`go build` ended with {process.returncode}). It needs the Go "
            "module proxy, or a filled module cache, and disk space. Or set KUBEBUILDER_ASSETS to a folder "
            f"that has {name}. The end of its output:\n{output[-3000:]}"
        )
        raise BinaryNotFoundError(msg)
    building.replace(path)
    _say(f"built {name} {version} in {time.monotonic() - started:.0f} s")


def _communicate(process: subprocess.Popen[str], name: str, started: float) -> str:
    while True:
        try:
            return process.communicate(timeout=_PROGRESS_S)[0]
        except subprocess.TimeoutExpired:
            _say(f"still building {name}, {time.monotonic() - started:.0f} s so far")


def _say(text: str) -> None:
    sys.stderr.write(f"disvc: {text}\n")
    sys.stderr.flush()
