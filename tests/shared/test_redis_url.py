"""The addresses of a Redis: their forms, and what is said of one that cannot be used."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from newswire.settings import Settings
from newswire.storage.redis_url import RedisUrlError, parse_redis_url


def test_sentinels_are_named_by_their_hosts_and_service(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    found = parse_redis_url(
        f"rediss+sentinel://ida:p%40ss@a.example:26380,b.example,[::1]:7/articles?db=2&ssl_ca_certs={authority}"
        "&sentinel_password=se"
    )
    assert found.sentinels == (("a.example", 26380), ("b.example", 26379), ("::1", 7))
    assert found.service == "articles"
    tls = {"connection_class": SSLConnection, "ssl_ca_certs": str(authority)}
    assert found.options == {"username": "ida", "password": "p@ss", "db": 2, **tls}
    assert found.sentinel_options == {"password": "se", **tls}


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    found = parse_redis_url("rediss+cluster://ida:p%40ss@a.example,[::1]:7?socket_timeout=3")
    assert found.nodes == (("a.example", 6379), ("::1", 7))
    tls = {"connection_class": SSLConnection, "socket_timeout": 3.0}
    assert found.options == {"username": "ida", "password": "p@ss", **tls}
    assert parse_redis_url("redis+cluster://a/0").nodes == (("a", 6379),)
    assert parse_redis_url("redis+cluster://a:1, b:2 ,[fe80::1%eth0]").nodes == (
        ("a", 1),
        ("b", 2),
        ("fe80::1%eth0", 6379),
    )


def test_one_server_by_tcp_tls_or_socket() -> None:
    assert parse_redis_url("redis://:secret@host:1/3").options == {
        "host": "host",
        "port": 1,
        "db": 3,
        "password": "secret",
    }
    assert parse_redis_url("rediss://host").options["connection_class"] is SSLConnection
    assert parse_redis_url("unix:///run/redis.sock?db=1").options == {
        "path": "/run/redis.sock",
        "db": 1,
        "connection_class": UnixDomainSocketConnection,
    }


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:6379", "one of the forms redis://"),
        ("http://:hidden@localhost", "one of the forms redis://"),
        ("unix+sentinel://:hidden@a/s", "one of the forms redis://"),
        ("redis://:hidden@a:1,b:1/0", "redis\\+sentinel://host:port,host:port/service"),
        ("redis+sentinel://:hidden@a:1,b:1", "name the service"),
        ("redis+sentinel://:hidden@a:1/x/0", "name the service"),
        ("redis+other://:hidden@a", "one of the forms redis://"),
        ("redis+cluster://:hidden@a:1,b:x", "'b:x' is not host:port of a node"),
        ("redis+cluster://:hidden@a:1/2", "only database 0"),
        ("redis+cluster://:hidden@a:1?db=2", "only database 0"),
        ("redis+sentinel://:hidden@a:1,/x", "'' is not host:port"),
        ("redis+sentinel://:hidden@a:x/x", "'a:x' is not host:port"),
        ("redis+sentinel://:hidden@a:70000/x", "'a:70000' is not host:port"),
        ("redis://:hidden@a:x/0", "cannot be read: its port is no number"),
        ("redis://hidden:hidden/0", "cannot be read: its port is no number"),
        ("redis://:hidden#2@a:1/0", "percent-encode what is special"),
        ("redis://:123/hidden@a:1/0", "percent-encode what is special"),
        ("redis://:123?hidden@a:1/0", "percent-encode what is special"),
        ("redis+sentinel://:123#hidden@a:1/x", "percent-encode what is special"),
        ("redis+cluster://:123/hidden@a:1", "percent-encode what is special"),
        ("redis+sentinel://:hidden@fd00::1:26379/x", r"written \[fd00::1\]:26379"),
        ("redis+cluster://:hidden@a,fd00::1", r"written \[fd00::1\]:6379"),
        ("redis+cluster://:hidden@a b:1", "'a b:1' is not host:port"),
        ("redis://:hidden@a/0?db=x", "Invalid value for 'db'"),
        ("redis://:hidden@a/0?tls=on", "unknown option 'tls'"),
        ("redis://:hidden@a/0?connection_class=x", "unknown option .connection_class"),
        ("rediss://:hidden@a/0?ssl_ca_certs=/no/such.pem", "ssl_ca_certs: there is no file /no/such.pem"),
    ],
)
def test_an_address_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(RedisUrlError, match=said) as raised:
        parse_redis_url(url)
    assert "hidden" not in str(raised.value)
    with pytest.raises(ValidationError, match=said) as refused:
        Settings(redis_url=url)
    assert "hidden" not in str(refused.value)


def test_a_namespace_can_be_a_hash_tag() -> None:
    assert Settings(namespace="{nw}").namespace == "{nw}"
    assert Settings(redis_url="redis+cluster://a", namespace="nw").namespace == "{nw}"
    assert Settings(redis_url="redis+cluster://a", namespace="{nw}").namespace == "{nw}"
    assert Settings(delivery_redis_url="redis+cluster://a", namespace="nw").namespace == "nw"
    for namespace in ("{nw", "nw}", "{}", "{{nw}}", "{nw}x"):
        with pytest.raises(ValidationError):
            Settings(namespace=namespace)
