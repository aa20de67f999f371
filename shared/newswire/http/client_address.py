"""Determines which client a request or a connection counts for."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

UNKNOWN = "unknown"
"""The client of a connection that has no address, such as one over a Unix socket."""


@lru_cache(maxsize=8192)
def client_network(address: str) -> str:
    """Return the network within which one client can choose its address.

    This is an IPv4 address, or the /64 of an IPv6 address that a site is assigned (RFC 6177). An IPv4-mapped IPv6 address counts
    as the IPv4 address. A string that is not an address, as a proxy may send it, is truncated to 100 characters.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def client_address(scope: Scope) -> str | None:
    """Return the client address of a request, as reported by trusted proxies; None if it has none."""
    return scope["client"][0] if scope.get("client") else None


def network_of_client(scope: Scope) -> str | None:
    """Return the network of the client of a request; None if it has no address."""
    address = client_address(scope)
    return client_network(address) if address else None


def client_of(scope: Scope) -> str:
    """Return the network that a request counts for."""
    return network_of_client(scope) or UNKNOWN


class ProxyList:
    """The proxies whose ``X-Forwarded-For`` is trusted: addresses, networks, or ``*`` for every peer."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._every = "*" in trusted
        self._networks = [ipaddress.ip_network(each) for each in trusted if each != "*"]

    def __contains__(self, address: object) -> bool:
        """Return whether a peer is a trusted proxy."""
        if self._every:
            return True
        try:
            parsed = ipaddress.ip_address(str(address).partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
