"""Composes and signs mails, off the event loop: what the mails of an issue share is rendered and encoded once."""

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from newswire.validation.email_addresses import domain_of
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.issues import IssueKind, MailState
from newswire_notify.newsletters.items import ChosenItems
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.message import ListHeaders, MailContent, MailTemplate, UnsendableMailError
from newswire_notify.newsletters.models import Newsletter
from newswire_notify.newsletters.rendering import NewsletterLinks, ReaderLinks, render_articles
from newswire_notify.newsletters.schedule import Cadence

MAX_CACHED = 256
THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
"""One processor is left to the event loop."""
MIN_PER_THREAD = 4
"""Mails for which another thread is worth the switch."""
HOLD = timedelta(minutes=5)
"""How long a mail of a paused newsletter waits before it is looked at again."""
UNSUBSCRIBE, PREFERENCES = (f"link{secrets.token_hex(16)}" for _ in range(2))
"""Stand in a cached mail for the links of a reader; no article can hold them, since they are made at each start."""


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail, ready to be sent."""

    sender: str
    recipient: str
    message_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """Why a mail is not sent now. ``state`` is `PLANNED` where it waits, for ``delay``."""

    state: MailState
    reason: str
    delay: timedelta = HOLD


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail that is to be composed: what it shares with others, and what is the reader's own."""

    newsletter: Newsletter
    kind: IssueKind
    cadence: Cadence
    chosen: ChosenItems | None
    """The articles; None for a mail about a sign-up."""
    content: MailContent | None
    """Of a mail about a sign-up."""
    sender: str
    recipient: str
    message_id: str
    links: Mapping[str, str]
    date: datetime


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the mails of an issue share. Equal ones have the same template."""

    kind: IssueKind
    cadence: Cadence
    newsletter: str
    revision: str
    items: tuple[tuple[str, int], ...]
    sent: Newsletter = field(compare=False)
    chosen: ChosenItems = field(compare=False)

    @classmethod
    def of(cls, draft: Draft, chosen: ChosenItems) -> "_Shared":
        """Return what a mail with articles shares with others."""
        newsletter = draft.newsletter
        return cls(draft.kind, draft.cadence, newsletter.id, newsletter.revision, chosen.identity, newsletter, chosen)


class MailComposer:
    """Composes the mails of one installation."""

    def __init__(self, links: Links, signer: DkimSigner | None, *, threads: int = THREADS) -> None:
        self._links = links
        self._signer = signer
        self._article_template = lru_cache(maxsize=MAX_CACHED)(self._render_articles)
        self._threads = threads
        # Composing and signing keep a processor busy; the event loop serves readers. Signing does not hold the interpreter's lock.
        self._executor = ThreadPoolExecutor(threads, "mail-composer")

    async def compose_all(self, drafts: Sequence[Draft | NotSent]) -> list[OutgoingMail | NotSent]:
        """Return each mail, or why there is none."""
        loop = asyncio.get_running_loop()
        each = max(MIN_PER_THREAD, -(-len(drafts) // self._threads))
        parts = [drafts[at : at + each] for at in range(0, len(drafts), each)]
        made = await asyncio.gather(*(loop.run_in_executor(self._executor, self._compose_part, part) for part in parts))
        return [mail for part in made for mail in part]

    def _compose_part(self, drafts: Sequence[Draft | NotSent]) -> list[OutgoingMail | NotSent]:
        """Compose and sign mails, in a thread."""
        return [draft if isinstance(draft, NotSent) else self._compose(draft) for draft in drafts]

    def _compose(self, draft: Draft) -> OutgoingMail | NotSent:
        try:
            template = self._template(draft)
            data = template.filled(draft.recipient, draft.message_id, draft.date, draft.links)
        except UnsendableMailError as error:
            return NotSent(MailState.FAILED, str(error))
        return OutgoingMail(draft.sender, draft.recipient, draft.message_id, data)

    def _template(self, draft: Draft) -> MailTemplate:
        """Return what the mail shares with those of other readers."""
        if draft.chosen is not None:
            return self._article_template(_Shared.of(draft, draft.chosen))
        if draft.content is None:
            raise ValueError("a mail has neither articles nor a text")
        sender = draft.newsletter.draft.sender
        named = (sender.name, sender.address)
        return MailTemplate(named, sender.reply_to, draft.content, None, self._signer_for(sender.address))

    def _render_articles(self, shared: _Shared) -> MailTemplate:
        newsletter = shared.sent
        sender = newsletter.draft.sender
        page = self._links.page(newsletter.draft.slug)
        archive = f"{page}/archive" if newsletter.draft.public_archive else None
        reader = ReaderLinks(UNSUBSCRIBE, PREFERENCES)
        single = shared.kind is IssueKind.ALERT
        content = render_articles(newsletter, shared.chosen, NewsletterLinks(page, archive), reader, single=single)
        lists = list_headers(newsletter, self._links.site, shared.cadence, page, archive)
        named, signer = (sender.name, sender.address), self._signer_for(sender.address)
        return MailTemplate(named, sender.reply_to, content, lists, signer, (UNSUBSCRIBE, PREFERENCES))

    def _signer_for(self, address: str) -> DkimSigner | None:
        return self._signer if self._signer and self._signer.covers(domain_of(address)) else None


def list_headers(newsletter: Newsletter, site: str, cadence: Cadence, page: str, archive: str | None) -> ListHeaders:
    """Return the headers of a newsletter's mails; the link that unsubscribes is a marker."""
    draft = newsletter.draft
    return ListHeaders(
        list_id=f"{draft.slug}.{host_of(site)}",
        name=draft.name,
        unsubscribe_url=UNSUBSCRIBE,
        help_url=page,
        owner=draft.sender.reply_to or draft.sender.address,
        archive_url=archive,
        feedback_id=f"{cadence}:{newsletter.id}:{domain_of(draft.sender.address)}:newswire",
    )


def host_of(site: str) -> str:
    """Return the host of the installation's address, without a port; `localhost` for an IPv6 address, which no List-Id can hold."""
    host = urlsplit(site).hostname or ""
    return host if host and ":" not in host else "localhost"
