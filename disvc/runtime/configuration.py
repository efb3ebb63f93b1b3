"""Where the configuration of a connection comes from: a kubeconfig file, or the service account of a pod.

kubernetes_asyncio reads it; here is in which order places are tried, when it is worth reading again, and what to
tell a person whose file is wrong. Every way of being wrong is a `ConfigurationError` that names the file.
"""

from __future__ import annotations

import asyncio
import binascii
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from disvc.runtime.errors import ConfigurationError

_READ_SECONDS = 60.0
"""For reading a configuration, the run of an exec plugin included."""


class ConfigurationSource:
    """Where the configuration comes from; it can be read again and again."""

    def __init__(self, kubeconfig: str | os.PathLike[str] | None, context: str | None) -> None:
        self._context = context
        self._loader: Any = None
        explicit = kubeconfig or os.environ.get("KUBECONFIG")
        self._in_cluster = not explicit and "KUBERNETES_SERVICE_HOST" in os.environ
        self._file = str(explicit or Path.home() / ".kube" / "config")

    async def read(self, *, anew: bool) -> Configuration:
        """Return the configuration of now: `anew` forgets a cached exec credential that has not expired."""
        configuration = Configuration()
        try:
            async with asyncio.timeout(_READ_SECONDS):
                await self._load(configuration, anew=anew)
        except ConfigurationError:
            raise
        except Exception as error:  # the loader raises whatever the YAML, base64 or plugin ran into
            raise ConfigurationError(f"{self} cannot be used: {_explain(error)}") from error
        if urlsplit(configuration.host).scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"{self} cannot be used: its cluster's server is {configuration.host!r}; "
                "it must be a URL that begins with https:// or http://"
            )
        return configuration

    async def _load(self, configuration: Configuration, *, anew: bool) -> None:
        if self._in_cluster:
            load_incluster_config(client_configuration=configuration, try_refresh_token=False)
        elif self._loader is not None and not anew:
            await self._loader.load_and_set(configuration)
        else:
            self._check_files()
            self._loader = await load_kube_config(
                config_file=self._file,
                context=self._context,
                client_configuration=configuration,
                persist_config=False,
            )
            self._refuse_impersonation()

    def _check_files(self) -> None:
        named = (Path(file).expanduser() for file in self._file.split(os.pathsep) if file)
        files = [file for file in named if file.exists() and not file.is_dir()]
        if not files:  # of several some may be missing, as for kubectl
            raise ConfigurationError(
                f"there is no kubeconfig file {self._file}: pass --kubeconfig, set KUBECONFIG, "
                "or run in a pod with a service account"
            )
        for file in files:
            if not file.is_fifo() and file.stat().st_size == 0:  # /dev/null is empty, too
                raise ConfigurationError(
                    f"{self} cannot be used: {file} is empty: write a kubeconfig to it, or name another file "
                    "by --kubeconfig or KUBECONFIG"
                )

    def _refuse_impersonation(self) -> None:
        if any(field in self._user for field in ("as", "as-uid", "as-groups", "as-user-extra")):
            raise ConfigurationError(
                f"{self} cannot be used: its user acts as another one (`as`), which is not supported here, and would "
                "go on with its own rights; give it credentials of the user that is meant"
            )

    @property
    def _user(self) -> Any:
        return getattr(self._loader, "_user", None) or {}

    def __str__(self) -> str:
        """Return what messages call it."""
        if self._in_cluster:
            return "the pod's service account"
        return f"kubeconfig {self._file}" + (f" with context {self._context}" if self._context else "")

    @property
    def renews_itself(self) -> bool:
        """Whether looking at the credentials once a minute can give new ones at little cost."""
        if self._in_cluster or hasattr(self._loader, "exec_plugin_expiry"):
            return True
        return "tokenFile" in self._user


def _explain(error: Exception) -> str:
    """Return what is wrong with a configuration, and what to do about it."""
    if isinstance(error, TimeoutError):
        return f"it took more than {_READ_SECONDS:.0f} s to read; does its exec plugin wait for something?"
    if isinstance(error, binascii.Error):
        return f"a field that ends in -data is not base64: {error}"
    if isinstance(error, FileNotFoundError):
        if error.filename is None:  # as uvloop has it
            return "its exec plugin is not there: install it, or put it on the PATH"
        return f"there is no {error.filename}; if that is its exec plugin, install it, or put it on the PATH"
    if isinstance(error, ConfigException | OSError | yaml.YAMLError):
        return str(error)
    return (
        f"it does not have the form of a kubeconfig ({type(error).__name__}: {error}); `kubectl config view` tells more"
    )
