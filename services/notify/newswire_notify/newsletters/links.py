"""The signed links in mails: what each one allows its holder, and for how long."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from newswire.auth.signed_tokens import ExpiredTokenError, InvalidTokenError, Purpose, SignedTokens

FORM_LIFETIME = 24 * 3600.0
MIN_FILL_SECONDS = 2.0
"""Forms that are submitted sooner are treated as sent by bots."""
CONFIRMATION_LIFETIME = 30 * 86_400.0
PREFERENCES_LIFETIME = 90 * 86_400.0

_TOKEN = re.compile(r"[A-Za-z0-9_-]*")


class LinkState(Enum):
    """Why a link is not valid."""

    FORGED = "forged"
    EXPIRED = "expired"


class LinkTarget(NamedTuple):
    """The subscriber that a link is for, and the issue whose mail holds it; '' for other mails and pages."""

    subscriber: str
    issue: str = ""

    @property
    def content(self) -> bytes:
        """What the token of the link holds."""
        return (f"{self.subscriber}|{self.issue}" if self.issue else self.subscriber).encode()


@dataclass(frozen=True, slots=True)
class MailLinks:
    """Makes the links of many mails of a newsletter, which differ in their subscriber and issue alone."""

    page: str
    write_unsubscribing: Callable[[bytes], str]
    write_preferences: Callable[[bytes], str]

    def unsubscribing(self, subscriber: str, issue: str = "") -> str:
        """Return the link that unsubscribes, which does not expire (RFC 8058); ``issue``: of the mail that holds it."""
        return f"{self.page}/unsubscribe/{self.write_unsubscribing(LinkTarget(subscriber, issue).content)}"

    def preferences(self, subscriber: str, issue: str = "") -> str:
        """Return the link to a subscriber's preferences; ``issue``: of the mail that holds it."""
        return f"{self.page}/preferences/{self.write_preferences(LinkTarget(subscriber, issue).content)}"


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and reads the links of one installation. Links of one newsletter do not work for another."""

    site: str
    tokens: SignedTokens
    lasting: SignedTokens
    """Signed with a secret that is not rotated: links that must work as long as a mail exists."""

    def page(self, slug: str) -> str:
        """Return the address of a newsletter's page."""
        return f"{self.site}/newsletters/{slug}"

    async def confirmation(self, slug: str, subscriber: str) -> str:
        """Return the link that confirms a sign-up."""
        token = await self.tokens.write(
            Purpose.NEWSLETTER_CONFIRMATION, subscriber.encode(), bound_to=slug, lifetime=CONFIRMATION_LIFETIME
        )
        return f"{self.page(slug)}/confirm/{token}"

    async def preferences(self, slug: str, subscriber: str, issue: str = "") -> str:
        """Return the link to a subscriber's preferences; ``issue``: of the mail that holds it."""
        return (await self.of_mails(slug)).preferences(subscriber, issue)

    async def unsubscribing(self, slug: str, subscriber: str, issue: str = "") -> str:
        """Return the link that unsubscribes, which does not expire (RFC 8058); ``issue``: of the mail that holds it."""
        return (await self.of_mails(slug)).unsubscribing(subscriber, issue)

    async def of_mails(self, slug: str) -> "MailLinks":
        """Return what makes the links of a newsletter's mails; use it at once."""
        unsubscribing = await self.lasting.writer(Purpose.NEWSLETTER_UNSUBSCRIBING, bound_to=slug)
        preferences = await self.tokens.writer(
            Purpose.NEWSLETTER_PREFERENCES, bound_to=slug, lifetime=PREFERENCES_LIFETIME
        )
        return MailLinks(self.page(slug), unsubscribing, preferences)

    async def form(self, slug: str) -> str:
        """Return the token of a sign-up form: it says when the form was made."""
        made = str(int(self.tokens.now() * 1000))
        return await self.tokens.write(Purpose.NEWSLETTER_FORM, made.encode(), bound_to=slug, lifetime=FORM_LIFETIME)

    async def form_age(self, slug: str, token: str) -> float | None:
        """Return how many seconds ago a form was made, or None for a forged or expired token."""
        try:
            made = await self.tokens.read(Purpose.NEWSLETTER_FORM, token, bound_to=slug)
        except InvalidTokenError:
            return None
        return self.tokens.now() - int(made) / 1000

    async def target(self, purpose: Purpose, slug: str, token: str) -> LinkTarget | LinkState:
        """Return what a link is for, or why it is not valid.

        Mail programs and scanners append to addresses what follows them in a text (a full stop, a bracket), or what they count
        with (``&utm_source=…``). A token ends where the first character comes that tokens do not have.
        """
        token = _TOKEN.match(token)[0]  # type: ignore[index]  # it matches every text
        tokens = self.lasting if purpose is Purpose.NEWSLETTER_UNSUBSCRIBING else self.tokens
        try:
            content = await tokens.read(purpose, token, bound_to=slug)
            subscriber, _, issue = content.decode().partition("|")
            return LinkTarget(subscriber, issue)
        except ExpiredTokenError:
            return LinkState.EXPIRED
        except (InvalidTokenError, UnicodeDecodeError):
            return LinkState.FORGED
