"""Every route and command that changes something leaves one entry in the audit log for each act, or the table says why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any

import httpx
import orjson
import typer.main
from PIL import Image

from newswire.auth.credentials import Scope
from newswire.observability.audit import COMMAND_LINE, Act, ActorType, AuditEntry, read_page
from newswire.timestamps import rfc3339, utc_now
from newswire.users.roles import Role
from newswire.users.service import Client
from newswire.users.sessions import csrf_token
from newswire_cli.main import app
from newswire_notify.newsletters.repository import Newsletters
from newswire_notify.newsletters.service import NewsletterService
from newswire_notify.newsletters.subscribers import Subscribers
from tests.access.audit_table import COMMANDS, ROUTES, AuditRow, audit_row
from tests.access.conftest import OWN, SITE, Installation, Route

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
NEED_A_RECEIVER = {
    "POST /v1/subscriptions/{subscription_id}/test",
    "POST /v1/subscriptions/{subscription_id}/enable",
    "POST /v1/subscriptions/{subscription_id}/deliveries/{delivery_id}/replay",
    "POST /v1/subscriptions/{subscription_id}/deliveries/{delivery_id}/cancel",
    "POST /v1/dead-letters/{delivery_id}/retry",
    "DELETE /v1/dead-letters/{delivery_id}",
}
"""Routes whose entries the tests of deliveries check: they need an endpoint that answers, or one that failed."""


@dataclass
class Walk:
    """Sends requests, and checks what each leaves in the audit log."""

    installation: Installation
    walked: set[str] = field(default_factory=set)

    async def entries(self, since: str | None) -> list[AuditEntry]:
        """Return the entries after one, oldest first."""
        page = await read_page(self.installation.redis, self.installation.keys, limit=200)
        return [entry for entry in reversed(page.entries) if since is None or entry.id > since]

    async def last(self) -> str | None:
        """Return the id of the last entry."""
        found = await self.entries(None)
        return found[-1].id if found else None

    async def act(
        self, route: str, headers: Mapping[str, str], body: Any = None, *acts: Act, **ids: str
    ) -> httpx.Response:
        """Send a request with a key, and check that each act has left one entry of this key."""
        row = audit_row(ROUTES, route)
        assert row is not None, route
        assert set(acts) <= row.acts, route
        before = await self.last()
        answer = await self.send(route, headers, body, **ids)
        assert answer.status_code < 300, f"{route}: {answer.status_code} {answer.text}"
        found = await self.entries(before)
        key_id = headers["Authorization"].split("_")[1]
        assert [(entry.act, entry.actor.type, entry.actor.key_id) for entry in found] == [
            (act, ActorType.KEY, key_id) for act in acts
        ], route
        self.walked.add(route)
        return answer

    async def nothing(self, route: str, headers: Mapping[str, str], body: Any = None, **ids: str) -> None:
        """Send a request that is refused, or changes nothing, and check that it leaves no entry."""
        before = await self.last()
        answer = await self.send(route, headers, body, **ids)
        assert await self.entries(before) == [], f"{route}: {answer.status_code}"

    async def send(self, route: str, headers: Mapping[str, str], body: Any, **ids: str) -> httpx.Response:
        """Send a request to a route of the table."""
        method, path = route.split()
        for name, value in (self.installation.ids | ids).items():
            path = path.replace(f"{{{name}}}", value)
        if isinstance(body, bytes):
            return await self.installation.http.request(method, path, headers=dict(headers), content=body)
        return await self.installation.http.request(method, path, headers=dict(headers), json=body)


def rows_of(installation: Installation) -> list[tuple[Route, AuditRow | None]]:
    return [(route, audit_row(ROUTES, str(route))) for route in installation.routes if route.method in CHANGING]


def commands(command: Any = None, name: str = "") -> Iterator[str]:
    """Yield the names of all commands."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield name
    for inner, found in getattr(command, "commands", {}).items():
        yield from commands(found, f"{name} {inner}".strip())


def test_every_command_is_declared() -> None:
    names = list(commands())
    assert [name for name in names if audit_row(COMMANDS, name) is None] == [], "commands without a row in the table"
    assert [row.matches for row in COMMANDS if not any(audit_row((row,), name) for name in names)] == []


async def test_every_route_that_changes_something_is_declared(installation: Installation) -> None:
    found = rows_of(installation)
    assert [str(route) for route, row in found if row is None] == [], "routes without a row in the table"
    assert [row.matches for row in ROUTES if row not in [used for _, used in found]] == [], "rows without a route"
    assert all(bool(row.acts) != bool(row.reason) for row in (*ROUTES, *COMMANDS))


async def test_each_act_of_a_key_leaves_one_entry(installation: Installation) -> None:
    walk = Walk(installation)
    admin, publisher, subscriber = [
        await installation.key(OWN, scope) for scope in (Scope.ADMIN, Scope.PUBLISH, Scope.SUBSCRIBE)
    ]
    await _accounts_keys_and_users(walk, admin)
    await _drafts(walk, publisher)
    await _articles_labels_and_images(walk, admin, publisher)
    await _newsletters(walk, subscriber)
    await _subscriptions(walk, admin, subscriber)
    audited = {
        str(route).replace(":path", "") for route, row in rows_of(installation) if route.is_api and row and row.acts
    }
    assert audited - NEED_A_RECEIVER == walk.walked & audited


async def _accounts_keys_and_users(walk: Walk, admin: dict[str, str]) -> None:
    await walk.act("POST /v1/accounts", admin, {"name": "Quay News"}, Act.ACCOUNT_CREATED)
    await walk.nothing("POST /v1/accounts", admin, {"name": "Quay News"})
    patch, quay = "PATCH /v1/accounts/{name}", "Quay%20News"
    for body, changed in (
        ({"daily_quota": 9}, Act.ACCOUNT_LIMITED),
        ({"entitlement": {"topics": ["Tides"]}}, Act.ACCOUNT_ENTITLED),
        ({"disabled": True}, Act.ACCOUNT_DISABLED),
        ({"disabled": False}, Act.ACCOUNT_ENABLED),
    ):
        await walk.act(patch, admin, body, changed, name=quay)
        await walk.nothing(patch, admin, body, name=quay)
    draft = {"account": "Quay News", "scopes": ["read"]}
    made = (await walk.act("POST /v1/keys", admin, draft, Act.KEY_CREATED)).json()
    rotated = await walk.act("POST /v1/keys/{key_id}/rotate", admin, {}, Act.KEY_ROTATED, key_id=made["id"])
    await walk.nothing("POST /v1/keys/{key_id}/rotate", admin, {}, key_id=made["id"])
    await walk.act("DELETE /v1/keys/{key_id}", admin, None, Act.KEY_REVOKED, key_id=rotated.json()["id"])
    await walk.nothing("DELETE /v1/keys/{key_id}", admin, key_id=rotated.json()["id"])
    person = {"email": "mo@quay.example", "name": "Mo", "memberships": {"Quay News": ["writer"]}}
    user_id = (await walk.act("POST /v1/users", admin, person, Act.USER_CREATED)).json()["id"]
    await walk.nothing("POST /v1/users", admin, person)
    patch = "PATCH /v1/users/{user_id}"
    await walk.act(patch, admin, {"name": "Moe"}, Act.USER_CHANGED, user_id=user_id)
    await walk.nothing(patch, admin, {"name": "Moe"}, user_id=user_id)
    await walk.act(patch, admin, {"disabled": True}, Act.USER_DISABLED, user_id=user_id)
    await walk.nothing(patch, admin, {"disabled": True}, user_id=user_id)
    await walk.act(patch, admin, {"disabled": False}, Act.USER_ENABLED, user_id=user_id)
    link = "POST /v1/users/{user_id}/links"
    await walk.act(link, admin, {"purpose": "sign-in"}, Act.USER_LINKED, user_id=user_id)
    user = await walk.installation.users.users.find(user_id)
    assert user is not None
    await walk.installation.users.start_session(user, Client("192.0.2.7", "192.0.2.7", "Firefox/150"), method="link")
    await walk.act("POST /v1/users/{user_id}/sign-out", admin, None, Act.USER_SIGNED_OUT, user_id=user_id)
    await walk.nothing("POST /v1/users/{user_id}/sign-out", admin, user_id=user_id)
    await walk.act("DELETE /v1/users/{user_id}", admin, None, Act.USER_DELETED, user_id=user_id)
    await walk.nothing("DELETE /v1/users/{user_id}", admin, user_id=user_id)


async def _drafts(walk: Walk, publisher: dict[str, str]) -> None:
    content = {"title": "Low tide", "body": "<p>Mud.</p>"}
    made = await walk.act("POST /v1/drafts", publisher, {"content": content}, Act.DRAFT_CREATED)
    draft_id, one = made.json()["id"], "/v1/drafts/{draft_id}"

    async def act(route: str, body: Any, act: Act, **ids: str) -> None:
        seen = await walk.send(f"GET {one}", publisher, None, draft_id=draft_id)
        await walk.act(route, publisher | {"If-Match": seen.headers["etag"]}, body, act, draft_id=draft_id, **ids)

    await act(f"PUT {one}", content | {"body": "<p>Sand.</p>"}, Act.DRAFT_SAVED)
    await walk.nothing(f"PUT {one}", publisher | {"If-Match": '"1"'}, content, draft_id=draft_id)
    await act(f"POST {one}/revisions/{{number}}/restore", None, Act.DRAFT_RESTORED, number="1")
    due = rfc3339(utc_now() + timedelta(days=1))
    await act(f"POST {one}/schedule", {"at": due}, Act.ARTICLE_SCHEDULED)
    await act(f"POST {one}/publish", {}, Act.ARTICLE_PUBLISHED)
    await act(f"PUT {one}", content | {"body": "<p>Silt.</p>"}, Act.DRAFT_SAVED)
    await act(f"POST {one}/update", {}, Act.ARTICLE_UPDATED)
    await act(f"PUT {one}", content | {"body": "<p>Clay.</p>"}, Act.DRAFT_SAVED)
    await act(f"POST {one}/correct", {"correction_note": "It is clay."}, Act.ARTICLE_CORRECTED)
    await act(f"DELETE {one}", None, Act.DRAFT_DISCARDED)
    await walk.nothing(f"DELETE {one}", publisher, draft_id=draft_id)
    await act(f"POST {one}/recover", None, Act.DRAFT_RECOVERED)
    await act(f"DELETE {one}", None, Act.DRAFT_DISCARDED)
    await act(f"POST {one}/erase", None, Act.DRAFT_ERASED)


async def _articles_labels_and_images(walk: Walk, admin: dict[str, str], publisher: dict[str, str]) -> None:
    article = {"title": "Kelp", "body": "<p>It grows.</p>", "topics": ["Kelp"]}
    made = await walk.act("POST /v1/articles", publisher, article)
    article_id, key_id = made.json()["id"], publisher["Authorization"].split("_")[1]
    version = walk.installation.keys.version(article_id, 1)
    assert await walk.installation.redis.hget(version, "key") == key_id.encode(), "the version names its key instead"
    merger = {"old": "Kelp", "new": "Seaweed"}
    await walk.act("POST /v1/topics/merge", admin, merger, Act.LABEL_MERGED)
    await walk.nothing("POST /v1/topics/merge", admin, merger)
    await walk.nothing("POST /v1/topics/merge", admin, {"old": "Coral", "new": "Seaweed"})
    await _withdrawals(walk, publisher)
    taken, order = "DELETE /v1/admin/articles/{article_id}", {"reason": "A court order"}
    await walk.act(taken, admin, order, Act.ARTICLE_RETRACTED, article_id=article_id)
    await walk.nothing(taken, admin, order, article_id=article_id)
    await walk.nothing("DELETE /v1/articles/{article_id}", publisher, {}, article_id=article_id)
    release = "POST /v1/admin/articles/{article_id}/release"
    await walk.act(release, admin, None, Act.ARTICLE_RELEASED, article_id=article_id)
    await walk.nothing(release, admin, article_id=article_id)
    image = BytesIO()
    Image.new("RGB", (64, 48), "teal").save(image, "PNG")
    sent = await walk.act("POST /v1/media", publisher, image.getvalue(), Act.MEDIA_ADDED)
    await walk.nothing("POST /v1/media", publisher, image.getvalue())
    media_id = sent.json()["id"]
    await walk.act("PATCH /v1/media/{media_id}", publisher, {"alt": "Teal"}, Act.MEDIA_CHANGED, media_id=media_id)
    await walk.act("DELETE /v1/media/{media_id}", publisher, None, Act.MEDIA_DELETED, media_id=media_id)
    await walk.nothing("DELETE /v1/media/{media_id}", publisher, media_id=media_id)


async def _withdrawals(walk: Walk, publisher: dict[str, str]) -> None:
    one, external = "DELETE /v1/articles/{article_id}", "DELETE /v1/articles/by-external-id/{external_id}"
    later = {"embargo_until": rfc3339(utc_now() + timedelta(days=1))}
    for route, act, more in (
        (one, Act.ARTICLE_RETRACTED, {}),
        (external, Act.ARTICLE_RETRACTED, {}),
        (external, Act.ARTICLE_CANCELLED, later),
    ):
        article = {
            "title": "Buoy",
            "body": "<p>It floats.</p>",
            "external_id": f"{act}-{route}".replace(" ", "-"),
        } | more
        made = (await walk.act("POST /v1/articles", publisher, article)).json()
        ids = {"article_id": made["id"], "external_id": made["external_id"]}
        await walk.act(route, publisher, {"reason": "It sank"}, act, **ids)
        await walk.nothing(route, publisher, {"reason": "It sank"}, **ids)
        assert (await walk.entries(None))[-1].details == {"reason": "It sank"}


async def _newsletters(walk: Walk, subscriber: dict[str, str]) -> None:
    draft = {
        "slug": "tides",
        "name": "Tides",
        "description": "High and low.",
        "sender": {"name": "T", "address": "t@t.example"},
    }
    made = await walk.act("POST /v1/newsletters", subscriber, draft, Act.NEWSLETTER_CREATED)
    await walk.nothing("POST /v1/newsletters", subscriber, draft)
    ids, one = {"newsletter_id": made.json()["id"]}, "/v1/newsletters/{newsletter_id}"
    changed = draft | {"name": "Tides of the week"}
    await walk.act(f"PUT {one}", subscriber, changed, Act.NEWSLETTER_CHANGED, **ids)
    await walk.nothing(f"PUT {one}", subscriber, changed, **ids)
    await walk.act(f"PATCH {one}", subscriber, {"status": "paused"}, Act.NEWSLETTER_CHANGED, **ids)
    await walk.nothing(f"PATCH {one}", subscriber, {"slug": "ebb"}, **ids)
    await walk.act(f"DELETE {one}", subscriber, None, Act.NEWSLETTER_DELETED, **ids)
    await walk.nothing(f"DELETE {one}", subscriber, **ids)


async def _subscriptions(walk: Walk, admin: dict[str, str], subscriber: dict[str, str]) -> None:
    webhook = {"channel": {"type": "webhook", "url": "https://93.184.216.34/tides"}}
    made = await walk.act("POST /v1/subscriptions", subscriber, webhook, Act.SUBSCRIPTION_CREATED)
    ids, one = {"subscription_id": made.json()["id"]}, "/v1/subscriptions/{subscription_id}"
    changed = webhook | {"labels": {"desk": "tides"}}
    reason, operated = {"reason": "It is overloaded"}, "/v1/admin/subscriptions/{subscription_id}"
    for route, headers, body, act in (
        (f"PUT {one}", subscriber, changed, Act.SUBSCRIPTION_CHANGED),
        (f"PATCH {one}", subscriber, {"labels": {"desk": "sea"}}, Act.SUBSCRIPTION_CHANGED),
        (f"POST {one}/pause", subscriber, None, Act.SUBSCRIPTION_PAUSED),
        (f"POST {one}/resume", subscriber, None, Act.SUBSCRIPTION_RESUMED),
        (f"POST {operated}/pause", admin, reason, Act.SUBSCRIPTION_PAUSED),
        (f"POST {operated}/resume", admin, None, Act.SUBSCRIPTION_RESUMED),
    ):
        await walk.act(route, headers, body, act, **ids)
        await walk.nothing(route, headers, body, **ids)
    await walk.nothing(f"POST {one}/enable", subscriber, **ids)
    await walk.act(f"POST {one}/secret/rotate", subscriber, {}, Act.SECRET_ROTATED, **ids)
    await walk.act(f"DELETE {operated}", admin, reason, Act.SUBSCRIPTION_ENDED, **ids)
    made = await walk.act("POST /v1/subscriptions", subscriber, webhook, Act.SUBSCRIPTION_CREATED)
    ids = {"subscription_id": made.json()["id"]}
    since = {"since": rfc3339(utc_now() - timedelta(minutes=1))}
    await walk.act(f"POST {one}/replay", subscriber, since, Act.DELIVERIES_REPLAYED, **ids)
    await walk.act(f"DELETE {one}", subscriber, None, Act.SUBSCRIPTION_DELETED, **ids)
    await walk.nothing(f"DELETE {one}", subscriber, **ids)
    await walk.act("POST /v1/portal-links", subscriber, {}, Act.PORTAL_LINKED)


async def test_acts_on_pages_name_the_user(installation: Installation) -> None:
    walk = Walk(installation)
    user = await installation.user("ana@harbour.example", OWN, Role.ADMIN, Role.SUBSCRIBER)
    started = await installation.users.start_session(
        user, Client("192.0.2.7", "192.0.2.7", "Firefox/150"), method="link"
    )

    async def send(path: str, **form: str) -> list[tuple[str, str | None]]:
        before = await walk.last()
        headers = {"Cookie": f"__Host-newswire-session={started.token}", "Origin": SITE}
        answer = await installation.http.post(path, headers=headers, data={"csrf": csrf_token(started.token)} | form)
        assert answer.status_code < 400, f"{path}: {answer.status_code}"
        return [(entry.act, entry.actor.user_id) for entry in await walk.entries(before)]

    subscription = f"/portal/subscriptions/{installation.ids['subscription_id']}"
    assert await send("/account/name", name="Ana Ray") == [(Act.USER_CHANGED, user.id)]
    assert await send("/account/name", name="Ana Ray") == []
    created = await send("/users", email="bo@harbour.example", name="Bo", roles="writer")
    assert created == [(Act.USER_CREATED, user.id), (Act.USER_LINKED, user.id)]
    assert await send(subscription, do="pause") == [(Act.SUBSCRIPTION_PAUSED, user.id)]
    assert await send(f"{subscription}/delete") == [(Act.SUBSCRIPTION_DELETED, user.id)]
    assert await send("/sign-out") == [(Act.USER_SIGNED_OUT, user.id)]


async def test_imported_exported_and_erased_readers_leave_one_entry_without_their_addresses(
    installation: Installation,
) -> None:
    walk = Walk(installation)
    newsletters = Newsletters(installation.redis, installation.keys)
    subscribers = Subscribers(newsletters)
    service = NewsletterService(newsletters, subscribers, installation.redis, installation.keys)
    newsletter = await newsletters.by_slug("ferries")
    assert newsletter is not None
    row = {"email": "reader@example.org", "consent_at": "2026-01-02T08:00:00Z", "consent_source": "the old form"}
    before = await walk.last()
    for _ in range(2):  # the second import changes nothing
        await service.import_readers(newsletter, [(2, row), (3, {"email": "none"})], "list.csv", by=COMMAND_LINE)
    assert len([row async for row in service.export_readers(newsletter, by=COMMAND_LINE)]) == 1
    reader = await subscribers.by_address(newsletter, "reader@example.org")
    assert reader is not None
    assert await service.erase_reader(newsletter, reader, by=COMMAND_LINE)
    assert not await service.erase_reader(newsletter, reader, by=COMMAND_LINE)
    imported, exported, erased = await walk.entries(before)
    assert (exported.act, exported.target) == (Act.SUBSCRIBERS_EXPORTED, newsletter.id)
    assert (imported.act, imported.actor, imported.target) == (Act.SUBSCRIBERS_IMPORTED, COMMAND_LINE, newsletter.id)
    assert (imported.details["imported"], imported.details["invalid"]) == (1, 1)
    assert (erased.act, erased.details["subscriber"]) == (Act.SUBSCRIBER_ERASED, reader.id)
    assert b"reader@" not in orjson.dumps([dict(each.details) for each in (imported, exported, erased)])
