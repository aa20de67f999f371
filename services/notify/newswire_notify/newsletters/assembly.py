"""Puts the parts of newsletters together: what `newswire_notify.app` adds to the service."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.auth.signed_tokens import SignedTokens
from newswire.http.application import Loop
from newswire.http.health import Check
from newswire.keys import Keyspace
from newswire.storage.document_archive import NO_ARCHIVE, DocumentArchive
from newswire_notify.newsletters import api, archive, form_pages, link_pages, mail_pages, preference_pages
from newswire_notify.newsletters.attempts import Attempts
from newswire_notify.newsletters.bounce_folder import BounceFolder
from newswire_notify.newsletters.bounces import Bounces
from newswire_notify.newsletters.digests import Digests, Expansion
from newswire_notify.newsletters.dkim import DkimSigner
from newswire_notify.newsletters.items import Items
from newswire_notify.newsletters.links import Links
from newswire_notify.newsletters.mail_composer import MailComposer, host_of
from newswire_notify.newsletters.mail_connection import CLAIM_BATCH
from newswire_notify.newsletters.mail_folder import MailFolder
from newswire_notify.newsletters.mail_maker import MailMaker
from newswire_notify.newsletters.mail_queue import MailQueue
from newswire_notify.newsletters.matching import NewsletterMatcher
from newswire_notify.newsletters.page_rendering import NewsletterFrame
from newswire_notify.newsletters.planning import NewsletterPlanner
from newswire_notify.newsletters.receiving_domains import SendingLimits, read_rates, read_warm_up
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.return_path import ReturnPaths
from newswire_notify.newsletters.service import NewsletterService
from newswire_notify.newsletters.signup import Signup, SignupLimits
from newswire_notify.newsletters.site_list import SiteList
from newswire_notify.newsletters.subscribers import Subscribers
from newswire_notify.newsletters.transport import SmtpTransport, Transport
from newswire_notify.newsletters.worker import MailWorkers
from newswire_notify.settings import NotifySettings


@dataclass(frozen=True)
class NewsletterParts:
    """The parts of newsletters in one process."""

    newsletters: Newsletters
    subscribers: Subscribers
    queue: MailQueue
    signup: Signup
    bounces: Bounces
    planner: NewsletterPlanner
    digests: Digests
    expansion: Expansion
    workers: MailWorkers
    routers: Sequence[APIRouter]
    bounce_folder: BounceFolder | None

    @property
    def loops(self) -> Mapping[str, Loop]:
        """The background loops."""
        reports = {"mail reports": self.bounce_folder.run} if self.bounce_folder else {}
        return {
            "digests": self.digests.run,
            "newsletter expansion": self.expansion.run,
            "mail": self.workers.run,
            **reports,
        }

    @property
    def checks(self) -> Mapping[str, Check]:
        """The checks of `/status`."""
        return {"mail": self.workers.check}


def assemble_newsletters(
    redis: "Redis",
    records: "Redis",
    keys: Keyspace,
    signed: SignedTokens,
    settings: NotifySettings,
    clock: Callable[[], float],
    documents: DocumentArchive = NO_ARCHIVE,
) -> NewsletterParts:
    """Make the parts of newsletters.

    Raises:
        newswire_notify.newsletters.smtp_server.SmtpUrlError: the address of the mail server cannot be used.
        newswire_notify.newsletters.dkim.DkimKeyError: the private key cannot be used.
        newswire.site.theme.ThemeError: the theme of the site cannot be used.
    """
    newsletters = Newsletters(redis, keys, clock)
    subscribers = Subscribers(newsletters)
    limits = SendingLimits(
        read_rates(settings.mail_rates), settings.mail_connections_per_domain, read_warm_up(settings.mail_warm_up)
    )
    queue = MailQueue(newsletters, jitter_seconds=settings.mail_jitter.total_seconds(), limits=limits)
    links = Links(settings.site, signed, SignedTokens(records, keys, clock=clock))
    signer = signer_of(settings)
    signup_limits = SignupLimits(settings.signups_per_network, settings.signups_per_newsletter)
    signup = Signup(newsletters, subscribers, queue, signup_limits)
    bounces = Bounces(newsletters, subscribers)
    items = Items(newsletters, records, keys, documents)
    return_paths = ReturnPaths(subscribers.hashes, settings.bounce_domain) if settings.bounce_domain else None
    maker = MailMaker(newsletters, subscribers, items, links, MailComposer(links, signer), return_paths)
    transport = transport_of(settings)
    workers = MailWorkers(
        queue,
        maker,
        Attempts(subscribers, bounces),
        transport,
        connections=settings.smtp_connections,
        batch=min(CLAIM_BATCH, settings.smtp_messages_per_connection),
        lease=2 * settings.smtp_timeout + 5,  # an attempt begins in the first half, and ends at the timeout
    )
    frame = NewsletterFrame(settings)
    routers = [
        api.router(
            newsletters,
            NewsletterService(newsletters, subscribers, records, keys),
            queue,
            links,
            signer,
            settings.data_dir if settings.smtp_url is None else None,
        ),
        form_pages.router(newsletters, signup, links, frame),
        link_pages.router(newsletters, subscribers, signup, links, frame),
        preference_pages.router(newsletters, subscribers, signup, links, frame),
        archive.router(newsletters, items, links, frame),
        *([mail_pages.router(settings.data_dir, frame)] if settings.smtp_url is None else []),
    ]
    return NewsletterParts(
        newsletters,
        subscribers,
        queue,
        signup,
        bounces,
        NewsletterPlanner(newsletters, NewsletterMatcher(newsletters), queue, records, keys),
        Digests(newsletters, subscribers, queue, SiteList(newsletters, records, keys)),
        Expansion(queue),
        workers,
        routers,
        BounceFolder(settings.bounce_maildir, return_paths, bounces, queue)
        if return_paths is not None and settings.bounce_maildir is not None
        else None,
    )


def signer_of(settings: NotifySettings) -> DkimSigner | None:
    """Return what signs mails; None where no key is configured."""
    if settings.dkim_private_key is None or settings.dkim_domain is None:
        return None
    return DkimSigner(settings.dkim_private_key.get_secret_value(), settings.dkim_domain, settings.dkim_selector)


def transport_of(settings: NotifySettings) -> Callable[[], Transport]:
    """Return the function that opens a transport; the settings are checked at once."""
    if settings.smtp_url is None:
        return lambda: MailFolder(settings.data_dir)
    url, host = settings.smtp_url.get_secret_value(), host_of(settings.site)

    def open_transport() -> Transport:
        return SmtpTransport(
            url,
            local_hostname=host,
            timeout=settings.smtp_timeout,
            messages_per_connection=settings.smtp_messages_per_connection,
        )

    open_transport()
    return open_transport
