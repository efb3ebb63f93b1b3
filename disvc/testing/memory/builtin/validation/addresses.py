"""IP addresses of Services and endpoints."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

__all__ = ["endpoint_address", "ip_address", "legacy_ip_address", "network"]

_IS: str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def ip_address(path: str, value: str) -> Iterator[Cause]:
    """Check an IP address in its canonical form, as newer API types want it."""
    parsed = _parsed(value)
    if parsed is None:
        yield causes.invalid(path, value, _IS)
    elif str(parsed) != value:
        yield causes.invalid(path, value, f'must be in canonical form ("{parsed}")')


def legacy_ip_address(path: str, value: str) -> Iterator[Cause]:
    """Check an IP address in any form, as older API types take it."""
    if _parsed(value) is None:
        yield causes.invalid(path, value, _IS)


def network(path: str, value: str) -> Iterator[Cause]:
    """Check a range of IP addresses, like 10.0.0.0/8."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        yield causes.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")


def endpoint_address(path: str, value: str) -> Iterator[Cause]:
    """Check that an IP address can be that of an endpoint: it must not lead to the host that connects to it."""
    address = _parsed(value)
    if address is None:
        yield causes.invalid(path, value, "must be a valid IP address")
        return
    if address.is_unspecified:
        yield causes.invalid(path, value, f"may not be unspecified ({value})")
    if address.is_loopback:
        yield causes.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield causes.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and (int(address) >> 8 == 0xE00000 or str(address).startswith("ff02:")):
        yield causes.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _parsed(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(value)
    except ValueError:
        return None
