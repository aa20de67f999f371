"""Addresses that webhooks must not reach: with real name servers and sockets, checked at subscription and at every delivery."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
import trustme
from aiohttp import web
from aiohttp.abc import AbstractResolver

from newswire_notify.deliveries.models import Attempt
from newswire_notify.webhooks.addresses import special
from newswire_notify.webhooks.http_client import WebhookHttpClient
from newswire_notify.webhooks.sending import HIDDEN_FAILURE, Sender
from newswire_notify.webhooks.ssrf_guard import AddressPolicy, EndpointRefusedError, check_endpoint
from tests.notify.conftest import TIMEOUT_SECONDS, Receiver, claimed_delivery
from tests.notify.name_server import UNANSWERED, name_server
from tests.servers.valkey import free_port

pytestmark = pytest.mark.slow

SPECIAL = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 127.0.0.1 127.1.2.3 127.255.255.255 169.254.0.1
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808
64:ff9b:1::a00:1 100::1 2001::1 2001:0:5ef5:79fb:: 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1
3fff::1 5f00::1 fc00::1 fd12:3456:789a::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 2606:4700::1%1 localhost 2130706433
""".split()
PUBLIC = (
    "8.8.8.8 1.1.1.1 93.184.215.14 168.63.129.17 172.15.0.1 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450:4001:81b::200e"
).split()


@pytest.mark.parametrize("address", SPECIAL)
def test_non_public_addresses_are_described(address: str) -> None:
    assert special(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_accepted(address: str) -> None:
    assert special(address) is None


class Inside:
    """The internal server that must never be reached: it counts connections on every address of this machine, on one port."""

    def __init__(self) -> None:
        self.port = 0
        self.reached = 0

    async def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached += 1
        writer.close()


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    private = Inside()
    async with AsyncExitStack() as stack:
        v4 = await stack.enter_async_context(await asyncio.start_server(private.take, "0.0.0.0", 0))
        private.port = v4.sockets[0].getsockname()[1]
        await stack.enter_async_context(await asyncio.start_server(private.take, "::", private.port))
        yield private


@dataclass
class Case:
    """A URL, the answers of the name server, and the error for the subscriber; None: accepted, because the name may resolve
    later."""

    url: str
    error: str | None
    records: dict[str, Sequence[str]] = field(default_factory=dict)


def inside_by_name(error: str, *records: str, **others: Sequence[str]) -> Case:
    named = {"hook.example": list(records)} | {name.replace("_", "."): kept for name, kept in others.items()}
    return Case("https://hook.example:{port}/", error, named)


LOOPBACK = "leads to a loopback address"
LINK_LOCAL = "leads to a link-local address"
PRIVATE = "leads to a private network"
UNUSUAL = "writes an IP address in an unusual way"
NO_HOST = "has an invalid host"
CHARACTER = "contains a space, a control character or a backslash"
CREDENTIALS = "contains credentials"

CASES = [
    # Literals, as they are usually written and otherwise.
    Case("https://127.0.0.1:{port}/", LOOPBACK),
    Case("https://127.8.8.8:{port}/", LOOPBACK),
    Case("https://0.0.0.0:{port}/", "leads to an unspecified address"),
    Case("https://2130706433:{port}/", UNUSUAL),
    Case("https://017700000001:{port}/", UNUSUAL),
    Case("https://0x7f000001:{port}/", UNUSUAL),
    Case("https://0x7F.0.0.0x1:{port}/", UNUSUAL),
    Case("https://0177.0.0.1:{port}/", UNUSUAL),
    Case("https://127.1:{port}/", UNUSUAL),
    Case("https://127.0.1:{port}/", UNUSUAL),
    Case("https://0:{port}/", UNUSUAL),
    Case("https://127.0.0.1.:{port}/", UNUSUAL),
    Case("https://127.000.000.001:{port}/", UNUSUAL),
    Case("https://4294967297:{port}/", UNUSUAL),
    Case("https://[::1]:{port}/", LOOPBACK),
    Case("https://[0:0:0:0:0:0:0:1]:{port}/", LOOPBACK),
    Case("https://[::]:{port}/", "leads to an unspecified address"),
    Case("https://[::ffff:127.0.0.1]:{port}/", "leads to an IPv4-mapped address"),
    Case("https://[::ffff:7f00:1]:{port}/", "leads to an IPv4-mapped address"),
    Case("https://[::ffff:0:127.0.0.1]:{port}/", "leads to an IPv4-translated address"),
    Case("https://[::127.0.0.1]:{port}/", "leads to an IPv4-compatible address"),
    Case("https://[2002:7f00:1::]:{port}/", "leads to a 6to4 address"),
    Case("https://[2001:0:7f00:1::]:{port}/", "leads to a Teredo address"),
    Case("https://[64:ff9b::7f00:1]:{port}/", "leads to a NAT64 address"),
    Case("https://[64:ff9b:1::7f00:1]:{port}/", "leads to a NAT64 address"),
    Case("https://[2a02:ec0:64::7f00:1]:{port}/", "leads to a network that this installation refuses"),
    Case("https://[fe80::1]:{port}/", LINK_LOCAL),
    Case("https://[fe80::1%25lo]:{port}/", "leads to an address of one interface only"),
    Case("https://[::1%25lo]:{port}/", "leads to an address of one interface only"),
    Case("https://[fd00:ec2::254]:{port}/", PRIVATE),
    Case("https://[fec0::1]:{port}/", PRIVATE),
    Case("https://[ff02::1]:{port}/", "leads to a multicast address"),
    Case("https://169.254.169.254:{port}/latest/meta-data/", LINK_LOCAL),
    Case("https://100.100.100.200:{port}/latest/meta-data/", "leads to the shared network of a carrier or cloud"),
    Case("https://168.63.129.16:{port}/metadata", "leads to a cloud's own service"),
    Case("https://10.1.2.3:{port}/", PRIVATE),
    Case("https://224.0.0.1:{port}/", "leads to a multicast address"),
    Case("https://255.255.255.255:{port}/", "leads to the broadcast address"),
    Case("https://192.0.2.1:{port}/", "leads to an address reserved for documentation"),
    Case("https://198.18.0.1:{port}/", "leads to a network for benchmarks"),
    # Names of this machine.
    Case("https://localhost:{port}/", LOOPBACK),
    Case("https://LOCALHOST:{port}/", LOOPBACK),
    Case("https://localhost.:{port}/", LOOPBACK),
    Case("https://hook.localhost:{port}/", LOOPBACK),
    # What looks like a name or a number and is another.
    Case("https://１２７.０.０.１:{port}/", LOOPBACK),
    Case("https://①②⑦.⓪.⓪.①:{port}/", LOOPBACK),
    Case("https://127。0。0。1:{port}/", LOOPBACK),
    Case("https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/", LOOPBACK),
    Case("https://０x7f.1:{port}/", UNUSUAL),
    Case("https://%31%32%37.0.0.1:{port}/", NO_HOST),
    Case("https://hook.example@127.0.0.1:{port}/", CREDENTIALS),
    Case("https://hook.example:443@127.0.0.1:{port}/", CREDENTIALS),
    Case("https://@127.0.0.1:{port}/", CREDENTIALS),
    Case("https://127.0.0.1:{port}\\@hook.example/", CHARACTER),
    Case("https://hook.example\\@127.0.0.1:{port}/", CHARACTER),
    Case("https://127.0.0.1:{port}\\.hook.example/", CHARACTER),
    Case("https://127.0\t.0.1:{port}/", CHARACTER),
    Case("https://127.0.0.1\n:{port}/", CHARACTER),
    Case(" https://127.0.0.1:{port}/", CHARACTER),
    Case("https://127.0.0.1:{port}/\x7f", CHARACTER),
    Case("https://127.0.0.1:{port}#@hook.example/", "has a fragment"),
    Case("https://127.0.0.1:{port}?@hook.example/", LOOPBACK),
    Case("https://hook..example:{port}/", NO_HOST),
    Case("https://" + "a" * 64 + ".example:{port}/", NO_HOST),
    Case("https://" + "a." * 130 + "example:{port}/", NO_HOST),
    Case("https://[v1.127]:{port}/", NO_HOST),
    Case("https:127.0.0.1:{port}/", "is not an absolute https URL"),
    Case("https:///127.0.0.1:{port}/", "is not an absolute https URL"),
    Case("//127.0.0.1:{port}/", "is not an absolute https URL"),
    Case("http://127.0.0.1:{port}/", "is not an absolute https URL"),
    Case("gopher://127.0.0.1:{port}/", "is not an absolute https URL"),
    Case("https://8.8.8.8:22/", "names port 22"),
    Case("https://8.8.8.8:0/", "names port 0"),
    Case("https://8.8.8.8:99999/", "is not a URL"),
    # What would end a header, hide something or take too much.
    Case("https://hook.example:{port}/\r\nX-Injected: yes", CHARACTER),
    Case("https://hook.example:{port}/\x00", CHARACTER),
    Case("https://hook.example:{port}/a b", CHARACTER),
    Case("https://user:secret@hook.example:{port}/", CREDENTIALS),
    Case("https://:@hook.example:{port}/", CREDENTIALS),
    Case("https://hook.example:{port}/#", "has a fragment"),
    Case("https://hook.example:{port}/?q=1#part", "has a fragment"),
    Case("https://hook.example:{port}/" + "鯨" * 300, "is too long: "),
    Case("https://hook\u202e.example:{port}/", "is not a URL"),
    Case("https://ho\u200bok.example:{port}/", "is not a URL"),
    # What name servers can say.
    inside_by_name(LOOPBACK, "A 127.0.0.1"),
    inside_by_name(PRIVATE, "A 10.0.0.1"),
    inside_by_name(LOOPBACK, "AAAA ::1"),
    inside_by_name("leads to an IPv4-mapped address", "AAAA ::ffff:7f00:1"),
    inside_by_name("leads to a NAT64 address", "AAAA 64:ff9b::7f00:1"),
    inside_by_name(LINK_LOCAL, "AAAA fe80::1"),
    inside_by_name(LOOPBACK, "A 8.8.8.8", "A 127.0.0.1"),
    inside_by_name(LOOPBACK, "A 127.0.0.1", "A 8.8.8.8"),
    inside_by_name(LOOPBACK, "A 8.8.8.8", "AAAA ::1"),
    inside_by_name(LOOPBACK, "A 127.0.0.1", "AAAA 2606:4700::1111"),
    inside_by_name(LOOPBACK, "CNAME inside.example", inside_example=["A 127.0.0.1"]),
    inside_by_name(
        LOOPBACK, "CNAME one.example", one_example=["CNAME two.example"], two_example=["A 8.8.8.8", "A 127.0.0.1"]
    ),
    Case("https://hook.example.:{port}/", LOOPBACK, {"hook.example": ["A 127.0.0.1"]}),
    Case("https://höök.example:{port}/", LOOPBACK, {"xn--hk-fkaa.example": ["A 127.0.0.1"]}),
    Case("https://hook.example:{port}/", None, {"hook.example": []}),
    Case("https://hook.example:{port}/", None, {"hook.example": UNANSWERED}),
    Case("https://hook.example:{port}/", None),
]


def strict(port: int) -> AddressPolicy:
    """As in production, but the internal server listens on an allowed port; one network is refused."""
    return AddressPolicy(ports=frozenset({port}), refused=[ip_network("2a02:ec0:64::/96")])


async def attempted(
    url: str,
    policy: AddressPolicy,
    resolver: AbstractResolver,
    tls: ssl.SSLContext | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Attempt:
    """Deliver to a URL as if it had been accepted under an earlier policy."""
    async with WebhookHttpClient(policy, connect=timeout, resolver=resolver, tls=tls) as http_client:
        return (await Sender(http_client, timeout=timeout).send(claimed_delivery(url), b"{}", None)).attempt


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.url[:40]!a} {' '.join(case.records.get('hook.example', ()))}"
)
async def test_internal_addresses_are_refused_with_a_reason_and_never_reached(case: Case, inside: Inside) -> None:
    url = case.url.replace("{port}", str(inside.port))
    policy = strict(inside.port)
    async with name_server() as (zone, resolver):
        zone.records |= case.records
        if case.error is None:
            await check_endpoint(url, policy, resolver)
        else:
            with pytest.raises(EndpointRefusedError) as caught:
                await check_endpoint(url, policy, resolver)
            assert caught.value.problem.startswith(case.error)
            assert caught.value.fix

        attempt = await attempted(url, policy, resolver)
        assert attempt.status is None
        assert (attempt.error or "").startswith(("refused-address: the endpoint", "dns: ", "connect: the URL or"))
    assert inside.reached == 0


async def test_the_internal_server_is_reachable_without_the_guard(inside: Inside) -> None:
    """With private addresses allowed the server is reached: the refusals come from the guard."""
    async with name_server(hook_example=["A 127.0.0.1", "AAAA ::1"]) as (_, resolver):
        for host in ("127.0.0.1", "[::1]", "hook.example", "localhost"):
            before = inside.reached
            attempt = await attempted(f"http://{host}:{inside.port}/", AddressPolicy(allow_private=True), resolver)
            assert attempt.status is None
            assert inside.reached > before, host


async def test_dns_rebinding_is_refused(inside: Inside) -> None:
    """Each connection uses the checked addresses: one lookup each, without a second one."""
    policy = strict(inside.port)
    url = f"https://hook.example:{inside.port}/"
    async with name_server() as (zone, resolver):
        zone.in_turn["hook.example"] = [["A 93.184.215.14"], ["A 127.0.0.1"]]
        assert await check_endpoint(url, policy, resolver) == url
        assert [asked for asked in zone.asked if asked[1] == "A"] == [("hook.example", "A")]
        zone.asked.clear()
        attempt = await attempted(url, policy, resolver)
        assert [asked for asked in zone.asked if asked[1] == "A"] == [("hook.example", "A")]
    assert attempt.error == f"refused-address: the endpoint {LOOPBACK}, not to the public internet"
    assert inside.reached == 0


async def test_stored_urls_are_checked_by_the_current_policy(inside: Inside) -> None:
    async with name_server(hook_example=["A 93.184.215.14"]) as (zone, resolver):
        attempt = await attempted("https://93.184.215.14:8443/", AddressPolicy(), resolver)
        assert attempt.error == "refused-address: the endpoint names port 8443"
        attempt = await attempted("http://hook.example/", AddressPolicy(), resolver)
        assert attempt.error == "refused-address: the endpoint is not https"
        assert zone.asked == []


@asynccontextmanager
async def speaking(said: bytes | None) -> AsyncIterator[int]:
    """Yield the port of a server that sends this and closes; None: it sends nothing and waits."""

    waiting: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if said is None:
            waiting.append(writer)
        else:
            writer.write(said)
            writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in waiting:
            writer.close()


async def test_failures_of_private_addresses_are_hidden() -> None:
    """A closed port, another protocol, a closed connection and a silent server are indistinguishable."""
    policy = AddressPolicy(allow_private=True)
    async with (
        name_server(hook_example=["A 127.0.0.1"]) as (_, resolver),
        speaking(b"SSH-2.0-OpenSSH_9.2p1\r\n") as ssh,
        speaking(b"") as hanging_up,
        speaking(b"HTTP/1.1 20") as broken,
        speaking(None) as silent,
    ):
        urls = [f"http://127.0.0.1:{port}/" for port in (free_port(), ssh, hanging_up, broken, silent)]
        urls += [f"https://127.0.0.1:{port}/" for port in (ssh, silent)]
        urls += [f"http://hook.example:{port}/" for port in (free_port(), ssh, silent)]
        attempts = [await attempted(url, policy, resolver, timeout=2) for url in urls]
    assert {(made.status, made.error, made.latency_ms, made.answer) for made in attempts} == {
        (None, HIDDEN_FAILURE, 0.0, "")
    }


async def test_responses_of_private_addresses_are_hidden(receiver: Receiver) -> None:
    receiver.answer("/a", 500, Server="inside/1.0")
    async with name_server() as (_, resolver):
        attempt = await attempted(f"{receiver.url}/a", AddressPolicy(allow_private=True), resolver)
    assert (attempt.status, attempt.error, attempt.answer) == (500, "http: status 500", "")
    assert attempt.latency_ms % 100 == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["https://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "/elsewhere", "https://localhost:{port}/"]
)
async def test_redirects_are_not_followed(receiver: Receiver, inside: Inside, status: int, location: str) -> None:
    receiver.answer("/a", status, Location=location.replace("{port}", str(inside.port)), Refresh=f"0; url={location}")
    async with name_server() as (_, resolver):
        attempt = await attempted(f"{receiver.url}/a", AddressPolicy(allow_private=True), resolver)
    assert attempt.status == status
    assert attempt.error is not None
    assert "redirects are not followed" in attempt.error
    assert [got.path for got in receiver.got] == ["/a"]
    assert inside.reached == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8123/hook",
        "http://localhost/",
        "https://[::1]:1/",
        "http://10.0.0.1/",
        "https://hook.example/",
    ],
)
async def test_an_operator_can_allow_private_endpoints(url: str) -> None:
    async with name_server(hook_example=["A 127.0.0.1"]) as (_, resolver):
        assert await check_endpoint(url, AddressPolicy(allow_private=True), resolver) == url


async def test_refused_networks_apply_even_if_private_addresses_are_allowed(inside: Inside) -> None:
    policy = AddressPolicy(allow_private=True, refused=[ip_network("127.0.0.0/30")])
    async with name_server(hook_example=["A 127.0.0.1"]) as (_, resolver):
        with pytest.raises(EndpointRefusedError, match="a network that this installation refuses"):
            await check_endpoint("http://hook.example/", policy, resolver)
        for host in ("hook.example", "127.0.0.1", "[::ffff:127.0.0.1]"):
            attempt = await attempted(f"http://{host}:{inside.port}/", policy, resolver)
            assert attempt.error == "refused-address: the endpoint leads to a network that this installation refuses"
    assert inside.reached == 0


async def test_host_and_tls_use_the_name_and_the_connection_the_checked_address() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hook.example").configure_cert(server)
    indicated: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: indicated.append(name)
    hosts: list[str] = []

    async def take(request: web.Request) -> web.Response:
        hosts.append(request.headers["Host"])
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    port = runner.addresses[0][1]
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    try:
        async with name_server(hook_example=["A 127.0.0.1"], other_example=["A 127.0.0.1"]) as (_, resolver):
            policy = AddressPolicy(allow_private=True, answers_shown=True)
            accepted = await attempted(f"https://hook.example:{port}/", policy, resolver, trusting)
            impostor = await attempted(f"https://other.example:{port}/", policy, resolver, trusting)
    finally:
        await runner.cleanup()
    assert accepted.status == 204
    assert hosts == [f"hook.example:{port}"]
    assert impostor.error == "connect: TLS failed"
    assert indicated == ["hook.example", "other.example"]
