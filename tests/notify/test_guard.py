"""Where webhooks may not go."""

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from newswire.problems import Problem
from newswire_notify.connections import Connections
from newswire_notify.guard import AddressRefused, Policy, check_endpoint, is_public
from tests.notify.conftest import Receiver

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.1.2.3 127.255.255.255 169.254.0.1
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::a00:1 100::1 2001::1 2001:0:5ef5:79fb:: 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1
3fff::1 5f00::1 fc00::1 fd12:3456:789a::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 2606:4700::1%1 localhost 2130706433
""".split()
ALLOWED = (
    "8.8.8.8 1.1.1.1 93.184.215.14 172.15.0.1 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450:4001:81b::200e".split()
)


class Names(AbstractResolver):
    """Knows only what the test told it, and turns number-like names into addresses as the system does."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.names.get(host.replace(".", "_"))
        if found is None:
            raise OSError(f"unknown name {host}")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in found
        ]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "//example.com/",
        "https://",
        "https:///path",
        "not a url",
        "https://user:word@example.com/",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://１２７.０.０.１/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%25nosuchinterface]/",
        "https://localhost/",
        "https://134744072/",
        "https://8.8.2056/",
    ],
)
async def test_endpoints_that_cannot_be_subscribed(url: str) -> None:
    with pytest.raises(Problem) as caught:
        await check_endpoint(url, Policy())
    assert caught.value.status == 422
    assert caught.value.errors[0].field == "channel.url"


async def test_names_that_lead_inside_cannot_be_subscribed() -> None:
    names = Names(inside_example=["10.0.0.1", "fd00::1"], mixed_example=["10.0.0.1", "8.8.8.8"])
    with pytest.raises(Problem, match="public internet"):
        await check_endpoint("https://inside.example/", Policy(), names)
    assert await check_endpoint("https://mixed.example/", Policy(), names) == "https://mixed.example/"
    assert await check_endpoint("https://unknown.example/", Policy(), names) == "https://unknown.example/"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8123/hook", "http://localhost/", "https://[::1]:1/", "http://10.0.0.1/"]
)
async def test_an_operator_can_allow_private_endpoints(url: str) -> None:
    assert await check_endpoint(url, Policy(allow_private=True)) == url


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "inside.example", "localhost"])
async def test_no_connection_is_made_to_a_refused_address(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2]
    resolver: Any = Names(inside_example=["127.0.0.1"]) if host == "inside.example" else None
    async with Connections(Policy(), resolver=resolver) as connections:
        with pytest.raises(AddressRefused):
            await connections.post(f"http://{host}:{port}/a", {}, b"{}")
    assert receiver.got == []


async def test_a_name_that_turns_inside_after_the_check_is_refused(receiver: Receiver) -> None:
    names = Names(turning_example=["8.8.8.8"])
    policy = Policy()
    await check_endpoint("https://turning.example/", policy, names)
    names.names["turning_example"] = ["127.0.0.1"]
    port = receiver.url.rpartition(":")[2]
    async with Connections(policy, resolver=names) as connections:
        with pytest.raises(AddressRefused):
            await connections.post(f"http://turning.example:{port}/a", {}, b"{}")
    assert receiver.got == []
