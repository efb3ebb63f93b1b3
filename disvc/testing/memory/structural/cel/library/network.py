"""URLs, IP addresses and networks: k8s.io/apiserver/pkg/cel/library's `urls`, `ip` and `cidr`."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from disvc.testing.memory.go_text import quote as quoted
from disvc.testing.memory.structural.cel.library.functions import Function, opaque, succeeds
from disvc.testing.memory.structural.string_formats import is_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface
    Opaque = dict[str, Any]

__all__ = ["FUNCTIONS"]


def _url(text: str) -> Opaque:
    if not is_uri(text):
        raise ValueError(
            f"URL parse error during conversion from string: parse {quoted(text)}: invalid URI for request"
        )
    return opaque("URL", text)


def _query(url: Opaque) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url["URL"]).query, keep_blank_values=True)


def _host(url: Opaque) -> str:
    return urlsplit(url["URL"]).netloc.rpartition("@")[2]


def _host_name(url: Opaque) -> str:
    host = _host(url)
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _port(url: Opaque) -> str:
    return _host(url).rpartition("]")[2].rpartition(":")[2] if ":" in _host(url).rpartition("]")[2] else ""


def _escaped_path(url: Opaque) -> str:
    return quote(urlsplit(url["URL"]).path, safe="/%:@!$&'()*+,;=~-._")


def _parse_ip(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"IP Address {quoted(text)} parse error during conversion from string") from None
    if getattr(address, "scope_id", None):
        raise ValueError(f"IP address {quoted(text)} with zone value is not allowed")
    if getattr(address, "ipv4_mapped", None):
        raise ValueError(f"IPv4-mapped IPv6 address {quoted(text)} is not allowed")
    return address


def _ip(text: str) -> Opaque:
    return opaque("IP", str(_parse_ip(text)))


def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text)) == text


def _of_ip(test: Callable[[Address], object]) -> Callable[[Opaque], object]:
    return lambda ip: test(_parse_ip(ip["IP"]))


def _is_link_local(address: Address, *, multicast: bool) -> bool:
    link_local = ipaddress.ip_network("224.0.0.0/24") if address.version == 4 else ipaddress.ip_network("ff02::/16")
    return address in link_local if multicast else address.is_link_local


def _is_global_unicast(address: Address) -> bool:
    broadcast = ipaddress.ip_address("255.255.255.255")
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and address != broadcast


def _parse_cidr(text: str) -> Network:
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isascii() or not length.isdecimal() or (length[0] == "0" and len(length) > 1):
            raise ValueError("no '/'")
        return ipaddress.ip_interface(f"{_parse_ip(address)}/{length}")
    except ValueError:
        raise ValueError(
            f"network address parse error during conversion from string: netip.ParsePrefix({quoted(text)})"
        ) from None


def _cidr(text: str) -> Opaque:
    return opaque("CIDR", str(_parse_cidr(text)))


def _contains_ip(cidr: Opaque, ip: Opaque | str) -> bool:
    address = _parse_ip(ip if isinstance(ip, str) else ip["IP"])
    return address in _parse_cidr(cidr["CIDR"]).network


def _contains_cidr(cidr: Opaque, other: Opaque | str) -> bool:
    outer = _parse_cidr(cidr["CIDR"]).network
    inner = _parse_cidr(other if isinstance(other, str) else other["CIDR"]).network
    return outer.version == inner.version and outer.prefixlen <= inner.prefixlen and inner.network_address in outer


def _masked(cidr: Opaque) -> Opaque:
    return opaque("CIDR", str(_parse_cidr(cidr["CIDR"]).network))


FUNCTIONS: Final = (
    Function("url", ("string",), "URL", _url, is_member=False),
    Function("isURL", ("string",), "bool", is_uri, is_member=False),
    Function("getScheme", ("URL",), "string", lambda url: urlsplit(url["URL"]).scheme),
    Function("getHost", ("URL",), "string", _host),
    Function("getHostname", ("URL",), "string", _host_name),
    Function("getPort", ("URL",), "string", _port),
    Function("getEscapedPath", ("URL",), "string", _escaped_path),
    Function("getQuery", ("URL",), "map<string, list<string>>", _query),
    Function("ip", ("string",), "IP", _ip, is_member=False),
    Function("isIP", ("string",), "bool", partial(succeeds, _parse_ip), is_member=False),
    Function("ip.isCanonical", ("string",), "bool", _is_canonical, is_member=False),
    Function("string", ("IP",), "string", lambda value: next(iter(value.values())), is_member=False),
    Function("family", ("IP",), "int", _of_ip(lambda address: address.version)),
    Function("isUnspecified", ("IP",), "bool", _of_ip(lambda address: address.is_unspecified)),
    Function("isLoopback", ("IP",), "bool", _of_ip(lambda address: address.is_loopback)),
    Function("isLinkLocalMulticast", ("IP",), "bool", _of_ip(lambda address: _is_link_local(address, multicast=True))),
    Function("isLinkLocalUnicast", ("IP",), "bool", _of_ip(lambda address: _is_link_local(address, multicast=False))),
    Function("isGlobalUnicast", ("IP",), "bool", _of_ip(_is_global_unicast)),
    Function("cidr", ("string",), "CIDR", _cidr, is_member=False),
    Function("isCIDR", ("string",), "bool", partial(succeeds, _parse_cidr), is_member=False),
    Function("string", ("CIDR",), "string", lambda value: next(iter(value.values())), is_member=False),
    Function("containsIP", ("CIDR", "string"), "bool", _contains_ip),
    Function("containsIP", ("CIDR", "IP"), "bool", _contains_ip),
    Function("containsCIDR", ("CIDR", "string"), "bool", _contains_cidr),
    Function("containsCIDR", ("CIDR", "CIDR"), "bool", _contains_cidr),
    Function("ip", ("CIDR",), "IP", lambda cidr: opaque("IP", str(_parse_cidr(cidr["CIDR"]).ip))),
    Function("prefixLength", ("CIDR",), "int", lambda cidr: _parse_cidr(cidr["CIDR"]).network.prefixlen),
    Function("masked", ("CIDR",), "CIDR", _masked),
)
