"""Classifies IP addresses by the IANA special-purpose registries (RFC 6890), with a description of each non-public network."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

# The first network that contains an address describes it, so narrower networks come first.
_SPECIAL_4 = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "the shared network of a carrier or cloud"),
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a cloud's own service"),  # a public address, answered inside every Azure machine
        ("169.254.0.0/16", "a link-local address, such as clouds answer with credentials"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "an address reserved for protocols"),
        ("192.0.2.0/24", "an address reserved for documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "a network for benchmarks"),
        ("198.51.100.0/24", "an address reserved for documentation"),
        ("203.0.113.0/24", "an address reserved for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
# Networks that embed IPv4 addresses are refused entirely, because their destination is unknown.
_SPECIAL_6 = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::/96", "an IPv4-compatible address"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("::ffff:0:0:0/96", "an IPv4-translated address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2001::/32", "a Teredo address"),
        ("2001::/23", "an address reserved for protocols"),
        ("2001:db8::/32", "an address reserved for documentation"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "an address reserved for documentation"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "a link-local address, such as clouds answer with credentials"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "a multicast address"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_RESERVED = "a reserved address"


def special(address: str) -> str | None:
    """Return the description of a non-public address, or None for a public one."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(ip, IPv6Address) and ip.scope_id is not None:
        return "an address of one interface only"
    found = _named(ip)
    if found is not None:
        return found
    reachable = ip.is_global and not ip.is_multicast and (isinstance(ip, IPv4Address) or ip in _GLOBAL_6)
    return None if reachable else _RESERVED


def within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of these networks, also as an IPv4-mapped IPv6 address."""
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return any(ip in network or (mapped is not None and mapped in network) for network in networks)


def _named(ip: IPv4Address | IPv6Address) -> str | None:
    if isinstance(ip, IPv4Address):
        return next((what for network, what in _SPECIAL_4 if ip in network), None)
    return next((what for network, what in _SPECIAL_6 if ip in network), None)
