"""Where a webhook may go: never to an address inside the operator's own network.

Names are resolved by us, every address that is not globally reachable is refused, and the connection is made to the very
address that was checked (the name still goes into ``Host`` and TLS). Every address meets the check once more when its socket is
made.
"""

import asyncio
import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohappyeyeballs import start_connection
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from newswire.problems import Problem, invalid

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

# Python's is_global lets these through in some releases, or sees only the outer address of a tunnel.
_REFUSED_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_REFUSED_6 = tuple(
    IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # protocols and Teredo, documentation, 6to4
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows."""

    allow_private: bool = False
    ports: Collection[int] = frozenset({80, 443})


class AddressRefused(OSError):
    """An endpoint resolves to an address that webhooks must not reach."""


def is_public(address: str) -> bool:
    """Tell whether an address is one on the public internet; what is no address at all is not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        return _is_public_6(ip)
    return _is_public_4(ip)


def _is_public_4(ip: IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _REFUSED_4)


def _is_public_6(ip: IPv6Address) -> bool:
    if (
        ip.scope_id is not None or ip not in _GLOBAL_6
    ):  # also IPv4-mapped and -compatible, NAT64, unique local, link-local
        return False
    return ip.is_global and not any(ip in network for network in _REFUSED_6)


class SystemResolver(AbstractResolver):
    """Asks the system, in threads of its own: names that nobody answers for must not hold up the others."""

    def __init__(self, threads: int = 64) -> None:
        self._pool = ThreadPoolExecutor(threads, "resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name to all its addresses."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, ask)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Resolves a name to those of its addresses that a policy allows."""

    def __init__(self, policy: Policy, inner: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._inner = inner or SystemResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve, and raise `AddressRefused` where nothing allowed is left."""
        found = await self._inner.resolve(host, port, family)
        allowed = [result for result in found if self._policy.allow_private or is_public(result["host"])]
        if found and not allowed:
            raise AddressRefused(f"{host} is not on the public internet")
        return allowed

    async def close(self) -> None:
        """Close the resolver underneath."""
        await self._inner.close()


class Dialler:
    """Connects to where a policy allows, and to nowhere else."""

    def __init__(self, policy: Policy, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = GuardedResolver(policy, resolver)

    async def dial(self, host: str, port: int) -> socket.socket:
        """Resolve a host (an address too) and connect to the first of its allowed addresses that answers (RFC 8305).

        Raises:
            AddressRefused: it has none that is allowed.
            socket.gaierror: it does not resolve.
            OSError: nobody answers.
        """
        found = await self._resolver.resolve(host, port)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        infos = [
            (result["family"], socket.SOCK_STREAM, result["proto"], "", (result["host"], result["port"]))
            for result in found
        ]
        return await start_connection(
            infos, happy_eyeballs_delay=0.25, interleave=1, socket_factory=self._guarded_socket
        )

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()

    def _guarded_socket(self, info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._policy.allow_private and not is_public(str(address[0])):
            raise AddressRefused(f"{address[0]} is not on the public internet")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


async def check_endpoint(url: str, policy: Policy, resolver: AbstractResolver | None = None) -> str:
    """Return a webhook's address if it may be one; otherwise raise the 422 that says why.

    A name that does not resolve today passes: it is tried again when there is something to deliver.
    """
    field = "channel.url"
    try:
        parsed = URL(url)
        host, port = parsed.host, parsed.port
    except ValueError:
        raise invalid(field, "is not a URL", "send an address such as https://example.com/hook") from None
    schemes = ("https", "http") if policy.allow_private else ("https",)
    if parsed.scheme not in schemes or not host or port is None:
        raise invalid(
            field, f"is not an absolute {' or '.join(schemes)} URL", "send an address such as https://example.com/hook"
        )
    if parsed.user is not None or parsed.password is not None:
        raise invalid(field, "holds credentials", "leave them out: verify the signature instead")
    if "#" in url:
        raise invalid(field, "has a fragment", "leave out '#' and what follows")
    if _is_odd_number(host):
        raise invalid(field, "writes an IP address in an unusual way", "write it as four numbers, or use a name")
    if not policy.allow_private:
        if port not in policy.ports:
            raise invalid(field, f"names port {port}", f"use one of {', '.join(map(str, sorted(policy.ports)))}")
        await _check_host(field, host, port, resolver)
    return str(parsed)


def _is_odd_number(host: str) -> bool:
    """Tell whether a host is an IPv4 address in other than its usual form, which no client of ours connects to."""
    last = host.rstrip(".").rpartition(".")[2]
    if not (last.isdigit() or last.startswith("0x")) or ":" in host:
        return False
    try:
        return str(IPv4Address(host)) != host
    except ValueError:
        return True


async def _check_host(field: str, host: str, port: int, resolver: AbstractResolver | None) -> None:
    if ":" in host and not is_public(host):  # the system does not resolve a scoped literal whose interface it lacks
        raise _private(field)
    inner = resolver or SystemResolver(threads=1)
    try:
        async with asyncio.timeout(5):
            found = await inner.resolve(host, port, socket.AF_UNSPEC)
    except (OSError, TimeoutError):
        return
    finally:
        if resolver is None:
            await inner.close()
    if found and not any(is_public(result["host"]) for result in found):
        raise _private(field)


def _private(field: str) -> Problem:
    return invalid(
        field,
        "does not lead to the public internet",
        "use a public address; on a closed network the operator can set NEWSWIRE_WEBHOOK_ALLOW_PRIVATE=true",
    )
