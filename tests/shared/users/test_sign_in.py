"""Passwords, sessions, one-time links, and the limits on failures."""

import asyncio
import unicodedata
from datetime import timedelta

import pytest

from newswire.observability.audit import COMMAND_LINE
from newswire.users.models import WeakPasswordError
from newswire.users.one_time_links import LinkPurpose
from newswire.users.service import Client
from newswire.users.sessions import (
    LIFETIME,
    MAX_SESSIONS,
    csrf_token,
    is_csrf_token,
)
from newswire.users.sign_in_limits import (
    PER_NETWORK,
    PER_USER,
    PER_USER_AND_NETWORK,
    SignInLimits,
    TooManyFailuresError,
)
from tests.shared.users.conftest import BROWSER, ELSEWHERE, PASSWORD, House

WRONG = "velvet ferry onion pier"


async def test_a_user_signs_in_with_address_and_password(house: House) -> None:
    user = await house.user("ida@harbour.example")
    started = await house.service.sign_in("IDA@harbour.example", PASSWORD, BROWSER)
    assert started is not None
    found = await house.service.sessions.find(started.token)
    assert found is not None
    session, signed_in = found
    assert signed_in.id == user.id
    assert signed_in.last_sign_in_at == house.clock.now
    assert (session.address, session.user_agent) == ("192.0.2.7", "Firefox/150")
    assert house.service.sessions.is_fresh(session)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ida@harbour.example", WRONG),
        ("ida@harbour.example", ""),
        ("ida@harbour.example", PASSWORD + " "),
        ("ida@harbour.example", "x" * 100_000),
        ("nobody@harbour.example", PASSWORD),
        ("\ud800", PASSWORD),
        ("", ""),
    ],
)
async def test_a_wrong_address_or_password_starts_no_session(house: House, email: str, password: str) -> None:
    await house.user("ida@harbour.example")
    assert await house.service.sign_in(email, password, BROWSER) is None
    assert "user.signed_in" not in await house.acts()


async def test_a_user_without_a_password_or_disabled_cannot_sign_in(house: House) -> None:
    await house.user("new@harbour.example", password=None)
    assert await house.service.sign_in("new@harbour.example", "", BROWSER) is None
    user = await house.user("ida@harbour.example")
    started = await house.service.sign_in(user.email, PASSWORD, BROWSER)
    assert started is not None
    await house.service.disable(user, by=COMMAND_LINE)
    assert await house.service.sessions.find(started.token) is None
    assert await house.service.sign_in(user.email, PASSWORD, BROWSER) is None


async def test_a_password_is_the_same_however_a_keyboard_composes_it(house: House) -> None:
    user = await house.user(password=unicodedata.normalize("NFC", "Fähre über größere Flüsse"))
    assert await house.service.sign_in(user.email, unicodedata.normalize("NFD", "Fähre über größere Flüsse"), BROWSER)


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "password1234",
        "aaaaaaaaaaaaaaaaaaaa",
        "abcdefghijklmnop",
        "qwertyuiop12",
        "ida@harbour.example",
        "Harbour Post 1",
        "x" * 257,
        "a" * 5_000_000,
    ],
)
async def test_a_weak_password_is_refused_with_the_reason(house: House, password: str) -> None:
    user = await house.user(password=None)
    with pytest.raises(WeakPasswordError, match=r"character|guess"):
        await house.service.set_password(user, password, by=COMMAND_LINE)
    assert await house.service.users.password_hash(user.id) is None


async def test_a_new_password_ends_the_other_sessions(house: House) -> None:
    user = await house.user()
    here = await house.service.start_session(user, BROWSER, method="password")
    there = await house.service.start_session(user, ELSEWHERE, method="password")
    await house.service.set_password(user, "quiet lanterns above harbours", by=COMMAND_LINE, keep_session=here.id)
    assert await house.service.sessions.find(here.token) is not None
    assert await house.service.sessions.find(there.token) is None
    assert await house.service.sign_in(user.email, PASSWORD, BROWSER) is None


async def test_sessions_are_listed_and_ended_by_their_user_alone(house: House) -> None:
    user, other = await house.user("ida@harbour.example"), await house.user("jon@harbour.example")
    first = await house.service.start_session(user, BROWSER, method="password")
    house.clock.move(timedelta(minutes=1))
    second = await house.service.start_session(user, ELSEWHERE, method="password")
    assert [session.id for session in await house.service.sessions.list(user.id)] == [second.id, first.id]
    assert not await house.service.sign_out(other, first.id, by=COMMAND_LINE)
    assert await house.service.sessions.find(first.token) is not None
    assert await house.service.sign_out(user, first.id, by=COMMAND_LINE)
    assert await house.service.sessions.find(first.token) is None
    assert [session.id for session in await house.service.sessions.list(user.id)] == [second.id]


async def test_an_unused_session_ends_and_a_used_one_at_the_latest_after_its_lifetime(house: House) -> None:
    """Unused sessions end after seven days, used ones after thirty."""
    user = await house.user()
    unused = await house.service.start_session(user, BROWSER, method="password")
    used = await house.service.start_session(user, BROWSER, method="password")
    for _ in range(LIFETIME // timedelta(days=5) - 1):
        house.clock.move(timedelta(days=5))
        assert await house.service.sessions.find(used.token) is not None
    assert await house.service.sessions.find(unused.token) is None
    house.clock.move(LIFETIME - timedelta(days=25) - timedelta(seconds=1))
    assert await house.service.sessions.find(used.token) is not None
    house.clock.move(timedelta(seconds=1))
    assert await house.service.sessions.find(used.token) is None


async def test_a_user_has_a_bounded_number_of_sessions(house: House) -> None:
    user = await house.user()
    started = []
    for _ in range(MAX_SESSIONS + 1):
        house.clock.move(timedelta(seconds=1))
        started.append(await house.service.sessions.start(user, address=None, user_agent=""))
    assert await house.service.sessions.find(started[0].token) is None
    assert await house.service.sessions.find(started[1].token) is not None
    assert len(await house.service.sessions.list(user.id)) == MAX_SESSIONS


@pytest.mark.parametrize("token", ["", "nws_", "nws_" + "a" * 43, "nws_" + "é" * 43, "x" * 10_000, "../../etc"])
async def test_an_unknown_token_is_no_session(house: House, token: str) -> None:
    assert await house.service.sessions.find(token) is None


async def test_only_hashes_of_tokens_are_stored(house: House) -> None:
    user = await house.user()
    session = await house.service.start_session(user, BROWSER, method="password")
    link = await house.service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    names = [name async for name in house.redis.scan_iter(f"{house.keys.namespace}:*")]
    dumped = b"".join(names)
    for name in names:
        if await house.redis.type(name) == b"hash":
            dumped += b"".join(v for pair in (await house.redis.hgetall(name)).items() for v in pair)
    assert session.token.encode() not in dumped
    assert link.encode() not in dumped
    assert PASSWORD.encode() not in dumped


async def test_dangerous_acts_need_a_recent_proof_of_identity(house: House) -> None:
    user = await house.user()
    started = await house.service.sign_in(user.email, PASSWORD, BROWSER)
    assert started is not None
    house.clock.move(timedelta(minutes=11))
    found = await house.service.sessions.find(started.token)
    assert found is not None
    session, user = found
    assert not house.service.sessions.is_fresh(session)
    assert await house.service.confirm_password(session, user, WRONG, BROWSER) is None
    confirmed = await house.service.confirm_password(session, user, PASSWORD, BROWSER)
    assert confirmed is not None
    assert house.service.sessions.is_fresh(confirmed)
    again = await house.service.sessions.find(started.token)
    assert again is not None
    assert house.service.sessions.is_fresh(again[0])


def test_the_token_of_forms_belongs_to_one_session() -> None:
    token = csrf_token("nws_a")
    assert is_csrf_token("nws_a", token)
    assert not is_csrf_token("nws_b", token)
    assert not is_csrf_token("nws_a", "")
    assert not is_csrf_token("nws_a", "\ud800é")
    assert "nws_a" not in token


async def test_a_link_is_used_once_even_by_concurrent_requests(house: House) -> None:
    user = await house.user()
    link = await house.service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    assert await house.service.linked_user(LinkPurpose.SIGN_IN, link) == user  # a scanner opens the page
    assert await house.service.linked_user(LinkPurpose.RESET_PASSWORD, link, use=True) is None
    used = await asyncio.gather(*(house.service.linked_user(LinkPurpose.SIGN_IN, link, use=True) for _ in range(10)))
    assert [each for each in used if each is not None] == [user]
    assert await house.service.linked_user(LinkPurpose.SIGN_IN, link) is None


async def test_a_link_to_set_a_password_ends_when_one_is_set(house: House) -> None:
    user = await house.user()
    old, new = [await house.service.make_link(user, LinkPurpose.RESET_PASSWORD, by=COMMAND_LINE) for _ in range(2)]
    linked = await house.service.linked_user(LinkPurpose.RESET_PASSWORD, new, use=True)
    assert linked is not None
    await house.service.set_password(linked, "quiet lanterns above harbours", by=COMMAND_LINE)
    assert await house.service.linked_user(LinkPurpose.RESET_PASSWORD, old, use=True) is None


async def test_links_expire_and_do_not_work_for_disabled_users(house: House) -> None:
    user = await house.user()
    link = await house.service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    (name,) = [name async for name in house.redis.scan_iter(f"{house.keys.namespace}:one-time-link:*")]
    assert 0 < await house.redis.ttl(name) <= 15 * 60
    await house.service.disable(user, by=COMMAND_LINE)
    assert await house.service.linked_user(LinkPurpose.SIGN_IN, link, use=True) is None


async def test_guessing_is_stopped_without_locking_the_user_out(house: House) -> None:
    user = await house.user()
    for _ in range(PER_USER_AND_NETWORK.failures):
        assert await house.service.sign_in(user.email, WRONG, ELSEWHERE) is None
    with pytest.raises(TooManyFailuresError) as caught:
        await house.service.sign_in(user.email, PASSWORD, ELSEWHERE)
    assert 0 < caught.value.seconds <= PER_USER_AND_NETWORK.seconds
    assert await house.service.sign_in(user.email, PASSWORD, BROWSER) is not None


async def test_guessing_at_many_users_is_stopped_by_network(house: House) -> None:
    user = await house.user()
    limits = SignInLimits(house.redis, house.keys)
    for number in range(PER_NETWORK.failures):
        await limits.failed(f"user{number}@harbour.example", ELSEWHERE.network)
    with pytest.raises(TooManyFailuresError):
        await house.service.sign_in(user.email, PASSWORD, ELSEWHERE)
    for number in range(PER_USER.failures):
        await limits.failed(user.email, f"203.0.113.{number}")
    with pytest.raises(TooManyFailuresError):
        await house.service.sign_in(user.email, PASSWORD, Client(None, "192.0.2.99", ""))


async def test_success_forgets_the_failures_of_this_user(house: House) -> None:
    user = await house.user()
    for _ in range(3):
        for _ in range(PER_USER_AND_NETWORK.failures - 1):
            assert await house.service.sign_in(user.email, WRONG, BROWSER) is None
        assert await house.service.sign_in(user.email, PASSWORD, BROWSER) is not None
