"""Makes the mail of a claimed entry of the queue: checks once more that it is to be sent, and what it may hold."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from newswire_notify.newsletters.addresses import domain_of
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.issues import ClaimedMail, Issue, IssueKind, MailState
from newswire_notify.newsletters.items import ChosenItems, Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.message import Envelope, ListHeaders, MailContent, compose, message_id
from newswire_notify.newsletters.models import Newsletter, Subscriber, SubscriberState
from newswire_notify.newsletters.rendering import (
    MAX_ITEMS,
    NewsletterLinks,
    ReaderLinks,
    render_articles,
    render_signup,
)
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.return_path import ReturnPaths
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers

MAX_CACHED = 256
HOLD = timedelta(minutes=5)
"""How long a mail of a paused newsletter waits before it is looked at again."""
MAX_HOLD = timedelta(hours=72)
MAX_AGE = timedelta(days=7)
"""Of an issue whose mails are sent still: a restored backup may hold old ones."""
_UNSUBSCRIBE, _PREFERENCES = (f"link{secrets.token_hex(16)}" for _ in range(2))
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
    """Why a mail is not sent now: ``state`` is `PLANNED` where it waits."""

    state: MailState
    reason: str


class MailMaker:
    """Makes the mails of one installation."""

    def __init__(
        self,
        newsletters: Newsletters,
        subscribers: Subscribers,
        items: Items,
        links: Links,
        signer: DkimSigner | None,
        return_paths: ReturnPaths | None = None,
    ) -> None:
        """``return_paths``: where reports go; by default to the sender."""
        self._return_paths = return_paths
        self._newsletters = newsletters
        self._subscribers = subscribers
        self._items = items
        self._links = links
        self._signer = signer
        self._rendered: OrderedDict[object, MailContent] = OrderedDict()

    async def make(self, mail: ClaimedMail, issue: Issue | None) -> OutgoingMail | NotSent:
        """Return the mail, or why there is none.

        Raises:
            newswire_notify.newsletters.message.UnsendableMailError: it breaks a limit of Internet mail.
        """
        if issue is None:
            return NotSent(MailState.CANCELLED, "the issue has expired")
        newsletter = await self._newsletters.find(issue.newsletter)
        if newsletter is None or newsletter.deleted:
            return NotSent(MailState.CANCELLED, "the newsletter was deleted")
        subscriber = await self._subscribers.get(mail.subscriber)
        if subscriber is None:
            return NotSent(MailState.CANCELLED, "the subscriber was erased")
        if issue.kind in (IssueKind.ALERT, IssueKind.DIGEST):
            return await self._articles(mail, issue, newsletter, subscriber)
        return await self._signup(issue, newsletter, subscriber)

    async def _articles(
        self, mail: ClaimedMail, issue: Issue, newsletter: Newsletter, subscriber: Subscriber
    ) -> OutgoingMail | NotSent:
        if subscriber.state is not SubscriberState.ACTIVE:
            return NotSent(MailState.CANCELLED, f"the subscriber is {subscriber.state}")
        if self._subscribers.now - issue.created_at > MAX_AGE:
            return NotSent(MailState.CANCELLED, "the issue is too old")
        if await self._subscribers.suppression(newsletter.id, subscriber.address_hash) is not None:
            return NotSent(MailState.CANCELLED, "the address is suppressed")
        account = await self._items.account(newsletter.account)
        if not newsletter.is_sending or (account is not None and account.disabled_at is not None):
            expired = self._subscribers.now - issue.created_at > MAX_HOLD
            state = MailState.CANCELLED if expired else MailState.PLANNED
            return NotSent(state, "the newsletter is paused, or its account is disabled")
        entitlement = account.entitlement if account else None
        if issue.kind is IssueKind.ALERT:
            chosen = ChosenItems(tuple(await self._items.published([issue.article or ""], entitlement)))
        else:
            chosen = await self._items.chosen(
                newsletter.id, subscriber.choices.topics, mail.after_seq, mail.last_seq, entitlement, MAX_ITEMS
            )
        if not chosen.items and not chosen.corrections:
            if issue.kind is IssueKind.ALERT:
                return NotSent(MailState.CANCELLED, "the article was retracted, or may not be sent any more")
            return NotSent(MailState.EMPTY, "nothing matched")
        return await self._addressed(issue, newsletter, subscriber, chosen)

    async def _addressed(
        self, issue: Issue, newsletter: Newsletter, subscriber: Subscriber, chosen: ChosenItems
    ) -> OutgoingMail:
        slug, draft = newsletter.draft.slug, newsletter.draft
        unsubscribe = await self._links.unsubscribing(slug, subscriber.id)
        preferences = await self._links.preferences(slug, subscriber.id)
        page = self._links.page(slug)
        archive = f"{page}/archive" if draft.public_archive else None
        content = _personal(
            self._shared(issue.kind, newsletter, chosen, NewsletterLinks(page, archive)), unsubscribe, preferences
        )
        cadence = Cadence.INSTANT if issue.kind is IssueKind.ALERT else subscriber.choices.cadence
        lists = ListHeaders(
            list_id=f"{slug}.{host_of(self._links.site)}",
            name=draft.name,
            unsubscribe_url=unsubscribe,
            help_url=page,
            owner=draft.sender.reply_to or draft.sender.address,
            archive_url=archive,
            feedback_id=f"{cadence}:{newsletter.id}:{domain_of(draft.sender.address)}:newswire",
        )
        return await self._composed(issue, newsletter, subscriber, content, lists)

    def _shared(
        self, kind: IssueKind, newsletter: Newsletter, chosen: ChosenItems, links: NewsletterLinks
    ) -> MailContent:
        """Return the mail that readers with the same items share, but for their own links."""
        name = (kind, newsletter.id, newsletter.revision, chosen.identity)
        found = self._rendered.get(name)
        if found is None:
            reader = ReaderLinks(_UNSUBSCRIBE, _PREFERENCES)
            found = render_articles(newsletter, chosen, links, reader, single=kind is IssueKind.ALERT)
            self._rendered[name] = found
            if len(self._rendered) > MAX_CACHED:
                self._rendered.popitem(last=False)
        return found

    async def _signup(self, issue: Issue, newsletter: Newsletter, subscriber: Subscriber) -> OutgoingMail | NotSent:
        wanted = SubscriberState.ACTIVE if issue.kind is IssueKind.MANAGE else SubscriberState.PENDING
        if subscriber.state is not wanted:
            return NotSent(MailState.CANCELLED, f"the subscriber is {subscriber.state}")
        slug = newsletter.draft.slug
        if issue.kind is IssueKind.MANAGE:
            link, names = await self._links.preferences(slug, subscriber.id), MANAGE
        else:
            link = await self._links.confirmation(slug, subscriber.id)
            names = REMINDER if issue.kind is IssueKind.REMINDER else CONFIRMATION
        subject, message, button, closing = names
        content = render_signup(newsletter, subscriber.language, subject, message, link, button, closing)
        return await self._composed(issue, newsletter, subscriber, content, None)

    async def _composed(
        self,
        issue: Issue,
        newsletter: Newsletter,
        subscriber: Subscriber,
        content: MailContent,
        lists: ListHeaders | None,
    ) -> OutgoingMail:
        sender = newsletter.draft.sender
        domain = domain_of(sender.address)
        identity = message_id(issue.id, subscriber.id, domain)
        envelope = Envelope(
            from_name=sender.name,
            from_address=sender.address,
            to=subscriber.address,
            message_id=identity,
            date=self._subscribers.now,
            reply_to=sender.reply_to,
        )
        signer = self._signer if self._signer and self._signer.covers(domain) else None
        data = compose(envelope, content, lists, signer)
        path = await self._return_paths.address(subscriber.id) if self._return_paths else sender.address
        return OutgoingMail(path, subscriber.address, identity, data)


CONFIRMATION = ("mail_confirm_subject", "mail_confirm_text", "mail_confirm_button", "mail_confirm_ignore")
REMINDER = ("mail_reminder_subject", "mail_confirm_text", "mail_confirm_button", "mail_confirm_ignore")
MANAGE = ("mail_manage_subject", "mail_manage_text", "preferences", "")
WORDING_VERSION = "2026-11"
"""The version of the texts of form and confirmation, which is a part of the proof of consent."""


def host_of(site: str) -> str:
    """Return the host of the installation's address, without a port."""
    return urlsplit(site).hostname or "localhost"


def _personal(shared: MailContent, unsubscribe: str, preferences: str) -> MailContent:
    def filled(text: str) -> str:
        return text.replace(_UNSUBSCRIBE, unsubscribe).replace(_PREFERENCES, preferences)

    return MailContent(shared.subject, filled(shared.text), filled(shared.html))
