"""Protection against server-side request forgery: webhooks never reach addresses inside the operator's network.

The guard resolves names itself. A name is refused where any of its addresses is not public, because a connection may use any of
them. Connections go to exactly the checked addresses, and sockets check again (address literals are not resolved), while ``Host``
and TLS still use the name.
"""

import asyncio
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Protocol

from aiohappyeyeballs import start_connection
from yarl import URL

from newswire.validation.web_addresses import MAX_URL_LENGTH
from newswire_notify.webhooks.addresses import Network, special, within

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

FIELD = "channel.url"
EXAMPLE = "send an address such as https://example.com/hook"
RESOLVE_TIMEOUT_SECONDS = 5.0
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_NOT_PUBLIC = "not to the public internet"
_IMPOSSIBLE = re.compile(r"[\x00-\x20\x7f\\]")
_AUTHORITY = re.compile(r"[^/?#]*//([^/?#]*)")
_HOSTNAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)


class AddressRefusedError(OSError):
    """An endpoint is at an address that webhooks must not reach; the message describes it, without the address."""


class EndpointRefusedError(Exception):
    """A URL is not accepted: the field that contains it, why, and what to send instead."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.field = field
        self.problem = problem
        self.fix = fix


class NameResolutionError(OSError):
    """The host name of an endpoint does not resolve; the message says why."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The addresses and ports that the operator allows."""

    allow_private: bool = False
    ports: Collection[int] = frozenset({80, 443})
    refused: Collection[Network] = ()
    """The operator's networks at public addresses; refused even where private addresses are allowed."""
    answers_shown: bool = False
    """Whether subscribers see responses of private addresses. No setting enables it: it would let them scan the internal
    network."""

    def check(self, address: str) -> None:
        """Raise `AddressRefusedError` where an address is not allowed."""
        if not self.allow_private and (what := special(address)) is not None:
            raise AddressRefusedError(f"leads to {what}, {_NOT_PUBLIC}")
        if self.refused and within(address, self.refused):
            raise AddressRefusedError("leads to a network that this installation refuses")

    def check_way(self, port: int, *, tls: bool) -> None:
        """Raise `AddressRefusedError` where a port, or its use without TLS, is not allowed."""
        if self.allow_private:
            return
        if not tls:
            raise AddressRefusedError("is not https")
        if port not in self.ports:
            raise AddressRefusedError(f"names port {port}")

    def check_name(self, host: str) -> None:
        """Raise `AddressRefusedError` for a name that is refused without resolving it."""
        name = host.rstrip(".").lower()
        if not self.allow_private and (name == "localhost" or name.endswith(".localhost")):  # RFC 6761, section 6.3
            raise AddressRefusedError(f"leads to a loopback address, {_NOT_PUBLIC}")
        # Libraries parse such numbers differently: as octal or decimal, with or without padding.
        if _is_unusual_ipv4(host):
            raise AddressRefusedError("writes an IP address in an unusual way")


class Resolver(Protocol):
    """Resolves names, as those of aiohttp do."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> "list[ResolveResult]":
        """Return the addresses of a name."""

    async def close(self) -> None:
        """Stop waiting for answers."""


class GuardedResolver:
    """Resolves names, by default with the system's configuration, and checks every address that it returns."""

    def __init__(self, policy: AddressPolicy, inner: Resolver | None = None) -> None:
        self._policy = policy
        self._inner = inner
        self._own: Resolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> "list[ResolveResult]":
        """Resolve a name; raise `AddressRefusedError` where one of its addresses is not allowed."""
        if (literal := _literal(host)) is not None:
            self._policy.check(str(literal))
            kind = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            return [{"hostname": host, "host": host, "port": port, "family": kind, "proto": 0, "flags": _NUMERIC}]
        self._policy.check_name(host)
        found = await (self._inner or self._of_system()).resolve(host, port, family)
        for result in found:
            self._policy.check(result["host"])
        return found

    async def close(self) -> None:
        """Close the inner resolver, unless it was passed in."""
        if self._own is not None:
            await self._own.close()

    def _of_system(self) -> Resolver:
        if self._own is None:
            from aiohttp import AsyncResolver  # takes a fifth of the time for importing notify

            # Waits for name servers without threads: names that do not respond delay no others.
            self._own = AsyncResolver()
        return self._own


class GuardedConnector:
    """Connects only to addresses that a policy allows."""

    def __init__(self, policy: AddressPolicy, resolver: Resolver | None = None) -> None:
        self._policy = policy
        self._resolver = GuardedResolver(policy, resolver)

    async def dial(self, host: str, port: int, *, tls: bool) -> socket.socket:
        """Resolve a host (or an address) and connect to the first of its addresses that responds (RFC 8305).

        Raises:
            AddressRefusedError: an address, the port or the scheme is not allowed.
            NameResolutionError: the name does not resolve.
            OSError: no address accepts a connection.
        """
        self._policy.check_way(port, tls=tls)
        try:
            found = await self._resolver.resolve(host, port)
        except AddressRefusedError:
            raise
        except OSError as error:
            raise NameResolutionError(error.strerror or str(error)) from error
        if not found:
            raise NameResolutionError("no address")
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
        self._policy.check(str(address[0]))
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


async def check_endpoint(url: str, policy: AddressPolicy, resolver: Resolver | None = None) -> str:
    """Return a webhook URL in its normal form.

    A name that does not resolve now is accepted: it is resolved again for each delivery.

    Raises:
        EndpointRefusedError: it is not accepted.
    """
    checked = check_url(url, policy)
    parsed = URL(checked)
    guarded = GuardedResolver(policy, resolver)
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
            await guarded.resolve(parsed.raw_host or "", parsed.port or 0)
    except AddressRefusedError as refused:
        raise _refused(FIELD, str(refused)) from None
    except (OSError, TimeoutError):
        pass
    finally:
        await guarded.close()
    return checked


def check_url(url: str, policy: AddressPolicy, *, field: str = FIELD) -> str:
    """Return a URL in its normal form, without resolving its name.

    ``field``: what an error names. Names are checked again for each connection.

    Raises:
        EndpointRefusedError: it is not accepted.
    """
    parsed, host, port = _parsed(url, policy, field)
    if not policy.allow_private and port not in policy.ports:
        raise EndpointRefusedError(
            field, f"names port {port}", f"use one of {', '.join(map(str, sorted(policy.ports)))}"
        )
    try:
        if (literal := _literal(host)) is not None:
            policy.check(str(literal))
        else:
            policy.check_name(host)
    except AddressRefusedError as refused:
        raise _refused(field, str(refused)) from None
    return str(parsed)


def _parsed(url: str, policy: AddressPolicy, field: str) -> tuple[URL, str, int]:
    """Parse a URL as the client does; refuse URLs that other programs may parse differently."""
    if _IMPOSSIBLE.search(url):
        raise EndpointRefusedError(
            field, "contains a space, a control character or a backslash", "percent-encode it, or remove it"
        )
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        raise EndpointRefusedError(field, "is not a URL", EXAMPLE) from None
    schemes = ("https", "http") if policy.allow_private else ("https",)
    authority = _AUTHORITY.match(url)
    if parsed.scheme not in schemes or not host or port is None or authority is None:
        raise EndpointRefusedError(field, f"is not an absolute {' or '.join(schemes)} URL", EXAMPLE)
    if "@" in authority[1]:
        raise EndpointRefusedError(field, "contains credentials", "remove them, and verify the signature instead")
    if "#" in url:
        raise EndpointRefusedError(field, "has a fragment", "remove '#' and everything after it")
    bracketed = "[" in authority[1]
    if bracketed != (":" in host) or not (bracketed or _HOSTNAME.fullmatch(host)):
        raise EndpointRefusedError(field, "has an invalid host", EXAMPLE)
    if _is_unusual_ipv4(host):
        raise EndpointRefusedError(
            field, "writes an IP address in an unusual way", "write it as four numbers, or use a name"
        )
    if (length := len(str(parsed))) > MAX_URL_LENGTH:  # characters outside ASCII take up to nine times as much
        problem = f"is too long: {length} characters once it is percent-encoded"
        raise EndpointRefusedError(field, problem, f"send one of at most {MAX_URL_LENGTH}")
    return parsed, host, port


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_unusual_ipv4(host: str) -> bool:
    """Return whether a host is an IPv4 address in an unusual form, which is never connected to."""
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or not (last.isdigit() or last.startswith("0x")):
        return False
    try:
        return str(IPv4Address(host)) != host
    except ValueError:
        return True


def _refused(field: str, problem: str) -> EndpointRefusedError:
    return EndpointRefusedError(
        field,
        problem,
        "use a public address; on a closed network the operator can set NEWSWIRE_WEBHOOK_ALLOW_PRIVATE=true",
    )
