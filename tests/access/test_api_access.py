"""Every route of the API with every kind of key: what the table declares, and nothing of another account."""

from newswire.auth.accounts import disable_account
from newswire.auth.api_keys import create_key, revoke_key
from newswire.auth.credentials import Scope
from tests.access.conftest import MARK, OTHER, OWN, Installation, Route, asked
from tests.access.table import ApiRow, Reach, api_row


def declared(installation: Installation) -> list[tuple[Route, ApiRow]]:
    found = [(route, api_row(str(route))) for route in installation.routes if route.is_api]
    assert [str(route) for route, row in found if row is None] == [], "routes without a row in the table"
    return [(route, row) for route, row in found if row is not None]


async def test_keys_are_admitted_as_the_table_declares(installation: Installation) -> None:
    gone = await create_key(installation.redis, installation.keys, OWN, set(Scope))
    await revoke_key(installation.redis, installation.keys, gone.id)
    closed = await installation.key("Closed House", *Scope)
    await disable_account(installation.redis, installation.keys, "Closed House")
    strangers = {
        "no key": {},
        "no valid key": {"Authorization": "Bearer nw_0000000000000000_" + "a" * 32},
        "a revoked key": {"Authorization": f"Bearer {gone.token}"},
        "a key of a disabled account": closed,
    }
    holders = {scope: await installation.key(OWN, scope) for scope in Scope}
    wrong = []

    async def check(route: Route, row: ApiRow) -> None:
        path = installation.path(route)
        path += "?no-such-parameter=1"  # it keeps admitted requests from doing anything, and the key is checked first
        for name, headers in strangers.items():
            refused = row.scopes is not None or (bool(headers) and route.path != "/hub")
            status = (await asked(installation.http, route, path, headers)).status_code
            if (status == 401) != refused:
                wrong.append(f"{route} with {name}: {status}")
        for scope, headers in holders.items():
            expected = row.scopes is None or scope in row.scopes
            status = (await asked(installation.http, route, path, headers)).status_code
            if (status not in (401, 403)) != expected:
                wrong.append(f"{route} with scope {scope}: {status}")

    for route, row in declared(installation):
        await check(route, row)
    assert wrong == []


async def test_nothing_of_an_account_is_read_or_changed_with_keys_of_another(installation: Installation) -> None:
    keys = {scope: await installation.key(OTHER, scope) for scope in Scope}
    before = await installation.records()
    wrong = []
    for route, row in declared(installation):
        if row.reach is Reach.ALL or row.scopes is None:
            continue
        for scope in row.scopes:
            answer = await asked(installation.http, route, installation.path(route), keys[scope])
            if MARK in answer.text or ("{" in route.path and answer.status_code < 400):
                wrong.append(f"{route}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []
    after = await installation.records()
    assert {name for name, value in before.items() if after.get(name) != value} == set()
