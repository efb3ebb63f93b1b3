"""A Kubernetes API server to play with, in memory: `python -m disvc.testing.memory`, and then kubectl.

It has no nodes: Deployments get ReplicaSets and Pods, and the Pods stay pending.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from disvc.testing.certificates import Credentials
from disvc.testing.crds import install
from disvc.testing.kubeconfig import write_kubeconfig
from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.plane import ControlPlaneError
from disvc.testing.users import RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_FILE = click.Path(path_type=Path, dir_okay=False)
_POLL_S = 1.0


@click.command(epilog="Every object is gone when it ends.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen on 127.0.0.1; 0: a free port.")
@click.option("--kubeconfig", type=_FILE, help="Write a kubeconfig to this new file, and remove it at the end.")
@click.option(
    "--crd",
    "crd_files",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="Install the CustomResourceDefinitions of this YAML file; may be given several times.",
)
def main(port: int, kubeconfig: Path | None, crd_files: Sequence[Path]) -> None:
    """Run a Kubernetes API server in memory until Ctrl-C, and tell how kubectl gets to it."""
    crds = [crd for file in crd_files for crd in _definitions(file)]
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with MemoryControlPlane(port=port, controller_manager=True) as plane, _kubeconfig(plane, kubeconfig) as path:
            for crd in crds:
                install(plane.admin, crd)
            click.echo(
                f"Serving the Kubernetes API on {plane.url}, until Ctrl-C. In another terminal:\n\n"
                f"    export KUBECONFIG={path}\n"
                "    kubectl create deployment web --image=nginx --replicas=2\n"
                "    kubectl get deployments,replicasets,pods\n"
            )
            while True:
                time.sleep(_POLL_S)
                plane.check()
    except KeyboardInterrupt:
        click.echo("Stopped.")
    except (ControlPlaneError, RequestFailedError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error


def _definitions(file: Path) -> list[dict[str, Any]]:
    """Return the CustomResourceDefinitions of a file. Raises `click.ClickException` where there are none."""
    try:
        documents = list(yaml.safe_load_all(file.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == "CustomResourceDefinition"]
    if not found:
        raise click.ClickException(f"{file} has no CustomResourceDefinition; objects of other kinds are for kubectl")
    for each in found:
        try:
            _ = (
                each["metadata"]["name"],
                each["spec"]["group"],
                each["spec"]["names"]["plural"],
                each["spec"]["versions"],
            )
        except (KeyError, TypeError) as error:
            raise click.ClickException(f"{file}: a CustomResourceDefinition lacks {error}") from error
    return found


@contextmanager
def _kubeconfig(plane: MemoryControlPlane, wanted: Path | None) -> Iterator[Path]:
    """Give the path of the administrator's kubeconfig: a new file, where one is wanted."""
    if wanted is None:
        yield plane.admin.kubeconfig
        return
    try:
        wanted.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        message = f"{wanted}: {error.strerror}; give the name of a file that is not there yet"
        raise click.ClickException(message) from error
    try:
        admin = plane.admin
        write_kubeconfig(wanted, plane.url, plane.ca_file, Credentials(admin.cert_file, admin.key_file))
        yield wanted
    finally:
        wanted.unlink(missing_ok=True)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
