"""Which ports an ingress listens on: those that were asked for, or what is free."""

from __future__ import annotations

import errno
import socket
from typing import Final

from disvc.local.ingress.configuration import Ports
from disvc.runtime import ConfigurationError

ADDRESS: Final = "127.0.0.1"
HTTP_PORT: Final = 8080
HTTPS_PORT: Final = 8443


class PortInUse(ConfigurationError):
    """A port that was asked for cannot be had."""


def choose(http: int | None, https: int | None) -> Ports:
    """Return two ports that are free now: what was asked for, or else 8080 and 8443, or else any.

    Raises `PortInUse` where one that was asked for is not, or was asked for twice.
    """
    plain = _choose(http, HTTP_PORT, "--http-port", other=https)
    return Ports(ADDRESS, plain, _choose(https, HTTPS_PORT, "--https-port", other=plain))


def _choose(asked: int | None, preferred: int, flag: str, *, other: int | None) -> int:
    if asked is None:
        return (preferred != other and _bound(preferred)) or _bound(0) or preferred
    if asked == other:
        raise PortInUse(f"port {asked} is asked for twice: --http-port and --https-port must differ")
    if not (port := _bound(asked)):
        raise PortInUse(
            f"port {asked} of {ADDRESS} is in use: stop what listens there (lsof -i :{asked} says what), "
            f"give another {flag}, or none for one that is free"
        )
    return port


def _bound(port: int) -> int:
    """Return the port if it can be bound, 0 if it is in use; port 0 gives any free one."""
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return 0
            raise
        bound: int = probe.getsockname()[1]
        return bound
