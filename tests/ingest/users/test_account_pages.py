"""What users change about themselves, and admins about users of their accounts."""

from datetime import UTC, datetime, timedelta

import pytest

from newswire.auth.accounts import create_account, disable_account, enable_account
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.timestamps import epoch_ms
from newswire.users.models import User
from newswire.users.roles import Role
from tests.ingest.users.conftest import PASSWORD, Browser, Desk, MakeUser

NEW = "quiet lanterns above harbours"


async def age_sessions(desk: Desk, user: User, by: timedelta = timedelta(minutes=11)) -> None:
    """Make all sessions of a user older."""
    earlier = str(epoch_ms(datetime.now(UTC) - by))
    for session in await desk.service.sessions.list(user.id):
        await desk.ingest.redis.hset(desk.ingest.keys.key("session", session.id), "authenticated", earlier)


async def test_a_new_password_needs_the_old_one_and_signs_the_others_out(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser, other = await desk.signed_in(ida), await desk.signed_in(ida)
    await browser.get("/account")
    assert (await browser.post("/account/password", current="wrong", password=NEW)).status_code == 403
    assert (await browser.post("/account/password", current=PASSWORD, password="short")).status_code == 422
    changed = await browser.post("/account/password", current=PASSWORD, password=NEW)
    assert "Your password is set" in changed.text
    assert (await other.get("/account")).url.path == "/sign-in"
    assert (await desk.browser().sign_in(ida.email)).status_code == 403
    assert (await desk.browser().sign_in(ida.email, NEW)).url.path == "/desk"


async def test_browsers_are_listed_and_signed_out(desk: Desk, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser, second, third = [await desk.signed_in(ida) for _ in range(3)]
    page = await browser.get("/account")
    sessions = page.text.split('name="session" value="')[1:]
    assert len(sessions) == 2
    await browser.post("/account/sessions/end", session=sessions[0][:64])
    states = sorted([(await each.get("/account")).url.path for each in (second, third)])
    assert states == ["/account", "/sign-in"]
    await browser.get("/account")
    await browser.post("/account/sessions/end")
    assert [(await each.get("/account")).url.path for each in (browser, second, third)] == [
        "/account",
        *["/sign-in"] * 2,
    ]


async def test_an_admin_adds_a_user_who_accepts_the_invitation(desk: Desk, user: MakeUser) -> None:
    admin = await desk.signed_in(await user("admin@harbour.example", Role.ADMIN))
    await admin.get("/users")
    made = await admin.post("/users", name="Jon Vale", email="jon@harbour.example", roles=["writer", "newsletters"])
    assert made.status_code == 201
    link = made.text.partition("https://news.example/invitation/")[2].partition("<")[0]
    new = desk.browser()
    await new.get(f"/invitation/{link}")
    assert (await new.post(f"/invitation/{link}", password=NEW)).url.path == "/desk"
    assert 'href="/users"' not in new.page
    refused = await new.get("/users")
    assert refused.status_code == 403
    assert "Not permitted" in refused.text
    new.headers["Accept-Language"] = "de"
    assert "Nicht erlaubt" in (await new.get("/users")).text
    assert "Jon Vale" in (await admin.get("/users")).text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "Jon", "email": "jon", "roles": ["writer"]}, "not an e-mail address"),
        ({"name": "", "email": "jon@harbour.example", "roles": ["writer"]}, "1 to 100 characters"),
        ({"name": "Jon", "email": "jon@harbour.example", "roles": []}, "at least one role"),
        ({"name": "Jon", "email": "jon@harbour.example", "roles": ["owner"]}, "at least one role"),
        ({"name": "Jon", "email": "ADMIN@harbour.example", "roles": ["writer"]}, "Another user has this address"),
    ],
)
async def test_what_cannot_be_added_is_explained_and_the_form_stays_filled(
    desk: Desk, user: MakeUser, fields: dict[str, str | list[str]], told: str
) -> None:
    admin = await desk.signed_in(await user("admin@harbour.example", Role.ADMIN))
    await admin.get("/users")
    answer = await admin.post("/users", **fields)  # type: ignore[arg-type]  # fields of a form
    assert answer.status_code == 422
    assert told in answer.text
    assert f'value="{fields["email"]}"' in answer.text
    assert len(await desk.service.users.list()) == 1


async def test_roles_change_at_once_and_a_stale_form_is_refused(desk: Desk, user: MakeUser) -> None:
    admin = await desk.signed_in(await user("admin@harbour.example", Role.ADMIN))
    jon = await user("jon@harbour.example", Role.WRITER)
    his = await desk.signed_in(jon)
    await admin.get(f"/users/{jon.id}")
    revision = _revision(admin)
    assert (await admin.post(f"/users/{jon.id}", act="roles", revision=revision, roles=["admin"])).url.path == "/users"
    assert (await his.get("/users")).status_code == 200
    await admin.get(f"/users/{jon.id}")
    stale = await admin.post(f"/users/{jon.id}", act="roles", revision=revision, roles=["writer"])
    assert stale.status_code == 409
    assert "changed at the same time" in stale.text
    await admin.post(f"/users/{jon.id}", act="disable", revision=_revision(admin))
    assert (await his.get("/account")).url.path == "/sign-in"


async def test_the_last_admin_stays(desk: Desk, user: MakeUser) -> None:
    ida = await user("admin@harbour.example", Role.ADMIN)
    await user("jon@harbour.example", Role.WRITER)
    admin = await desk.signed_in(ida)
    await admin.get(f"/users/{ida.id}")
    for fields in ({"act": "disable"}, {"act": "roles", "roles": "writer"}):
        answer = await admin.post(f"/users/{ida.id}", revision=_revision(admin), **fields)  # type: ignore[arg-type]  # fields of a form
        assert answer.status_code == 409
        assert "would have no admin" in answer.text


async def test_managing_users_needs_a_recent_proof_of_identity(desk: Desk, user: MakeUser) -> None:
    ida, jon = await user("admin@harbour.example", Role.ADMIN), await user("jon@harbour.example", Role.WRITER)
    admin = await desk.signed_in(ida)
    await admin.get(f"/users/{jon.id}")
    await age_sessions(desk, ida)
    asked = await admin.post(f"/users/{jon.id}", act="disable", revision=_revision(admin))
    assert asked.url.path == "/account/prove"
    found = await desk.service.users.find(jon.id)
    assert found is not None
    assert found.disabled_at is None
    asked = await admin.get(f"/users/{jon.id}?account=Harbour+Post")
    assert asked.url.path == "/account/prove"
    assert (await admin.post(str(asked.url.raw_path, "ascii"), password="wrong")).status_code == 403
    proven = await admin.post(str(asked.url.raw_path, "ascii"), password=PASSWORD)
    assert proven.url.path == f"/users/{jon.id}"


async def test_an_admin_manages_the_own_accounts_alone(desk: Desk, user: MakeUser) -> None:
    await create_account(desk.ingest.redis, desk.ingest.keys, "Tide Post")
    admin = await desk.signed_in(await user("admin@harbour.example", Role.ADMIN))
    tide = await user("tide@tide.example", Role.ADMIN, account="Tide Post")
    both = await user("both@harbour.example", Role.WRITER)
    memberships = {"Harbour Post": frozenset({Role.WRITER}), "Tide Post": frozenset({Role.ADMIN})}
    await desk.service.change(both, memberships=memberships, by=COMMAND_LINE)
    for path in ("/users?account=Tide+Post", f"/users/{tide.id}?account=Tide+Post"):
        assert (await admin.get(path)).status_code == 403
    for account in ("", "?account=Harbour+Post"):
        assert (await admin.get(f"/users/{tide.id}{account}")).status_code == 404
    page = await admin.get(f"/users/{both.id}")
    assert "accounts that you do not manage" in page.text
    for act in ("link", "disable"):
        answer = await admin.post(f"/users/{both.id}", act=act, revision=_revision(admin))
        assert answer.status_code == 403
        await admin.get(f"/users/{both.id}")
    await admin.post(f"/users/{both.id}", act="roles", revision=_revision(admin), roles=["editor"])
    found = await desk.service.users.find(both.id)
    assert found is not None
    assert found.memberships == memberships | {"Harbour Post": frozenset({Role.EDITOR})}


async def test_the_audit_log_names_the_user(desk: Desk, user: MakeUser) -> None:
    ida = await user("admin@harbour.example", Role.ADMIN)
    admin = await desk.signed_in(ida)
    await admin.get("/users")
    await admin.post("/users", name="Jon Vale", email="jon@harbour.example", roles=["writer"])
    page = await read_page(desk.ingest.redis, desk.ingest.keys, limit=2)
    assert [(entry.act, entry.actor.type, entry.actor.user_id) for entry in page.entries] == [
        ("user.linked", "user", ida.id),
        ("user.created", "user", ida.id),
    ]
    assert page.entries[0].actor.account == "Harbour Post"


def _revision(browser: Browser) -> str:
    return browser.page.partition('name="revision" value="')[2].partition('"')[0]


async def test_roles_in_a_disabled_account_permit_nothing_and_the_page_says_why(desk: Desk, user: MakeUser) -> None:
    admin = await desk.signed_in(await user("admin@harbour.example", Role.ADMIN))
    await admin.get("/users")
    await disable_account(desk.ingest.redis, desk.ingest.keys, "Harbour Post")
    refused = await admin.get("/users")
    assert refused.status_code == 403
    assert "The account Harbour Post is disabled" in refused.text
    added = await admin.post("/users", name="Jon", email="jon@harbour.example", roles=["writer"])
    assert added.status_code == 403
    own = await admin.get("/account")
    assert own.status_code == 200
    assert 'href="/users"' not in own.text
    await enable_account(desk.ingest.redis, desk.ingest.keys, "Harbour Post")
    assert (await admin.get("/users")).status_code == 200
