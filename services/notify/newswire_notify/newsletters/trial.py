"""Renders a sample of each mail of a newsletter before the newsletter is saved, so that what is saved can be sent."""

from datetime import UTC, datetime

from newswire.http.problems import ProblemError, invalid
from newswire.validation.email_addresses import domain_of
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.items import ChosenItems, Item
from newswire_notify.newsletters.mail_composer import host_of
from newswire_notify.newsletters.mail_maker import CONFIRMATION
from newswire_notify.newsletters.message import Envelope, ListHeaders, UnsendableMailError, compose, message_id
from newswire_notify.newsletters.models import Newsletter, NewsletterDraft
from newswire_notify.newsletters.rendering import NewsletterLinks, ReaderLinks, render_articles, render_signup

_LONG_LINK = f"https://newsletters.example/{'x' * 300}"


def check_sendable(draft: NewsletterDraft, site: str, signer: DkimSigner | None) -> None:
    """Check that mails of a newsletter can be made and signed.

    Raises:
        newswire.http.problems.ProblemError: 422 that names the member at fault.
    """
    domain = domain_of(draft.sender.address)
    if signer is not None and not signer.covers(domain):
        raise invalid(
            "sender.address",
            f"is at {domain}, and mails are signed for {signer.domain}: receivers would take them for forged",
            f"send an address at {signer.domain}, or one of its subdomains",
        )
    sample = Newsletter("nl_sample", "sample", "1", datetime(2026, 1, 1, tzinfo=UTC), draft)
    item = Item(
        "sample", 1, "x" * 300, _LONG_LINK, "x " * 450, "x" * 200, draft.language, "2026-01-01", "2026-01-01T00:00:00Z"
    )
    links = NewsletterLinks(_LONG_LINK, _LONG_LINK)
    try:
        content = render_articles(sample, ChosenItems((item,)), links, ReaderLinks(_LONG_LINK, _LONG_LINK), single=True)
        signup = render_signup(sample, draft.language, *CONFIRMATION[:2], _LONG_LINK, *CONFIRMATION[2:])
        lists = ListHeaders(
            f"{draft.slug}.{host_of(site)}",
            draft.name,
            _LONG_LINK,
            _LONG_LINK,
            draft.sender.address,
            _LONG_LINK,
            "a:b:c:newswire",
        )
        envelope = Envelope(
            draft.sender.name,
            draft.sender.address,
            "reader@newsletters.example",
            message_id("sample", "sample", domain),
            datetime(2026, 1, 1, tzinfo=UTC),
            draft.sender.reply_to,
        )
        compose(envelope, content, lists, signer)
        compose(envelope, signup, None, signer)
    except (UnsendableMailError, UnicodeError, ValueError) as error:
        raise _unsendable(str(error)) from None


def _unsendable(reason: str) -> ProblemError:
    return invalid("$", f"gives mails that cannot be sent: {reason}", "shorten the name, the sender and the brand")
