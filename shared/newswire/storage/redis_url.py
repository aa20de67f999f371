"""The addresses of a Redis: one server by TCP, TLS or a Unix socket, the primary that Sentinels name, or a cluster.

redis://[user:password@]host:port/0         rediss://… with TLS         unix:///path/redis.sock?db=0
redis+sentinel://[user:password@]host:port,host:port/service?db=0       rediss+sentinel://… with TLS for both
redis+cluster://[user:password@]host:port,host:port                     rediss+cluster://… with TLS
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from redis.asyncio.connection import parse_url

FORMS = (
    "redis://host:port/0, rediss://host:port/0 (TLS), unix:///path/to/socket, "
    "redis+sentinel://host:port,host:port/service or rediss+sentinel://…, "
    "redis+cluster://host:port,host:port or rediss+cluster://…"
)
REDIS_PORT = 6379
SENTINEL_PORT = 26379
Address = tuple[str, int]
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")
_OPTIONS = frozenset(
    (
        *_FILES,
        *("db", "protocol", "socket_timeout", "socket_connect_timeout", "health_check_interval", "client_name"),
        *(
            "username",
            "password",
            "ssl_password",
            "ssl_cert_reqs",
            "ssl_check_hostname",
            "ssl_min_version",
            "ssl_ciphers",
        ),
    )
)
_SENTINEL_OPTIONS = frozenset(("sentinel_username", "sentinel_password"))
_NOT_FOR_SENTINELS = frozenset(("db", "username", "password", "client_name"))


class RedisUrlError(ValueError):
    """An address that cannot be used; the message says why, without the password."""


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A parsed address."""

    options: Mapping[str, Any]
    """The options of connections to the server, as redis-py names them."""
    service: str = ""
    """What the Sentinels call the server; empty without Sentinels."""
    sentinels: tuple[Address, ...] = ()
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)
    """The options of connections to the Sentinels."""
    nodes: tuple[Address, ...] = ()
    """Some nodes of a cluster; empty without a cluster."""

    @property
    def follows_primary(self) -> bool:
        """Whether other servers say where the primary is."""
        return bool(self.sentinels or self.nodes)


def parse_redis_url(url: str) -> RedisUrl:
    """Parse an address.

    Raises:
        RedisUrlError: it has another form, an unknown option, or names a file that does not exist.
    """
    scheme, separator, rest = url.partition("://")
    plain, plus, kind = scheme.partition("+")
    if plain != "unix" and _divides_credentials(rest):
        raise RedisUrlError(
            "in the address of a Redis, percent-encode what is special in user and password: / is %2F, ? is %3F, # is %23"
        )
    match plain, plus + kind:
        case (("redis" | "rediss" | "unix"), "") if separator:
            return _one_server(url, rest)
        case (("redis" | "rediss"), "+sentinel"):
            return _behind_sentinels(plain, rest)
        case (("redis" | "rediss"), "+cluster"):
            return _cluster(plain, rest)
        case _:
            raise RedisUrlError(f"the address of a Redis has one of the forms {FORMS}")


def _divides_credentials(rest: str) -> bool:
    """Return whether a sign in the password ends the part of an address that has host and port.

    What is before it would be taken for the host, and with digits even for the port of this machine.
    """
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    before, at, _ = beyond.partition("@")
    return "#" in rest or ("@" not in authority and bool(at) and "=" not in before)


def names_cluster(url: str) -> bool:
    """Return whether an address is that of a cluster."""
    return url.partition("://")[0].endswith("+cluster")


def _one_server(url: str, rest: str) -> RedisUrl:
    hosts = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    if "," in hosts:
        raise RedisUrlError(
            "several hosts are those of Sentinels, redis+sentinel://host:port,host:port/service, or of a cluster, "
            "redis+cluster://host:port,host:port"
        )
    return RedisUrl(_options(url, _OPTIONS))


def _behind_sentinels(plain: str, rest: str) -> RedisUrl:
    address, _, query = rest.partition("?")
    credentials, at, hosts_and_service = address.rpartition("@")
    hosts, _, service = hosts_and_service.partition("/")
    service = unquote(service.strip("/"))
    if not service or "/" in service:
        raise RedisUrlError(
            "name the service that the Sentinels watch after the hosts: redis+sentinel://host:port/service"
        )
    options = _options(f"{plain}://{credentials}{at}sentinel?{query}", _OPTIONS | _SENTINEL_OPTIONS)
    del options["host"]
    of_sentinels = {
        name: value for name, value in options.items() if name not in _NOT_FOR_SENTINELS | _SENTINEL_OPTIONS
    }
    of_sentinels |= {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_OPTIONS & set(options)}
    return RedisUrl(options, service, _hosts(hosts, "a Sentinel", SENTINEL_PORT), of_sentinels)


def _cluster(plain: str, rest: str) -> RedisUrl:
    address, _, query = rest.partition("?")
    credentials, at, hosts_and_path = address.rpartition("@")
    hosts, _, path = hosts_and_path.partition("/")
    options = _options(f"{plain}://{credentials}{at}cluster?{query}", _OPTIONS)
    if path not in ("", "0") or options.pop("db", 0):
        raise RedisUrlError("nothing follows the hosts of a cluster, which has only database 0")
    del options["host"]
    return RedisUrl(options, nodes=_hosts(hosts, "a node", REDIS_PORT))


def _hosts(text: str, whose: str, default_port: int) -> tuple[Address, ...]:
    return tuple(_host(each.strip(), whose, default_port) for each in text.split(","))


def _host(text: str, whose: str, default_port: int) -> Address:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    name = (host if colon else text).strip("[]")
    if text.count(":") > 1 and not re.fullmatch(r"\[[0-9A-Fa-f:.]+(%\w+)?\](:\d+)?", text):
        raise RedisUrlError(
            f"{text[:100]!r} is not host:port of {whose}; an address of IPv6 is written [fd00::1]:{default_port}"
        )
    if not name or " " in name or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise RedisUrlError(f"{text[:100]!r} is not host:port of {whose}")
    return name, int(port) if colon else default_port


def _options(url: str, known: frozenset[str]) -> dict[str, Any]:
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        # The error of a port quotes what is in its place, which may be a password.
        why = "its port is no number" if "cast to integer" in str(error) else str(error)
        raise RedisUrlError(f"the address of a Redis cannot be read: {why}") from None
    made = {"host", "port", "path", "connection_class"}  # of the form of the address, not named in it
    unknown = sorted(
        name for name in options if name not in known | made or (f"{name}=" in url.partition("?")[2] and name in made)
    )
    if unknown:
        raise RedisUrlError(
            f"unknown option {unknown[0][:100]!r} in the address of a Redis; known are {', '.join(sorted(known))}"
        )
    for name in _FILES:
        if name in options and not Path(options[name]).exists():
            raise RedisUrlError(f"{name}: there is no file {options[name]}")
    return options
