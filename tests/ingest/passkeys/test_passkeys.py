"""Adding and using passkeys, with authenticators, browsers and sites that are not what they claim."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import HttpUrl
from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.auth.signed_tokens import SignedTokens
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.users.models import LastCredentialError, Session, User
from newswire.users.roles import Role
from newswire.users.service import Client, UserService
from newswire.users.sign_in_limits import PER_NETWORK, TooManyFailuresError
from newswire_ingest.passkeys.models import (
    MAX_PASSKEYS,
    ChallengeExpiredError,
    InvalidNameError,
    Passkey,
    PasskeyRefusedError,
    PasskeyTakenError,
    RelyingParty,
    TooManyPasskeysError,
    relying_party,
)
from newswire_ingest.passkeys.service import PasskeyService
from tests.ingest.passkeys.authenticator import USER_PRESENT, Authenticator, data, text

BROWSER = Client("192.0.2.7", "192.0.2.7", "Firefox/150")
PASSWORD = "velvet ferry onion quay"
OWN, OTHER = "a" * 64, "b" * 64
"""Two browsers without a session."""


@dataclass
class House:
    """A site with users, and a clock that can be set."""

    redis: Redis
    keys: Keyspace
    users: UserService
    service: PasskeyService
    now: datetime = datetime(2027, 1, 15, 12, tzinfo=UTC)

    async def user(self, email: str = "ida@harbour.example") -> tuple[User, Session]:
        """Create a user without a password, who is signed in."""
        user = await self.users.create(email, "Ida", {"Harbour Post": frozenset({Role.EDITOR})}, by=COMMAND_LINE)
        started = await self.users.start_session(user, BROWSER, method="link")
        found = await self.users.sessions.find(started.token)
        assert found is not None
        return user, found[0]

    async def add(self, user: User, session: Session, authenticator: Authenticator, name: str = "Phone") -> Passkey:
        sent = authenticator.create(await self.service.registration_options(user, session))
        return await self.service.add(user, session, sent, name, by=COMMAND_LINE)

    async def acts(self) -> list[str]:
        """Return the acts of the audit log about passkeys and sign-ins, oldest first."""
        page = await read_page(self.redis, self.keys, limit=50)
        return [each.act for each in reversed(page.entries) if each.act.startswith(("user.passkey", "user.signed"))]


@pytest.fixture
async def house(redis: Redis, namespace: str) -> House:
    keys = Keyspace(namespace)
    await create_account(redis, keys, "Harbour Post")
    site = RelyingParty("news.example", "Newswire", "https://news.example")
    made: House

    def clock() -> datetime:
        return made.now

    users = UserService(redis, keys, clock)
    tokens = SignedTokens(redis, keys, clock=lambda: made.now.timestamp())
    made = House(redis, keys, users, PasskeyService(redis, keys, users, tokens, site, clock))
    return made


async def test_a_passkey_is_added_used_and_removed_with_one_audit_entry_each(house: House) -> None:
    user, session = await house.user()
    phone, key = Authenticator(), Authenticator(counts=False)
    made = await house.add(user, session, phone, "  Phone ")
    assert (made.name, made.transports, made.sign_count) == ("Phone", ("internal",), 0)
    await house.add(user, session, key, "Key")
    for authenticator in (phone, key, key):  # one that does not count always sends 0
        sent = authenticator.get(await house.service.sign_in_options(OWN))
        started = await house.service.sign_in(sent, OWN, BROWSER)
        assert started.user.id == user.id
    used = await house.service.passkeys.find(user.id, made.id)
    assert used is not None
    assert (used.sign_count, used.last_used_at) == (1, house.now)
    assert await house.service.remove(user, made.id, by=COMMAND_LINE)
    assert not await house.service.remove(user, made.id, by=COMMAND_LINE)
    with pytest.raises(PasskeyRefusedError, match="no such passkey"):
        await house.service.sign_in(phone.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    added, signed_in = "user.passkey_added", "user.signed_in"
    assert await house.acts() == [signed_in, added, added, *[signed_in] * 3, "user.passkey_removed"]
    await house.users.delete(user, by=COMMAND_LINE)
    assert await house.service.passkeys.list(user.id) == []


async def test_the_last_credential_of_a_user_without_password_stays(house: House) -> None:
    user, session = await house.user()
    made, second = [await house.add(user, session, Authenticator()) for _ in range(2)]
    both = await asyncio.gather(
        *(house.service.remove(user, each.id, by=COMMAND_LINE) for each in (made, second)), return_exceptions=True
    )
    assert sorted(str(type(each)) for each in both) == sorted([str(bool), str(LastCredentialError)])
    await house.users.set_password(user, PASSWORD, by=COMMAND_LINE)
    (left,) = await house.service.passkeys.list(user.id)
    assert await house.service.remove(user, left.id, by=COMMAND_LINE)


async def test_a_challenge_is_accepted_once_for_its_browser_ceremony_and_time(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator()
    await house.add(user, session, authenticator)
    sent = authenticator.get(await house.service.sign_in_options(OWN))
    with pytest.raises(ChallengeExpiredError):
        await house.service.sign_in(sent, OTHER, BROWSER)
    with pytest.raises(ChallengeExpiredError):
        await house.service.prove(session, user, sent, BROWSER)
    await house.service.sign_in(sent, OWN, BROWSER)
    authenticator.counts = False  # the counter of the repeat is not what refuses it
    with pytest.raises(ChallengeExpiredError):
        await house.service.sign_in(sent, OWN, BROWSER)
    old = authenticator.get(await house.service.sign_in_options(OWN))
    house.now += timedelta(minutes=11)
    with pytest.raises(ChallengeExpiredError):
        await house.service.sign_in(old, OWN, BROWSER)
    forged = json.loads(await house.service.sign_in_options(OWN)) | {"challenge": text(b"x" * 75)}
    with pytest.raises(ChallengeExpiredError):
        await house.service.sign_in(authenticator.get(json.dumps(forged)), OWN, BROWSER)


async def test_a_registration_is_accepted_once_in_its_session(house: House) -> None:
    user, session = await house.user()
    other, others_session = await house.user("jon@harbour.example")
    sent = Authenticator().create(await house.service.registration_options(user, session))
    with pytest.raises(ChallengeExpiredError):
        await house.service.add(other, others_session, sent, "Phone", by=COMMAND_LINE)
    await house.service.add(user, session, sent, "Phone", by=COMMAND_LINE)
    with pytest.raises(ChallengeExpiredError):
        await house.service.add(user, session, sent, "Phone", by=COMMAND_LINE)
    with pytest.raises(PasskeyRefusedError):  # the answer to a sign-in is none to a registration
        await house.service.add(
            user, session, Authenticator().get(await house.service.sign_in_options(OWN)), "Phone", by=COMMAND_LINE
        )


Spoil = Callable[[Authenticator], None]
WRONG: dict[str, Spoil] = {
    "another site": lambda each: setattr(each, "origin", "https://news.example.evil.example"),
    "a subdomain": lambda each: setattr(each, "origin", "https://blog.news.example"),
    "without encryption": lambda each: setattr(each, "origin", "http://news.example"),
    "another port": lambda each: setattr(each, "origin", "https://news.example:8443"),
    "another relying party": lambda each: setattr(each, "rp_id", "evil.example"),
    "user not verified": lambda each: setattr(each, "flags", USER_PRESENT),
    "user not present": lambda each: setattr(each, "flags", 0x04),
}


@pytest.mark.parametrize("what", WRONG)
async def test_answers_of_other_sites_or_without_the_user_are_refused(house: House, what: str) -> None:
    user, session = await house.user()
    authenticator = Authenticator()
    await house.add(user, session, authenticator)
    WRONG[what](authenticator)
    with pytest.raises(PasskeyRefusedError):
        await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    other = Authenticator()
    WRONG[what](other)
    with pytest.raises(PasskeyRefusedError):
        await house.add(user, session, other)


async def test_a_passkey_signs_in_its_own_user_alone(house: House) -> None:
    ida, session = await house.user()
    jon, jons_session = await house.user("jon@harbour.example")
    mine, his = Authenticator(), Authenticator()
    await house.add(ida, session, mine)
    await house.add(jon, jons_session, his)
    mine.user_handle = jon.id.encode()  # as if it were Jon's
    with pytest.raises(PasskeyRefusedError, match="no such passkey"):
        await house.service.sign_in(mine.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    mine.user_handle = ida.id.encode()
    mine.key = his.key
    with pytest.raises(PasskeyRefusedError):
        await house.service.sign_in(mine.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    sent = his.get(await house.service.proof_options(ida, session))
    with pytest.raises(PasskeyRefusedError, match="another user"):
        await house.service.prove(session, ida, sent, BROWSER)
    # The same credential id, registered by an attacker for the own account, opens nothing of the other user's.
    copy = Authenticator(credential_id=his.credential_id)
    await house.add(ida, session, copy)
    signed_in = await house.service.sign_in(copy.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    assert signed_in.user.id == ida.id


async def test_a_copied_authenticator_is_refused_and_reported(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator(count=7)
    await house.add(user, session, authenticator)
    for count in (6, 2):  # it sends 7 and 3
        authenticator.count = count
        with pytest.raises(PasskeyRefusedError, match="copy"):
            await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    authenticator.count = 7
    await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    entries = (await read_page(house.redis, house.keys, limit=9, act="user.passkey_cloned")).entries
    assert [each.details["sign_count"] for each in entries] == [3, 7]
    assert {each.target for each in entries} == {user.id}


async def test_disabled_and_deleted_users_are_refused(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator()
    await house.add(user, session, authenticator)
    await house.users.disable(user, by=COMMAND_LINE)
    with pytest.raises(PasskeyRefusedError, match="disabled"):
        await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    await house.users.delete(user, by=COMMAND_LINE)
    with pytest.raises(PasskeyRefusedError, match="no such user"):
        await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)
    with pytest.raises(PasskeyRefusedError, match="deleted"):
        await house.add(user, session, Authenticator())
    assert await house.redis.exists(house.keys.key("passkeys", "of", user.id)) == 0


Answer = Callable[[House, User, Session], Awaitable[str]]
GARBAGE = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "deep JSON": "[" * 5000,
    "no response": '{"id": "a", "rawId": "a", "type": "public-key"}',
    "too long": '{"id": "' + "a" * 12_000 + '"}',
    "texts that are no base64": json.dumps(
        {
            "id": "!",
            "rawId": "!",
            "type": "public-key",
            "response": {"clientDataJSON": "!", "attestationObject": "é", "authenticatorData": "", "signature": "\0"},
        }
    ),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_what_is_no_answer_is_refused(house: House, what: str) -> None:
    user, session = await house.user()
    with pytest.raises(PasskeyRefusedError):
        await house.service.sign_in(GARBAGE[what], OWN, BROWSER)
    with pytest.raises(PasskeyRefusedError):
        await house.service.add(user, session, GARBAGE[what], "Phone", by=COMMAND_LINE)


async def test_hostile_parts_of_a_registration_are_refused(house: House) -> None:
    user, session = await house.user()
    hostile = [b"\x81" * 6000, b"\xbf" * 6000, b"\x9b" + b"\xff" * 8, b"\xa1\x68authData\x41\x00", b"", b"\xc2\x58\xff"]
    for attestation in hostile:
        options = await house.service.registration_options(user, session)
        sent = Authenticator().create(options, response={"attestationObject": text(attestation)})
        with pytest.raises(PasskeyRefusedError):
            await house.service.add(user, session, sent, "Phone", by=COMMAND_LINE)
    long_id = Authenticator(credential_id=b"i" * 1024)
    with pytest.raises(PasskeyRefusedError, match="too long"):
        await house.add(user, session, long_id)
    other_id = Authenticator().create(
        await house.service.registration_options(user, session), id=text(b"x" * 32), rawId=text(b"x" * 32)
    )
    with pytest.raises(PasskeyRefusedError, match="id is not"):
        await house.service.add(user, session, other_id, "Phone", by=COMMAND_LINE)
    assert await house.service.passkeys.list(user.id) == []


async def test_the_statement_about_the_maker_is_not_read(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator()
    sent = json.loads(authenticator.create(await house.service.registration_options(user, session)))
    plain = data(sent["response"]["attestationObject"])
    sent["response"]["attestationObject"] = text(plain.replace(b"\x64none", b"\x63tpm"))
    await house.service.add(user, session, json.dumps(sent), "Windows", by=COMMAND_LINE)
    await house.service.sign_in(authenticator.get(await house.service.sign_in_options(OWN)), OWN, BROWSER)


async def test_names_numbers_and_repeats_are_bounded(house: House) -> None:
    user, session = await house.user()
    for name in ("", " ", "x" * 61, "a\nb", "a\u202eb"):
        with pytest.raises(InvalidNameError):
            await house.add(user, session, Authenticator(), name)
    same = Authenticator()
    await house.add(user, session, same)
    with pytest.raises(PasskeyTakenError):
        await house.add(user, session, same)
    asked = json.loads(await house.service.registration_options(user, session))
    assert [each["id"] for each in asked["excludeCredentials"]] == [text(same.credential_id)]
    selection = asked["authenticatorSelection"]
    assert (selection["residentKey"], selection["userVerification"]) == ("required", "required")
    for _ in range(MAX_PASSKEYS - 1):
        await house.add(user, session, Authenticator())
    with pytest.raises(TooManyPasskeysError):
        await house.add(user, session, Authenticator())


async def test_failures_of_a_network_are_limited_without_locking_others_out(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator()
    await house.add(user, session, authenticator)
    for _ in range(PER_NETWORK.failures):
        with pytest.raises(PasskeyRefusedError):
            await house.service.sign_in("{}", OWN, BROWSER)
    sent = authenticator.get(await house.service.sign_in_options(OWN))
    with pytest.raises(TooManyFailuresError):
        await house.service.sign_in(sent, OWN, BROWSER)
    await house.service.sign_in(sent, OWN, Client("198.51.100.9", "198.51.100.9", ""))


async def test_uses_at_the_same_time_all_count(house: House) -> None:
    user, session = await house.user()
    authenticator = Authenticator(counts=False)
    await house.add(user, session, authenticator)
    sent = [authenticator.get(await house.service.sign_in_options(OWN)) for _ in range(3)]
    started = await asyncio.gather(*(house.service.sign_in(each, OWN, BROWSER) for each in sent))
    assert {each.user.id for each in started} == {user.id}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://news.example", ("news.example", "https://news.example")),
        ("https://News.Example:8443/", ("news.example", "https://news.example:8443")),
        ("http://localhost:8000", ("localhost", "http://localhost:8000")),
        ("http://127.0.0.1:8000", ("localhost", "http://localhost:8000")),
        ("http://[::1]:8000", ("localhost", "http://localhost:8000")),
        ("https://münchen.example", ("xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example")),
        ("http://news.example", None),
        ("https://203.0.113.7", None),
        ("https://[2001:db8::1]", None),
    ],
)
def test_the_relying_party_follows_from_the_public_address(address: str, expected: tuple[str, str] | None) -> None:
    found = relying_party(HttpUrl(address), "Newswire")
    assert (None if found is None else (found.id, found.origin)) == expected
