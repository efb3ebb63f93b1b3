"""IP addresses of Services and endpoints."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

__all__ = ["endpoint_address", "ip_address", "legacy_ip_address", "network"]

_IS: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_IS_NETWORK: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LEADING_ZEROS: Final = re.compile(r"\b0+(?=\d)")


def ip_address(path: str, value: str) -> Iterator[Cause]:
    """Check an IP address in its canonical form, as newer API types want it."""
    malformed = list(legacy_ip_address(path, value))
    parsed = _parsed(value)
    if malformed or parsed is None:
        yield from malformed
    elif str(parsed) != value:
        yield causes.invalid(path, value, f'must be in canonical form ("{parsed}")')


def legacy_ip_address(path: str, value: str) -> Iterator[Cause]:
    """Check an IP address in any form, as older API types take it."""
    parsed = _parsed(value)
    if parsed is None:
        is_readable = _parsed(_without_zeros(value)) is not None
        yield causes.invalid(path, value, "must not have leading 0s" if is_readable else _IS)
    elif _is_mapped(parsed):
        yield causes.invalid(path, value, "must not be an IPv4-mapped IPv6 address")


def network(path: str, value: str) -> Iterator[Cause]:
    """Check a range of IP addresses, like 10.0.0.0/8."""
    address, _, length = value.partition("/")
    readable = _without_zeros(address), _LEADING_ZEROS.sub("", length)
    parsed = _parsed_network(*readable)
    if parsed is None:
        yield causes.invalid(path, value, _IS_NETWORK)
    elif readable != (address, length):
        yield causes.invalid(path, value, "must not have leading 0s in IP or prefix length")
    elif _is_mapped(parsed.network_address):
        yield causes.invalid(path, value, "must not have an IPv4-mapped IPv6 address")
    elif parsed.network_address != _parsed(address):
        yield causes.invalid(path, value, "must not have bits set beyond the prefix length")


def _without_zeros(address: str) -> str:
    """Return an IP address as Go once read it: with numbers of an IPv4 address that begin with 0."""
    return address if ":" in address else _LEADING_ZEROS.sub("", address)


def _parsed_network(address: str, length: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not (length.isascii() and length.isdecimal()):
        return None
    try:
        return ipaddress.ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        return None


def _is_mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None


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
