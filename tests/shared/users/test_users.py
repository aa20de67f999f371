"""Users: creation, roles, the last admin, concurrent changes."""

import pytest

from newswire.auth.accounts import create_account
from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.users.models import EmailTakenError, InvalidUserError, LastAdminError, UserChangedError
from newswire.users.one_time_links import LinkPurpose
from newswire.users.roles import Permission, Role
from tests.shared.users.conftest import BROWSER, PASSWORD, House


async def test_a_user_is_found_by_id_by_address_and_in_its_account(house: House) -> None:
    user = await house.user("Ida@Harbour.example")
    assert await house.service.users.find(user.id) == user
    assert await house.service.users.find_by_email("ida@HARBOUR.example") == user
    assert await house.service.users.list() == await house.service.users.list(account="Harbour Post") == [user]
    assert await house.service.users.list(account="Tide Post") == []
    assert user.has_password
    assert user.last_sign_in_at is None


@pytest.mark.parametrize("email", ["ida@harbour.example", "IDA@harbour.example", " ida@HARBOUR.example "])
async def test_an_address_belongs_to_one_user(house: House, email: str) -> None:
    await house.user("ida@harbour.example")
    with pytest.raises(EmailTakenError):
        await house.user(email)
    assert len(await house.service.users.list()) == 1


@pytest.mark.parametrize(
    ("email", "name", "account", "roles", "field"),
    [
        ("ida", "Ida", "Harbour Post", [Role.WRITER], "email"),
        ("ida@harbour.example\nBcc: x@y.example", "Ida", "Harbour Post", [Role.WRITER], "email"),
        ("ida@harbour.example", "  ", "Harbour Post", [Role.WRITER], "name"),
        ("ida@harbour.example", "I" * 101, "Harbour Post", [Role.WRITER], "name"),
        ("ida@harbour.example", "Ida\u202eRoth", "Harbour Post", [Role.WRITER], "name"),
        ("ida@harbour.example", "Ida", "Nowhere Post", [Role.WRITER], "account"),
        ("ida@harbour.example", "Ida", "Harbour Post", [], "roles"),
    ],
)
async def test_an_invalid_user_is_rejected_with_the_field(
    house: House, email: str, name: str, account: str, roles: list[Role], field: str
) -> None:
    with pytest.raises(InvalidUserError) as caught:
        await house.service.create(email, name, {account: frozenset(roles)}, by=COMMAND_LINE)
    assert caught.value.field == field
    assert await house.service.users.list() == []
    assert await house.acts() == []


async def test_roles_permit_what_they_are_for_in_their_account_alone(house: House) -> None:
    await create_account(house.redis, house.keys, "Tide Post")
    writer = await house.user("writer@harbour.example", Role.WRITER)
    editor = await house.user("editor@harbour.example", Role.EDITOR)
    admin = await house.user("admin@harbour.example", Role.ADMIN)
    assert writer.permissions("Harbour Post") == {Permission.WRITE_DRAFTS}
    assert Permission.RETRACT in editor.permissions("Harbour Post")
    assert Permission.MANAGE_USERS not in editor.permissions("Harbour Post")
    assert admin.permissions("Harbour Post") == set(Permission)
    assert admin.permissions("Tide Post") == set()
    both = {"Harbour Post": frozenset({Role.WRITER}), "Tide Post": frozenset({Role.SUBSCRIBER, Role.EDITOR})}
    changed = await house.service.change(writer, memberships=both, by=COMMAND_LINE)
    assert changed.accounts_with(Permission.PUBLISH) == ["Tide Post"]
    assert [user.id for user in await house.service.users.list(account="Tide Post")] == [writer.id]
    back = await house.service.change(changed, memberships=writer.memberships, by=COMMAND_LINE)
    assert await house.service.users.list(account="Tide Post") == []
    await house.service.disable(back, by=COMMAND_LINE)
    disabled = await house.service.users.find(writer.id)
    assert disabled is not None
    assert disabled.permissions("Harbour Post") == set()


async def test_of_two_concurrent_changes_the_second_is_refused(house: House) -> None:
    user = await house.user()
    await house.service.change(user, name="Ida Rothe", by=COMMAND_LINE)
    with pytest.raises(UserChangedError):
        await house.service.change(user, name="Ida Rot", by=COMMAND_LINE)
    found = await house.service.users.find(user.id)
    assert found is not None
    assert found.name == "Ida Rothe"


async def test_a_changed_address_is_free_again(house: House) -> None:
    user = await house.user("ida@harbour.example")
    await house.service.change(user, email="ida.roth@harbour.example", by=COMMAND_LINE)
    assert await house.service.users.find_by_email("ida@harbour.example") is None
    other = await house.user("ida@harbour.example")
    with pytest.raises(EmailTakenError):
        await house.service.change(other, email="IDA.Roth@harbour.example", by=COMMAND_LINE)


async def test_an_account_with_users_keeps_an_admin(house: House) -> None:
    admin = await house.user("admin@harbour.example", Role.ADMIN)
    editor = await house.user("editor@harbour.example", Role.EDITOR)
    for attempt in (
        house.service.disable(admin, by=COMMAND_LINE),
        house.service.delete(admin, by=COMMAND_LINE),
        house.service.change(admin, memberships=editor.memberships, by=COMMAND_LINE),
    ):
        with pytest.raises(LastAdminError):
            await attempt
    await house.service.change(editor, memberships={"Harbour Post": frozenset({Role.ADMIN})}, by=COMMAND_LINE)
    await house.service.disable(admin, by=COMMAND_LINE)


async def test_a_deleted_user_leaves_nothing_but_audit_entries(house: House) -> None:
    user = await house.user()
    session = await house.service.start_session(user, BROWSER, method="password")
    link = await house.service.make_link(user, LinkPurpose.SIGN_IN, by=COMMAND_LINE)
    current = await house.service.users.find(user.id)
    assert current is not None
    await house.service.delete(current, by=COMMAND_LINE)
    assert await house.service.sessions.find(session.token) is None
    assert await house.service.users.list() == await house.service.users.list(account="Harbour Post") == []
    names = [name.decode() async for name in house.redis.scan_iter(f"{house.keys.namespace}:*")]
    assert not any(user.id in name or ":session:" in name for name in names)
    assert await house.service.linked_user(LinkPurpose.SIGN_IN, link, use=True) is None


async def test_every_act_is_recorded_without_secrets(house: House) -> None:
    user = await house.user()
    await house.service.sign_in(user.email, PASSWORD, BROWSER)
    token = await house.service.make_link(user, LinkPurpose.INVITATION, by=COMMAND_LINE)
    user = await house.service.change(user, name="Ida R.", by=COMMAND_LINE)
    await house.service.sign_out_everywhere(user, by=COMMAND_LINE)
    await house.service.disable(user, by=COMMAND_LINE)
    disabled = await house.service.users.find(user.id)
    assert disabled is not None
    await house.service.enable(disabled, by=COMMAND_LINE)
    assert await house.acts() == [
        "user.created",
        "user.password_set",
        "user.signed_in",
        "user.linked",
        "user.changed",
        "user.signed_out",
        "user.disabled",
        "user.enabled",
    ]
    page = await read_page(house.redis, house.keys, limit=100, act="user.signed_in")
    assert (page.entries[0].actor.user_id, page.entries[0].actor.address) == (user.id, "192.0.2.7")
    stored = b"".join(
        value for _, fields in await house.redis.xrange(house.keys.audit_log) for value in fields.values()
    )
    assert token.encode() not in stored
    assert PASSWORD.encode() not in stored
