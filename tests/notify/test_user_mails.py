"""Mails to users over real SMTP: invitations, links for a new password, warnings; what is repeated and what is not."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from newswire.auth.accounts import create_account
from newswire.keys import Keyspace
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.users.mail_requests import MAX_WAITING, MailKind
from newswire.users.models import User
from newswire.users.one_time_links import LinkPurpose
from newswire.users.roles import Role
from newswire.users.service import Client, UserService
from newswire_notify.newsletters.assembly import transport_of
from newswire_notify.settings import NotifySettings
from newswire_notify.user_mails.assembly import user_mail_frame
from newswire_notify.user_mails.composition import render_user_mail
from newswire_notify.user_mails.sending import UserMails
from tests.notify.newsletters.mail_server import MailServer, mail_server
from tests.shared.users.conftest import Clock

PASSWORD = "velvet ferry onion quay"
BROWSER = Client("192.0.2.7", "192.0.2.7", "Firefox/150")
IDA = "ida@harbour.example"


@dataclass
class Post:
    """Users, and the process that sends their mails to a server."""

    service: UserService
    server: MailServer
    mails: UserMails
    clock: Clock
    redis: Redis
    keys: Keyspace

    async def user(self, *, password: str | None = PASSWORD) -> User:
        user = await self.service.create(IDA, "Ida Roth", {"Harbour Post": frozenset({Role.EDITOR})}, by=COMMAND_LINE)
        if password:
            await self.service.set_password(user, password, by=COMMAND_LINE)
        found = await self.service.users.find(user.id)
        assert found is not None
        return found

    async def ask(self, email: str = IDA, language: str = "en", client: Client = BROWSER) -> None:
        await self.service.request_password_link(email, language, client)


@pytest.fixture
async def post(redis: Redis, namespace: str) -> AsyncIterator[Post]:
    keys, clock = Keyspace(namespace), Clock()
    await create_account(redis, keys, "Harbour Post")
    async with mail_server() as server:
        settings = NotifySettings(public_url="https://news.example", smtp_url=server.url, site_name="Harbour News")
        mails = UserMails(redis, keys, user_mail_frame(settings), transport_of(settings), clock)
        yield Post(UserService(redis, keys, clock), server, mails, clock, redis, keys)


async def test_a_link_for_a_new_password_comes_by_mail_and_works_once(post: Post) -> None:
    user = await post.user()
    await post.ask("IDA@Harbour.example", "de")
    waiting = b"".join(await post.redis.zrange(post.keys.key("user-mails"), 0, -1))
    assert b"reset-password" not in waiting, "no link waits in Redis"
    await post.mails.send_due()
    [mail] = post.server.got
    assert (mail.sender, mail.recipient) == ("newswire@news.example", IDA)
    assert mail.message["Subject"] == "Ein neues Passwort für Harbour News"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    [link] = re.findall(r"https://news\.example/reset-password/([\w-]{43})", mail.text)
    assert link in mail.part("html")
    assert (await post.service.linked_user(LinkPurpose.RESET_PASSWORD, link)) is not None
    await post.service.set_password(user, "quiet lanterns above harbours", by=COMMAND_LINE)
    assert await post.service.linked_user(LinkPurpose.RESET_PASSWORD, link) is None
    assert await post.redis.zcard(post.keys.key("user-mails")) == 1, "the warning that the password was changed"
    [entry, *_] = (await read_page(post.redis, post.keys, limit=1, act="user.linked")).entries
    assert (entry.actor.type, entry.actor.address, entry.target) == ("system", "192.0.2.7", user.id)


async def test_nobody_is_mailed_for_an_address_that_is_no_users_or_of_a_disabled_user(post: Post) -> None:
    user = await post.user()
    await post.ask("eve@harbour.example")
    await post.service.disable(user, by=COMMAND_LINE)
    await post.ask()
    assert await post.mails.send_due() == 2
    assert post.server.got == []
    assert await post.redis.zcard(post.keys.key("user-mails")) == 0


async def test_an_address_gets_three_mails_an_hour_whoever_asks(post: Post) -> None:
    await post.user()
    for number in range(9):
        await post.ask(client=Client(None, f"192.0.2.{number}", ""))
    await post.mails.send_due()
    assert len(post.server.got) == 3


async def test_changes_of_a_user_are_told_to_the_address_that_it_had(post: Post) -> None:
    user = await post.user()
    await post.service.change(user, email="roth@harbour.example", by=COMMAND_LINE)
    moved = await post.service.users.find(user.id)
    assert moved is not None
    await post.service.set_password(moved, "quiet lanterns above harbours", by=COMMAND_LINE)
    await post.mails.send_due()
    told = {mail.recipient: mail for mail in post.server.got}
    assert "address" in told[IDA].message["Subject"]
    assert "roth@" not in told[IDA].text, "the new address is nobody's business at the old one"
    assert "password" in told["roth@harbour.example"].message["Subject"]
    assert "https://news.example/forgot-password" in told["roth@harbour.example"].text


async def test_a_credential_that_was_added_or_removed_is_reported_in_the_language_of_the_browser(post: Post) -> None:
    user = await post.user()
    for kind in (MailKind.PASSKEY_ADDED, MailKind.IDENTITY_UNLINKED):
        await post.service.mails.add(kind, user_id=user.id, language="es")
    await post.mails.send_due()
    # Of two that are due in the same millisecond, either may be the first.
    assert sorted(mail.message["Subject"] for mail in post.server.got) == [
        "Se ha añadido una llave de acceso a su usuario en Harbour News",
        "Se ha desvinculado un proveedor de su usuario en Harbour News",
    ]
    assert all("https://news.example/account" in mail.text for mail in post.server.got)


async def test_an_invitation_is_sent_unless_a_password_was_set_meanwhile(post: Post) -> None:
    user = await post.user(password=None)
    await post.service.invite(user, language="fr")
    await post.mails.send_due()
    [mail] = post.server.got
    assert mail.message["Subject"] == "Votre invitation à Harbour News"
    assert "https://news.example/invitation/" in mail.text
    await post.service.invite(user)
    await post.service.set_password(user, PASSWORD, by=COMMAND_LINE)
    await post.mails.send_due()
    assert len(post.server.got) == 1, "a first password is no reason to warn"


async def test_what_the_server_refuses_for_the_moment_is_repeated_and_given_up(post: Post) -> None:
    await post.user()
    post.server.recipient_replies[IDA] = ["451 4.7.1 later"] * 2
    await post.ask()
    await post.mails.send_due()
    assert await post.mails.send_due() == 0, "not at once"
    post.clock.move(timedelta(seconds=11))
    await post.mails.send_due()
    post.clock.move(timedelta(minutes=1))
    await post.mails.send_due()
    assert len(post.server.got) == 1

    post.server.recipient_replies[IDA] = ["451 4.7.1 later"] * 9
    await post.ask()
    await post.mails.send_due()
    post.clock.move(timedelta(hours=1))
    await post.mails.send_due()
    assert await post.redis.zcard(post.keys.key("user-mails")) == 0


async def test_a_mail_survives_the_process_that_claimed_it_and_a_second_process_does_not_double_it(post: Post) -> None:
    await post.user()
    await post.ask()
    [claimed] = await post.service.mails.claim(10, 300_000)
    assert await post.mails.send_due() == 0, "another process has it"
    post.clock.move(timedelta(minutes=5))
    assert claimed.kind is MailKind.PASSWORD_LINK
    await asyncio.gather(post.mails.send_due(), post.mails.send_due())
    assert len(post.server.got) == 1


async def test_requests_are_bounded(post: Post) -> None:
    await post.redis.zadd(post.keys.key("user-mails"), {str(number): 9e15 for number in range(MAX_WAITING)})
    await post.ask()
    assert await post.redis.zcard(post.keys.key("user-mails")) == MAX_WAITING


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_every_mail_exists_in_every_language(language: str) -> None:
    frame = user_mail_frame(NotifySettings(public_url="https://news.example", site_name="Harbour & Sons"))
    subjects = set()
    for kind in MailKind:
        content = render_user_mail(frame, kind, "Ida <b>", language, "https://news.example/x")
        subjects.add(content.subject)
        assert "Ida &lt;b&gt;" in content.html
        assert "{" not in content.text + content.html.partition("<body")[2]
        assert all(len(line) <= 78 for line in content.text.splitlines())
    assert len(subjects) == len(MailKind)
