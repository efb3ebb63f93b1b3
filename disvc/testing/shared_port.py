"""Loopback ports that are kept while nothing listens on them: a socket that is bound and does not listen keeps one.

The server listens beside it, on a socket of the same kind. Only processes of the same user can, and only who knows the
number does; meanwhile the kernel refuses connections.
"""

from __future__ import annotations

import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def share_port(port: int) -> socket.socket:
    """Return a socket that is bound to a loopback port which others of its kind may have; 0: one that is free.

    Raises `OSError` where a socket of another kind has it.
    """
    # asyncio sets TCP_NODELAY only where a socket says that it is TCP; without it an answer in two writes takes 40 ms.
    shared = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind((LOOPBACK, port))
    except OSError:
        shared.close()
        raise
    return shared
