"""Sends the mails to users that were asked for, and repeats what a mail server refuses for the moment."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.asyncio import Redis

from newswire.concurrency.repetition import repeat
from newswire.keys import Keyspace
from newswire.observability.audit import Actor, ActorType
from newswire.timestamps import from_epoch_ms, utc_now
from newswire.users.mail_requests import MailKind, MailRequest
from newswire.users.models import User
from newswire.users.one_time_links import LinkPurpose
from newswire.users.service import UserService
from newswire_notify.newsletters.outcome import Outcome, outcome_of
from newswire_notify.newsletters.transport import Transport
from newswire_notify.user_mails.composition import UserMailFrame, compose_user_mail

log = logging.getLogger(__name__)

GIVE_UP_AFTER = timedelta(hours=24)
GIVE_UP_PASSWORD_LINK_AFTER = timedelta(hours=1)
"""Whoever waits for it asks again."""
FIRST_DELAY, MAX_DELAY = timedelta(seconds=10), timedelta(minutes=15)
SECONDS_BETWEEN_LOOKS = 1.0
BATCH = 10
_LEASE_MS = 300_000
_LINKS = {MailKind.INVITATION: LinkPurpose.INVITATION, MailKind.PASSWORD_LINK: LinkPurpose.RESET_PASSWORD}

_PASSWORD_WARNINGS = (MailKind.PASSWORD_CHANGED, MailKind.EMAIL_CHANGED)


class UserMails:
    """Sends the mails to users; any number of processes share the work."""

    def __init__(
        self,
        records: "Redis",
        keys: Keyspace,
        frame: UserMailFrame,
        open_transport: Callable[[], Transport],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._users = UserService(records, keys, clock)
        self._frame = frame
        self._open_transport = open_transport
        self._clock = clock

    async def run(self, stopping: asyncio.Event) -> None:
        """Send what is due, every second, until stopping is set."""
        await repeat(self.send_due, SECONDS_BETWEEN_LOOKS, stopping, log, "mails to users wait")

    async def send_due(self) -> int:
        """Send what is due now; return how many requests there were."""
        requests = await self._users.mails.claim(BATCH, _LEASE_MS)
        if requests:
            transport = self._open_transport()
            try:
                for request in requests:
                    await self._handle(request, transport)
            finally:
                await transport.close()
        return len(requests)

    async def _handle(self, request: MailRequest, transport: Transport) -> None:
        now = self._clock()
        age = now - from_epoch_ms(request.requested_ms)
        lifetime = GIVE_UP_PASSWORD_LINK_AFTER if request.kind is MailKind.PASSWORD_LINK else GIVE_UP_AFTER
        user = await self._recipient(request)
        if user is None or age >= lifetime:
            if user is not None:
                log.warning("a mail to a user was given up", extra={"kind": request.kind, "user": user.id})
            await self._users.mails.done(request)
            return
        # A new password goes to the stored address: the one that was typed may merely look like it.
        recipient = request.address if request.kind is MailKind.EMAIL_CHANGED else None
        link = await self._link(request, user)
        mail = compose_user_mail(self._frame, request, user, link, recipient or user.email, now)
        reply = await transport.send(mail)
        outcome = outcome_of(reply)
        if outcome in (Outcome.UNAVAILABLE, Outcome.LATER):
            log.warning(
                "a mail to a user is repeated", extra={"kind": request.kind, "reply": f"{reply.code} {reply.text}"}
            )
            await self._users.mails.put_off(request, now + min(max(age, FIRST_DELAY), MAX_DELAY))
            return
        if outcome is not Outcome.ACCEPTED:
            log.warning(
                "a mail to a user was refused", extra={"kind": request.kind, "reply": f"{reply.code} {reply.text}"}
            )
        await self._users.mails.done(request)

    async def _recipient(self, request: MailRequest) -> User | None:
        """Return the user whom a mail concerns; None if there is nothing to send any more."""
        users = self._users.users
        if request.kind is MailKind.PASSWORD_LINK:
            user = await self._users.find_by_typed_email(request.address or "")
        else:
            user = await users.find(request.user_id or "")
        if user is None or user.disabled_at is not None:
            return None
        return None if request.kind is MailKind.INVITATION and user.has_password else user

    async def _link(self, request: MailRequest, user: User) -> str:
        """Return what the button of a mail opens: a new one-time link, or the page on which a user checks its account."""
        if request.kind is MailKind.ENDPOINT_FAILING:
            return f"{self._frame.site}/portal"
        purpose = _LINKS.get(request.kind)
        if purpose is None:
            asks_for_password = user.has_password and request.kind in _PASSWORD_WARNINGS
            return f"{self._frame.site}/forgot-password" if asks_for_password else f"{self._frame.site}/account"
        by = Actor(ActorType.SYSTEM, address=request.client)
        return f"{self._frame.site}/{purpose}/{await self._users.make_link(user, purpose, by=by)}"
