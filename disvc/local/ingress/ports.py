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


def choose(address: str, http: int | None, https: int | None) -> Ports:
    """Return two ports that are free now: what was asked for, or else 8080 and 8443, or else any.

    Raises `PortInUse` where one that was asked for is not, or was asked for twice.
    """
    plain = _choose(address, http, HTTP_PORT, "--http-port", other=https)
    return Ports(address, plain, _choose(address, https, HTTPS_PORT, "--https-port", other=plain))


def _choose(address: str, asked: int | None, preferred: int, flag: str, *, other: int | None) -> int:
    if asked is None:
        return (preferred != other and _bound(address, preferred)) or _bound(address, 0) or preferred
    if asked == other:
        raise PortInUse(f"port {asked} is asked for twice: --http-port and --https-port must differ")
    if not (port := _bound(address, asked)):
        raise PortInUse(
            f"port {asked} of {address} is in use: stop what listens there (lsof -i :{asked} says what), "
            f"give another {flag}, or none for one that is free"
        )
    return port


def _bound(address: str, port: int) -> int:
    """Return the port if it can be bound, 0 if it is in use; port 0 gives any free one."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return 0
            raise
        bound: int = probe.getsockname()[1]
        return bound
