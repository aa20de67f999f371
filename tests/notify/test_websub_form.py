"""What the hub accepts as a request."""

from urllib.parse import urlencode

import pytest

from newswire.http.problems import ProblemError
from newswire_notify.webhooks.ssrf_guard import AddressPolicy
from newswire_notify.websub.form import canonical_topic, hub_request, parse_form
from newswire_notify.websub.models import HubRequest

SITE = "https://news.example"
PUBLIC, PRIVATE = AddressPolicy(), AddressPolicy(allow_private=True)
VALID = {
    "hub.mode": "subscribe",
    "hub.callback": "https://you.example/cb?id=7&x=a%2Fb",
    "hub.topic": f"{SITE}/feeds/latest.atom",
}


def read(changes: dict[str, str | None], policy: AddressPolicy = PUBLIC, site: str = SITE) -> HubRequest:
    sent = {name: value for name, value in (VALID | changes).items() if value is not None}
    return hub_request(parse_form(urlencode(sent).encode()), site, policy)


def refused(changes: dict[str, str | None], policy: AddressPolicy = PUBLIC) -> list[str]:
    with pytest.raises(ProblemError) as caught:
        read(changes, policy)
    assert caught.value.status == 422
    return [error.field for error in caught.value.errors]


@pytest.mark.parametrize(
    ("sent", "granted"),
    [
        (None, 864_000),
        ("", 864_000),
        ("0", 3_600),
        ("1", 3_600),
        ("3599", 3_600),
        ("3600", 3_600),
        ("86400", 86_400),
        ("0000000086400", 86_400),
        ("2592000", 2_592_000),
        ("2592001", 2_592_000),
        ("9" * 5000, 2_592_000),
    ],
)
def test_a_lease_is_granted_within_the_limits(sent: str | None, granted: int) -> None:
    assert read({"hub.lease_seconds": sent}).lease_seconds == granted


@pytest.mark.parametrize("sent", ["-1", "1.5", "1e3", "x", "+5", " 5", "\u0665", "\u00b2"])
def test_a_lease_that_is_no_number_is_refused(sent: str) -> None:
    assert refused({"hub.lease_seconds": sent}) == ["hub.lease_seconds"]


def test_a_lease_and_a_secret_for_unsubscribing_are_ignored() -> None:
    asked = read({"hub.mode": "unsubscribe", "hub.lease_seconds": "x", "hub.secret": "s" * 500})
    assert asked.secret is None


def test_a_secret_is_shorter_than_200_bytes() -> None:
    assert read({"hub.secret": "s" * 199}).secret == "s" * 199
    assert read({"hub.secret": ""}).secret is None
    assert refused({"hub.secret": "s" * 200}) == ["hub.secret"]
    assert refused({"hub.secret": "é" * 100}) == ["hub.secret"]


@pytest.mark.parametrize(
    "callback",
    [
        "http://you.example/cb",
        "https://127.0.0.1/cb",
        "https://[::1]/cb",
        "https://10.1.2.3/cb",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/cb",
        "https://0x7f.1/cb",
        "https://you.example:8443/cb",
        "https://user:pass@you.example/cb",
        "https://you.example/cb#part",
        "https://you.example/cb?a=1#",
        "https://user@you.example/cb",
        "https://[fe80::1%25eth0]/cb",
        "https://[::ffff:127.0.0.1]/cb",
        "https://you.example\\@evil.example/cb",
        "https://you.example/c b",
        "ftp://you.example/cb",
        "//you.example/cb",
        "/cb",
        "you.example",
        "https:///cb",
        "https://you.example/" + "x" * 2000,
    ],
)
def test_a_callback_is_an_https_url_at_a_public_address(callback: str) -> None:
    assert refused({"hub.callback": callback, "hub.secret": "s"}) == ["hub.callback"]


def test_a_closed_network_has_http_callbacks_with_secrets() -> None:
    asked = read({"hub.callback": "http://127.0.0.1:9/cb", "hub.secret": "s"}, PRIVATE)
    assert (asked.callback, asked.secret, asked.host) == ("http://127.0.0.1:9/cb", "s", "127.0.0.1")


def test_the_query_of_a_callback_is_kept() -> None:
    callback = "https://you.example/cb?id=7&x=a%2Fb&y=%26%3D%2B+%25&id=8&z"
    assert read({"hub.callback": callback}).callback == callback


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("HTTPS://You.Example:443/A%2fb?C=%7e", "https://you.example/A%2fb?C=%7e"),
        ("https://you.example", "https://you.example/"),
        ("https://you.example?a=1", "https://you.example/?a=1"),
        ("https://you.example./cb", "https://you.example./cb"),
        ("https://bücher.example/cb", "https://xn--bcher-kva.example/cb"),
        ("https://you.example/é?q=ü", "https://you.example/%C3%A9?q=%C3%BC"),
        ("https://[2606:2800:220:1::1]/cb?x=%2F", "https://[2606:2800:220:1::1]/cb?x=%2F"),
        ("https://8.8.8.8/cb", "https://8.8.8.8/cb"),
    ],
)
def test_the_origin_of_a_callback_is_stored_in_normal_form(sent: str, normal: str) -> None:
    assert read({"hub.callback": sent}).callback == normal


@pytest.mark.parametrize(
    "topic",
    [
        f"{SITE}/feeds/latest.xml",
        f"{SITE}/feeds/topic/A%2FB%27s%20%C3%BC.json",
        f"{SITE}/feeds/search.atom?q=%22night+ferry%22+-strike&topic=Sea",
    ],
)
def test_a_feed_of_this_site_is_a_topic_exactly_as_it_names_itself(topic: str) -> None:
    assert canonical_topic(topic, SITE) == topic


@pytest.mark.parametrize("origin", ["HTTPS://NEWS.Example", "https://news.example:443"])
def test_the_origin_of_a_topic_may_be_written_in_another_way(origin: str) -> None:
    asked = read({"hub.topic": f"{origin}/feeds/latest.xml?a=B"})
    assert asked.topic == f"{SITE}/feeds/latest.xml?a=B"
    assert asked.sent_topic == f"{origin}/feeds/latest.xml?a=B"


def test_a_site_below_a_path_has_its_topics_there() -> None:
    site = "https://example.org/news"
    assert canonical_topic(f"{site}/feeds/latest.xml", site) == f"{site}/feeds/latest.xml"
    with pytest.raises(ProblemError):
        canonical_topic("https://example.org/feeds/latest.xml", site)


@pytest.mark.parametrize(
    "topic",
    [
        "https://other.example/feeds/latest.atom",
        "http://news.example/feeds/latest.atom",
        "https://news.example:8443/feeds/latest.atom",
        "https://news.example.evil.example/feeds/latest.atom",
        "https://news.example@evil.example/feeds/latest.atom",
        "https://user@news.example/feeds/latest.atom",
        f"{SITE}/v1/search",
        f"{SITE}/v1/keys.json",
        f"{SITE}/feeds/../v1/keys.json",
        f"{SITE}/feeds/%2e%2e/v1/keys.json",
        f"{SITE}/feeds/x/..;/a.xml#b",
        f"{SITE}/feeds/latest",
        f"{SITE}/feeds/.html",
        f"{SITE}/feeds/latest.atom#top",
        f"{SITE}/feeds/latest.atom/",
        f"{SITE}/feeds/latest.atom?a=1#",
        f"{SITE}/feeds/latest.ATOM",
        f"{SITE}/feeds",
        f"{SITE}",
        f"{SITE}/feeds/la test.atom",
        f"{SITE}/feeds/a%zz.atom",
        f'{SITE}/feeds/a>;rel="x".atom',
        f"{SITE}/feeds/a\r\nX: y.atom",
        f"{SITE}/feeds/ü.atom",
        f"{SITE}/feeds/{'x' * 2000}.atom",
        "feeds/latest.atom",
        "urn:newswire:feed",
        "https://[::1/feeds/latest.atom",
    ],
)
def test_nothing_else_is_a_topic(topic: str) -> None:
    assert refused({"hub.topic": topic}) == ["hub.topic"]


@pytest.mark.parametrize("name", ["hub.mode", "hub.callback", "hub.topic"])
def test_a_missing_parameter_is_named(name: str) -> None:
    assert refused({name: None}) == [name]
    assert refused({name: ""}) == [name]


def test_every_error_is_named() -> None:
    sent = {"hub.callback": "x", "hub.topic": "y", "hub.secret": "s" * 300, "hub.lease_seconds": "5"}
    assert refused(dict(sent)) == ["hub.callback", "hub.topic", "hub.secret"]


@pytest.mark.parametrize("mode", ["publish", "Subscribe", "denied", "list"])
def test_other_modes_are_refused(mode: str) -> None:
    assert refused({"hub.mode": mode}) == ["hub.mode"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"hub.mode=%ff", 400, "body"),
        (b"\xff", 400, "body"),
        (b"&".join(b"x=1" for _ in range(101)), 400, "body"),
        (b"hub.mode=subscribe&hub.mode=unsubscribe", 422, "hub.mode"),
        (b"hub.secret=a&hub.secret=", 422, "hub.secret"),
    ],
)
def test_a_form_that_is_ambiguous_or_cannot_be_read_is_refused(body: bytes, status: int, field: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_form(body)
    assert (caught.value.status, caught.value.errors[0].field) == (status, field)


@pytest.mark.parametrize("body", [b"", b"&&&", b"=", b"hub.mode", b"%00=%00", b";"])
def test_an_empty_form_lacks_its_parameters(body: bytes) -> None:
    assert parse_form(body) == {}
