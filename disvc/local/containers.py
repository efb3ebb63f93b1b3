"""What a pod's container is as a process: which program, with which arguments. Pure functions.

Nothing is pulled: an image is a program that stands for it here, or cannot be pulled.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from disvc.local.addresses import Sandbox
    from disvc.testing.kserve.resources import Value

SERVER: Final = "disvc.local.server"
LOADER: Final = "disvc.local.storage"
PROGRAMS: Final = (SERVER, LOADER)

_OF_IMAGE: Final = {"kserve/sklearnserver": SERVER, "kserve/storage-initializer": LOADER}
_TAG: Final = re.compile(r"(:[^/]*)?(@.*)?$")


class CannotRun(Exception):
    """A container cannot be a process here; `reason` is that of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Command:
    """A program, its arguments, and what is added to this process's environment."""

    module: str
    args: tuple[str, ...]
    environment: Mapping[str, str]


def _server_args(container: Value) -> argparse.Namespace:
    """Return those arguments of a kserve model server that differ in a process; what is wrong with them it tells."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--http_port", nargs="?", default="8080")
    parser.add_argument("--grpc_port", nargs="?", default="8081")
    parser.add_argument("--model_dir", nargs="?", default="/mnt/models")
    return parser.parse_known_args(list(container.get("args") or ()))[0]


def server_ports(container: Value) -> dict[str, int]:
    """Return the ports on which a model server's container listens, by the argument that says so."""
    args = vars(_server_args(container))
    return {name: int(args[name]) for name in ("http_port", "grpc_port") if (args[name] or "").isdecimal()}


def program(container: Value) -> str:
    """Return the module that stands for a container's image.

    Raises `CannotRun` for an image that nothing stands for, and for a command in place of the image's own.
    """
    image = _TAG.sub("", container["image"])
    module = next((module for name, module in _OF_IMAGE.items() if f"/{image}".endswith(f"/{name}")), None)
    if module is None:
        known = ", ".join(_OF_IMAGE)
        raise CannotRun(
            "ImagePullBackOff",
            f'Back-off pulling image "{container["image"]}": no image is pulled on this machine, '
            f"and only of these there is a program: {known}",
        )
    if container.get("command"):
        raise CannotRun(
            "CreateContainerConfigError", f"container {container['name']} has a command; here only images can be run"
        )
    return module


def server_command(container: Value, sandbox: Sandbox, volumes: Mapping[str, Path]) -> Command:
    """Return how a model server runs: by its own arguments, but at its loopback ports and on its volume's folder.

    Raises `CannotRun`.
    """
    ports = [f"--{name}={sandbox.port(port)}" for name, port in server_ports(container).items()]
    folder = _inside(container, _server_args(container).model_dir or "", volumes)
    own: Sequence[str] = container.get("args") or ()
    return Command(program(container), (*own, *ports, f"--model_dir={folder}"), _environment(container))


def loader_command(container: Value, volumes: Mapping[str, Path], mirror: Mapping[str, Path]) -> Command:
    """Return how a storage-initializer runs: with what is mirrored in place of its URI, into its volume's folder.

    Raises `CannotRun`.
    """
    uri, folder = container["args"]
    source = f"file://{mirror[uri]}" if uri in mirror else uri
    return Command(program(container), (source, str(_inside(container, folder, volumes))), _environment(container))


def _inside(container: Value, path: str, volumes: Mapping[str, Path]) -> Path:
    """Return the folder on this machine that a path in a container is."""
    wanted = PurePosixPath(path)
    for mount in container.get("volumeMounts") or ():
        if wanted.is_relative_to(mount["mountPath"]) and mount["name"] in volumes:
            return volumes[mount["name"]] / wanted.relative_to(mount["mountPath"])
    raise CannotRun(
        "CreateContainerConfigError",
        f"nothing is mounted at {path} in container {container['name']}: the only volumes on this machine are what "
        "a storage-initializer fills, so a storageUri may be file://, https://, s3://, gs:// or hf://, but neither "
        "pvc:// nor oci://",
    )


def _environment(container: Value) -> dict[str, str]:
    variables = container.get("env") or ()
    return {variable["name"]: variable["value"] for variable in variables if "value" in variable}
