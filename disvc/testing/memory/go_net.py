"""What Go's package net says of a connection that could not be made."""

from __future__ import annotations

import aiohttp

__all__ = ["dial_failure"]


def dial_failure(error: aiohttp.ClientConnectorError) -> str:
    """Return the words of a net.OpError; that of a name says no name server."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    host = f"[{error.host}]" if ":" in error.host else error.host
    refused = isinstance(error.os_error, ConnectionRefusedError)
    return f"dial tcp {host}:{error.port}: {'connect: connection refused' if refused else error.os_error}"
