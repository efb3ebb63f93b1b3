"""Runs the real kubectl."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from disvc.testing.binaries import binary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["KubectlError", "run_kubectl"]

_TIMEOUT_S = 120.0


class KubectlError(Exception):
    """kubectl ended with an error; the message has the command and what it wrote to stderr."""


def run_kubectl(args: Sequence[str], *, stdin: str | None, kubeconfig: Path, cache: Path) -> str:
    """Run kubectl and return its stdout; blocks until it ends.

    Args:
        args: its arguments.
        stdin: what it reads, for `-f -`.
        kubeconfig: the server and the user.
        cache: a folder for what it learns of the server. Its usual one goes by port, and ports come again.

    Raises:
        BinaryNotFoundError: there is no kubectl and it cannot be built.
        KubectlError: it ended with an error, or took longer than two minutes.

    """
    try:
        done = subprocess.run(  # noqa: S603 - the test's own command
            [binary("kubectl"), *args],
            input=stdin,
            env={**os.environ, "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(cache)},
            text=True,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"kubectl {' '.join(args)} took longer than {_TIMEOUT_S:.0f} s and was killed"
        raise KubectlError(msg) from error
    if done.returncode != 0:
        msg = f"kubectl {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()}"
        raise KubectlError(msg)
    return done.stdout
