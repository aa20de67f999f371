"""Puts the parts of the portal together: what `newswire_notify.app` adds to the service."""

from fastapi import APIRouter
from redis.asyncio import Redis

from newswire.http.problem_handlers import ProblemMakers
from newswire.keys import Keyspace
from newswire.storage.document_archive import DocumentArchive
from newswire_notify.deliveries.owner_replays import OwnerReplays
from newswire_notify.deliveries.queue import Queue
from newswire_notify.deliveries.service import Deliveries
from newswire_notify.portal import (
    api,
    delivery_pages,
    entry_pages,
    key_pages,
    live_pages,
    overview_pages,
    signature_pages,
    subscription_pages,
)
from newswire_notify.portal.access import PortalAccess
from newswire_notify.portal.acts import Acts
from newswire_notify.portal.article_titles import ArticleTitles
from newswire_notify.portal.delivery_pages import DeliveryParts
from newswire_notify.portal.frame import PortalFrame
from newswire_notify.portal.links import PortalLinks
from newswire_notify.portal.requests_sent import SentRequests
from newswire_notify.portal.subscription_pages import SubscriptionParts
from newswire_notify.settings import NotifySettings
from newswire_notify.streaming.connection_limiter import ConnectionLimiter
from newswire_notify.subscriptions.owner_actions import OwnerActions
from newswire_notify.subscriptions.preview import Previews


def portal_routers(
    queue: Queue,
    records: "Redis",
    keys: Keyspace,
    actions: OwnerActions,
    replays: OwnerReplays,
    deliveries: Deliveries,
    previews: Previews,
    limiter: ConnectionLimiter,
    makers: ProblemMakers,
    settings: NotifySettings,
    archive: DocumentArchive,
) -> list[APIRouter]:
    """Return the routes of the portal."""
    links = PortalLinks(records, keys)
    access = PortalAccess(links, actions.subscriptions, records, keys, settings)
    frame = PortalFrame(settings.site_name, makers)
    acts = Acts(records, keys)
    disabled_after = settings.webhook_disabled_after
    titles = ArticleTitles(records, keys, archive)
    requests = SentRequests(queue, records, keys, settings.site, archive)
    return [
        api.router(links, settings.site),
        entry_pages.router(access, frame),
        overview_pages.router(access, frame, actions.subscriptions, queue, disabled_after),
        subscription_pages.router(
            access,
            frame,
            SubscriptionParts(actions, previews, deliveries, titles, queue, acts, makers, disabled_after),
        ),
        signature_pages.router(access, frame, actions.subscriptions, deliveries, requests),
        live_pages.router(access, frame, queue, titles, limiter),
        key_pages.router(access, frame, records, keys),
        delivery_pages.router(access, frame, DeliveryParts(deliveries, replays, requests, titles, queue, acts, makers)),
    ]
