"""Makes the mails of claimed entries of the queue: checks once more that they are to be sent, and what they may hold."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from newswire.auth.accounts import Account
from newswire.validation.email_addresses import domain_of
from newswire_notify.newsletters.issues import ClaimedMail, Issue, IssueKind, MailState
from newswire_notify.newsletters.items import ChosenItems, Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_composer import (
    PREFERENCES,
    UNSUBSCRIBE,
    Draft,
    MailComposer,
    NotSent,
    OutgoingMail,
)
from newswire_notify.newsletters.mail_facts import MailFacts, read_mail_facts
from newswire_notify.newsletters.message import MailContent, message_id
from newswire_notify.newsletters.models import Newsletter, Recipient, SubscriberState
from newswire_notify.newsletters.rendering import MAX_ITEMS, render_signup
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.return_path import ReturnPaths
from newswire_notify.newsletters.schedule import Cadence
from newswire_notify.newsletters.subscribers import Subscribers

MAX_HOLD = timedelta(hours=72)
MAX_AGE = timedelta(days=7)
"""Of an issue whose mails are sent still: a restored backup may hold old ones."""


class MailMaker:
    """Makes the mails of one installation."""

    def __init__(
        self,
        newsletters: Newsletters,
        subscribers: Subscribers,
        items: Items,
        links: Links,
        composer: MailComposer,
        return_paths: ReturnPaths | None = None,
    ) -> None:
        """``return_paths``: where reports go; by default to the sender."""
        self._return_paths = return_paths
        self._newsletters = newsletters
        self._subscribers = subscribers
        self._items = items
        self._links = links
        self._composer = composer

    async def make_all(self, mails: Sequence[ClaimedMail]) -> list[OutgoingMail | NotSent]:
        """Return each mail, or why there is none: `FAILED` where it breaks a limit of Internet mail.

        Raises:
            redis.exceptions.RedisError: Redis cannot be used.
        """
        facts = await read_mail_facts(self._newsletters, self._items, mails)
        drafts = [await self._draft(mail, facts.issues.get(mail.issue), facts) for mail in mails]
        return await self._composer.compose_all(drafts)

    async def make(self, mail: ClaimedMail) -> OutgoingMail | NotSent:
        """Return one mail, or why there is none."""
        return (await self.make_all([mail]))[0]

    async def _draft(self, mail: ClaimedMail, issue: Issue | None, facts: MailFacts) -> Draft | NotSent:
        if issue is None:
            return NotSent(MailState.CANCELLED, "the issue has expired")
        newsletter = facts.newsletters.get(issue.newsletter)
        if newsletter is None or newsletter.deleted:
            return NotSent(MailState.CANCELLED, "the newsletter was deleted")
        recipient = facts.recipients.get(mail.subscriber)
        if recipient is None:
            return NotSent(MailState.CANCELLED, "the subscriber was erased")
        if issue.kind in (IssueKind.ALERT, IssueKind.DIGEST):
            return await self._articles(mail, issue, newsletter, recipient, facts)
        return await self._signup(issue, newsletter, recipient)

    async def _articles(
        self, mail: ClaimedMail, issue: Issue, newsletter: Newsletter, recipient: Recipient, facts: MailFacts
    ) -> Draft | NotSent:
        if recipient.state is not SubscriberState.ACTIVE:
            return NotSent(MailState.CANCELLED, f"the subscriber is {recipient.state}")
        if self._subscribers.now - issue.created_at > MAX_AGE:
            return NotSent(MailState.CANCELLED, "the issue is too old")
        if recipient.suppressed:
            return NotSent(MailState.CANCELLED, "the address is suppressed")
        if newsletter.account not in facts.accounts:
            facts.accounts[newsletter.account] = await self._items.account(newsletter.account)
        account = facts.accounts[newsletter.account]
        if not newsletter.is_sending or (account is not None and account.disabled_at is not None):
            expired = self._subscribers.now - issue.created_at > MAX_HOLD
            state = MailState.CANCELLED if expired else MailState.PLANNED
            return NotSent(state, "the newsletter is paused, or its account is disabled")
        chosen = await self._chosen(mail, issue, recipient, account, facts)
        if not chosen.items and not chosen.corrections:
            if issue.kind is IssueKind.ALERT:
                return NotSent(MailState.CANCELLED, "the article was retracted, or may not be sent any more")
            return NotSent(MailState.EMPTY, "nothing matched")
        if newsletter.id not in facts.links:
            facts.links[newsletter.id] = await self._links.of_mails(newsletter.draft.slug)
        makes = facts.links[newsletter.id]
        links = {
            UNSUBSCRIBE: makes.unsubscribing(recipient.id, issue.id),
            PREFERENCES: makes.preferences(recipient.id, issue.id),
        }
        cadence = Cadence.INSTANT if issue.kind is IssueKind.ALERT else recipient.cadence
        return await self._addressed(issue, newsletter, recipient, cadence, chosen, None, links)

    async def _chosen(
        self, mail: ClaimedMail, issue: Issue, recipient: Recipient, account: Account | None, facts: MailFacts
    ) -> ChosenItems:
        topics = () if issue.kind is IssueKind.ALERT else recipient.topics
        name = (issue.id, topics, mail.after_seq, mail.last_seq)
        if name not in facts.chosen:
            entitlement = account.entitlement if account else None
            if issue.kind is IssueKind.ALERT:
                found = ChosenItems(tuple(await self._items.published([issue.article or ""], entitlement)))
            else:
                found = await facts.items.chosen(
                    issue.newsletter, topics, mail.after_seq, mail.last_seq, entitlement, MAX_ITEMS
                )
            facts.chosen[name] = found
        return facts.chosen[name]

    async def _signup(self, issue: Issue, newsletter: Newsletter, recipient: Recipient) -> Draft | NotSent:
        wanted = SubscriberState.ACTIVE if issue.kind is IssueKind.MANAGE else SubscriberState.PENDING
        if recipient.state is not wanted:
            return NotSent(MailState.CANCELLED, f"the subscriber is {recipient.state}")
        slug = newsletter.draft.slug
        if issue.kind is IssueKind.MANAGE:
            link, names = await self._links.preferences(slug, recipient.id), MANAGE
        else:
            link = await self._links.confirmation(slug, recipient.id)
            names = REMINDER if issue.kind is IssueKind.REMINDER else CONFIRMATION
        subject, message, button, closing = names
        content = render_signup(newsletter, recipient.language, subject, message, link, button, closing)
        return await self._addressed(issue, newsletter, recipient, recipient.cadence, None, content, {})

    async def _addressed(
        self,
        issue: Issue,
        newsletter: Newsletter,
        recipient: Recipient,
        cadence: Cadence,
        chosen: ChosenItems | None,
        content: MailContent | None,
        links: Mapping[str, str],
    ) -> Draft:
        address = newsletter.draft.sender.address
        return Draft(
            newsletter,
            issue.kind,
            cadence,
            chosen,
            content,
            await self._return_paths.address(recipient.id) if self._return_paths else address,
            recipient.address,
            message_id(issue.id, recipient.id, domain_of(address)),
            links,
            self._subscribers.now,
        )


CONFIRMATION = ("mail_confirm_subject", "mail_confirm_text", "mail_confirm_button", "mail_confirm_ignore")
REMINDER = ("mail_reminder_subject", "mail_confirm_text", "mail_confirm_button", "mail_confirm_ignore")
MANAGE = ("mail_manage_subject", "mail_manage_text", "preferences", "")
WORDING_VERSION = "2026-11"
"""The version of the texts of form and confirmation, which is a part of the proof of consent."""
