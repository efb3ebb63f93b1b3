"""Writes kubeconfig files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from disvc.testing.certificates import Credentials

__all__ = ["write_kubeconfig"]


def write_kubeconfig(path: Path, server: str, ca_file: Path, credentials: Credentials) -> None:
    """Write a kubeconfig with one server and one user, who is known by a client certificate."""
    user = {"client-certificate": str(credentials.cert_file), "client-key": str(credentials.key_file)}
    cluster = {"server": server, "certificate-authority": str(ca_file)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(content))
