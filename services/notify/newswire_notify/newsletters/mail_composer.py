"""Composes and signs mails, off the event loop: what the mails of an issue share is rendered and encoded once."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
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


class MailComposer:
    """Composes the mails of one installation."""

    def __init__(self, links: Links, signer: DkimSigner | None) -> None:
        self._links = links
        self._signer = signer
        self._templates: OrderedDict[object, MailTemplate] = OrderedDict()
        # One thread, which alone uses the templates. Composing and signing keep a processor busy; the event loop serves readers.
        self._thread = ThreadPoolExecutor(1, "mail-composer")

    async def compose_all(self, drafts: Sequence[Draft | NotSent]) -> list[OutgoingMail | NotSent]:
        """Return each mail, or why there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._compose_all, drafts)

    def _compose_all(self, drafts: Sequence[Draft | NotSent]) -> list[OutgoingMail | NotSent]:
        """Compose and sign mails, in the thread."""
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
        newsletter = draft.newsletter
        sender = newsletter.draft.sender
        signer = self._signer if self._signer and self._signer.covers(domain_of(sender.address)) else None
        named = (sender.name, sender.address)
        if draft.chosen is None:
            if draft.content is None:
                raise ValueError("a mail has neither articles nor a text")
            return MailTemplate(named, sender.reply_to, draft.content, None, signer)
        name = (draft.kind, draft.cadence, newsletter.id, newsletter.revision, draft.chosen.identity)
        found = self._templates.get(name)
        if found is None:
            page = self._links.page(newsletter.draft.slug)
            archive = f"{page}/archive" if newsletter.draft.public_archive else None
            reader = ReaderLinks(UNSUBSCRIBE, PREFERENCES)
            single = draft.kind is IssueKind.ALERT
            content = render_articles(newsletter, draft.chosen, NewsletterLinks(page, archive), reader, single=single)
            lists = list_headers(newsletter, self._links.site, draft.cadence, page, archive)
            found = MailTemplate(named, sender.reply_to, content, lists, signer, (UNSUBSCRIBE, PREFERENCES))
            self._templates[name] = found
            if len(self._templates) > MAX_CACHED:
                self._templates.popitem(last=False)
        return found


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
