"""The addresses of a Redis: one server by TCP, TLS or a Unix socket, or the primary that Sentinels name.

redis://[user:password@]host:port/0         rediss://… with TLS         unix:///path/redis.sock?db=0
redis+sentinel://[user:password@]host:port,host:port/service?db=0       rediss+sentinel://… with TLS for both
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from redis.asyncio.connection import parse_url

FORMS = (
    "redis://host:port/0, rediss://host:port/0 (TLS), unix:///path/to/socket, "
    "redis+sentinel://host:port,host:port/service or rediss+sentinel://…"
)
SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
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
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_options: Mapping[str, Any] = field(default_factory=dict)
    """The options of connections to the Sentinels."""


def parse_redis_url(url: str) -> RedisUrl:
    """Parse an address.

    Raises:
        RedisUrlError: it has another form, an unknown option, or names a file that does not exist.
    """
    scheme, separator, rest = url.partition("://")
    if (
        not separator
        or scheme.removesuffix(_SENTINEL) not in ("redis", "rediss", "unix")
        or scheme == f"unix{_SENTINEL}"
    ):
        raise RedisUrlError(f"the address of a Redis has one of the forms {FORMS}")
    return _behind_sentinels(scheme, rest) if scheme.endswith(_SENTINEL) else _one_server(url, rest)


def _one_server(url: str, rest: str) -> RedisUrl:
    hosts = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    if "," in hosts:
        raise RedisUrlError("several hosts are those of Sentinels: redis+sentinel://host:port,host:port/service")
    return RedisUrl(_options(url, _OPTIONS))


def _behind_sentinels(scheme: str, rest: str) -> RedisUrl:
    address, _, query = rest.partition("?")
    credentials, at, hosts_and_service = address.rpartition("@")
    hosts, _, service = hosts_and_service.partition("/")
    service = unquote(service.strip("/"))
    if not service or "/" in service:
        raise RedisUrlError(
            "name the service that the Sentinels watch after the hosts: redis+sentinel://host:port/service"
        )
    plain = scheme.removesuffix(_SENTINEL)
    options = _options(f"{plain}://{credentials}{at}sentinel?{query}", _OPTIONS | _SENTINEL_OPTIONS)
    del options["host"]
    of_sentinels = {
        name: value for name, value in options.items() if name not in _NOT_FOR_SENTINELS | _SENTINEL_OPTIONS
    }
    of_sentinels |= {name.removeprefix("sentinel_"): options.pop(name) for name in _SENTINEL_OPTIONS & set(options)}
    return RedisUrl(options, service, tuple(_host(each) for each in hosts.split(",")), of_sentinels)


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    name = (host if colon else text).strip("[]")
    if not name or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise RedisUrlError(f"{text[:100]!r} is not host:port of a Sentinel")
    return name, int(port) if colon else SENTINEL_PORT


def _options(url: str, known: frozenset[str]) -> dict[str, Any]:
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise RedisUrlError(f"the address of a Redis cannot be read: {error}") from None
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
