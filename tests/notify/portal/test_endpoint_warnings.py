"""Users are warned by mail before an endpoint is disabled, once, and only those who can do something about it."""

from datetime import timedelta

from newswire.users.mail_requests import MailKind
from newswire.users.roles import Role
from newswire_notify.portal.endpoint_warnings import EndpointWarnings
from newswire_notify.settings import NotifySettings
from newswire_notify.user_mails.assembly import user_mail_frame
from newswire_notify.user_mails.composition import render_user_mail
from tests.notify.conftest import Receiver
from tests.notify.portal.conftest import Portal

DISABLED_AFTER = timedelta(days=5)


async def test_users_are_warned_once_before_an_endpoint_is_disabled(portal: Portal, receiver: Receiver) -> None:
    warnings = EndpointWarnings(portal.desk.queue, portal.redis, portal.keys, DISABLED_AFTER)
    subscriber = await portal.user(Role.SUBSCRIBER)
    admin = await portal.user(Role.ADMIN, email="admin@harbour.example")
    await portal.user(Role.WRITER, email="writer@harbour.example")
    await portal.user(Role.SUBSCRIBER, account="Valley Radio", email="valley@radio.example")
    mine = await portal.subscribe(f"{receiver.url}/a")
    await portal.subscribe(f"{receiver.url}/b", account="Valley Radio")
    await portal.desk.fan_out([await portal.desk.put("a1")])
    key, now = portal.desk.queue.key("subscription", mine.id), portal.desk.clock.now

    async def failing_for(time: timedelta) -> None:
        since = int((now - time.total_seconds()) * 1000)
        await portal.redis.hset(key, mapping={"failing": 9, "failing_since": since, "probe_at": since, "probes": 1})

    await failing_for(timedelta(hours=23))
    assert await warnings.warn() == 0
    await failing_for(timedelta(hours=25))
    assert await warnings.warn() == 2
    assert await warnings.warn() == 0
    requests = await portal.users.mails.claim(10, 1000)
    assert {(each.kind, each.user_id) for each in requests} == {
        (MailKind.ENDPOINT_FAILING, subscriber.id),
        (MailKind.ENDPOINT_FAILING, admin.id),
    }
    assert 0 < await portal.redis.ttl(portal.keys.key("endpoint-warning", mine.id)) <= DISABLED_AFTER.total_seconds()


def test_the_mail_leads_to_the_portal_in_every_language() -> None:
    frame = user_mail_frame(NotifySettings())
    for language in ("en", "de", "fr", "es"):
        mail = render_user_mail(frame, MailKind.ENDPOINT_FAILING, "Ida", language, f"{frame.site}/portal")
        assert f"{frame.site}/portal" in mail.text
        assert frame.site_name in mail.subject
