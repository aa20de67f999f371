"""Accounts and keys over HTTP: a token is shown once; revocation, expiry and disabling take effect immediately."""

import asyncio
import time
from typing import Any

import httpx
import pytest

from newswire.auth.credentials import Scope, key_record
from tests.ingest.conftest import ARTICLE, Ingest


@pytest.fixture
async def admin(ingest: Ingest) -> dict[str, str]:
    return await ingest.key("Office", Scope.ADMIN)


async def make(ingest: Ingest, admin: dict[str, str], **changes: Any) -> dict[str, Any]:
    sent = {"account": "Harbour Gazette", "scopes": ["publish"], **changes}
    answer = await ingest.http.post("/v1/keys", json=sent, headers=admin)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/keys/{made['id']}"
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['token']}"}


async def publish(ingest: Ingest, made: dict[str, Any]) -> int:
    return (await ingest.http.post("/v1/articles", json=ARTICLE, headers=bearer(made))).status_code


async def end(ingest: Ingest, made: dict[str, Any]) -> None:
    """Make a key expire."""
    await ingest.redis.hset(key_record(ingest.keys, made["id"]), "expires", int(time.time() * 1000) - 1)


async def test_a_created_key_can_publish_and_its_token_is_shown_once(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin, label="CMS", expires_at="2099-01-01T00:00:00+01:00")
    assert await publish(ingest, made) == 201
    shown = (await ingest.http.get(f"/v1/keys/{made['id']}", headers=admin)).json()
    assert {
        "account": "Harbour Gazette",
        "scopes": ["publish"],
        "label": "CMS",
        "state": "valid",
        "expires_at": "2098-12-31T23:00:00Z",
        "revoked_at": None,
    }.items() <= shown.items()
    assert shown["created_by"] in admin["Authorization"]
    secret = made["token"].rpartition("_")[2]
    listed = await ingest.http.get("/v1/keys", headers=admin)
    assert secret not in listed.text
    assert secret.encode() not in await ingest.everything()
    assert made["id"] in [key["id"] for key in listed.json()["keys"]]


async def test_lists_are_paginated(ingest: Ingest, admin: dict[str, str]) -> None:
    made = [(await make(ingest, admin, account=f"House {n}"))["id"] for n in range(5)]
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await ingest.http.get("/v1/keys", params=params, headers=admin)).json()
        pages.append([key["id"] for key in page["keys"]])
        cursor = page["next_cursor"]
    assert [len(page) for page in pages] == [2, 2, 2]
    assert [key for page in pages for key in page][1:] == sorted(made)  # preceded by the admin's own key
    of_one = (await ingest.http.get("/v1/keys", params={"account": "House 3"}, headers=admin)).json()
    assert [key["id"] for key in of_one["keys"]] == [made[3]]
    accounts = (await ingest.http.get("/v1/accounts", params={"limit": "4"}, headers=admin)).json()
    assert [account["name"] for account in accounts["accounts"]] == [f"House {n}" for n in range(4)]
    rest = await ingest.http.get("/v1/accounts", params={"cursor": accounts["next_cursor"]}, headers=admin)
    assert [account["name"] for account in rest.json()["accounts"]] == ["House 4", "Office"]
    assert rest.json()["next_cursor"] is None


async def test_a_rotated_key_is_valid_until_the_overlap_ends(ingest: Ingest, admin: dict[str, str]) -> None:
    old = await make(ingest, admin, label="CMS")
    assert await publish(ingest, old) == 201
    answer = await ingest.http.post(f"/v1/keys/{old['id']}/rotate", json={"overlap": 3600}, headers=admin)
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert (new["account"], new["scopes"], new["label"]) == ("Harbour Gazette", ["publish"], "CMS")
    assert new["replaces"] == old["id"]
    assert [await publish(ingest, key) for key in (old, new)] == [201, 201]
    shown = (await ingest.http.get(f"/v1/keys/{old['id']}", headers=admin)).json()
    assert shown["replaced_by"] == new["id"]
    assert shown["expires_at"] is not None

    again = await ingest.http.post(f"/v1/keys/{old['id']}/rotate", headers=admin)
    assert again.status_code == 409
    assert new["id"] in again.json()["detail"]
    await end(ingest, old)
    assert [await publish(ingest, key) for key in (old, new)] == [401, 201]


async def test_without_overlap_the_old_key_is_revoked_immediately(ingest: Ingest, admin: dict[str, str]) -> None:
    old = await make(ingest, admin)
    assert await publish(ingest, old) == 201  # from now on the process has cached it
    await ingest.http.post(f"/v1/keys/{old['id']}/rotate", json={"overlap": 0}, headers=admin)
    assert await publish(ingest, old) == 401
    assert (await ingest.http.get("/v1/articles/nothing", headers=bearer(old))).status_code == 401


async def test_an_expired_key_is_rejected_even_if_cached(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin, expires_at="2099-01-01T00:00:00Z")
    answer = await ingest.http.post("/v1/articles", json=ARTICLE, headers=bearer(made))
    await end(ingest, made)
    assert await publish(ingest, made) == 401
    gone = await ingest.http.delete(answer.headers["location"], headers=bearer(made))
    assert gone.status_code == 401
    assert (await ingest.http.get(f"/v1/keys/{made['id']}", headers=admin)).json()["state"] == "expired"
    assert len(await ingest.events()) == 1


async def test_a_revoked_key_is_rejected(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    assert await publish(ingest, made) == 201
    revoked = await ingest.http.delete(f"/v1/keys/{made['id']}", headers=admin)
    assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")
    assert await publish(ingest, made) == 401
    rotated = await ingest.http.post(f"/v1/keys/{made['id']}/rotate", headers=admin)
    assert rotated.status_code == 409


async def test_a_disabled_account_is_rejected_until_it_is_enabled(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    revoked = await make(ingest, admin)
    await ingest.http.delete(f"/v1/keys/{revoked['id']}", headers=admin)
    assert await publish(ingest, made) == 201
    path = "/v1/accounts/Harbour Gazette"
    disabled = await ingest.http.patch(path, json={"disabled": True}, headers=admin)
    assert disabled.json()["disabled_at"] is not None
    assert await publish(ingest, made) == 401
    assert (await ingest.http.get(f"/v1/keys/{made['id']}", headers=admin)).json()["state"] == "disabled"
    refused = await ingest.http.post("/v1/keys", json={"account": "Harbour Gazette", "scopes": ["read"]}, headers=admin)
    assert refused.status_code == 409
    enabled = await ingest.http.patch(path, json={"disabled": False}, headers=admin)
    assert enabled.json()["disabled_at"] is None
    assert [await publish(ingest, key) for key in (made, revoked)] == [201, 401]


async def test_an_account_can_have_its_own_limits(ingest: Ingest, admin: dict[str, str]) -> None:
    sent = {"name": "Ports/North", "publish_rate": 2.5, "daily_quota": 1_000_000}
    made = await ingest.http.post("/v1/accounts", json=sent, headers=admin)
    assert made.status_code == 201, made.text
    assert sent.items() <= made.json().items()
    assert made.json()["entitlement"] is None
    assert (await ingest.http.post("/v1/accounts", json=sent, headers=admin)).status_code == 409
    path = "/v1/accounts/Ports%2FNorth"
    changed = await ingest.http.patch(path, json={"publish_rate": None}, headers=admin)
    assert (changed.json()["publish_rate"], changed.json()["daily_quota"]) == (None, 1_000_000)
    assert (await ingest.http.get(path, headers=admin)).json() == changed.json()


async def test_an_account_can_have_an_entitlement(ingest: Ingest, admin: dict[str, str]) -> None:
    narrow = {"topics": ["Ferries"], "query": "night"}
    sent = {"name": "Reading Room", "entitlement": narrow}
    made = await ingest.http.post("/v1/accounts", json=sent, headers=admin)
    assert (made.status_code, made.json()["entitlement"]) == (201, narrow), made.text
    path = "/v1/accounts/Reading Room"
    limited = await ingest.http.patch(path, json={"daily_quota": 7}, headers=admin)
    assert (limited.json()["daily_quota"], limited.json()["entitlement"]) == (7, narrow)
    wider = await ingest.http.patch(path, json={"entitlement": {"topics": ["Ferries"]}}, headers=admin)
    assert wider.json()["entitlement"] == {"topics": ["Ferries"]}
    listed = (await ingest.http.get("/v1/accounts", headers=admin)).json()["accounts"]
    assert {account["name"]: account["entitlement"] for account in listed} == {
        "Office": None,
        "Reading Room": {"topics": ["Ferries"]},
    }
    cleared = await ingest.http.patch(path, json={"entitlement": None}, headers=admin)
    assert (cleared.json()["entitlement"], cleared.json()["daily_quota"]) == (None, 7)
    assert (await ingest.http.get(path, headers=admin)).json() == cleared.json()


async def test_the_last_use_is_recorded_in_the_background(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    assert made["last_used_at"] is None
    stopping = asyncio.Event()
    noting = asyncio.create_task(ingest.app.state.key_usage.run(stopping))
    await publish(ingest, made)
    async with asyncio.timeout(60):
        while (await ingest.http.get(f"/v1/keys/{made['id']}", headers=admin)).json()["last_used_at"] is None:
            await asyncio.sleep(0.01)
    noted = await ingest.redis.hget(key_record(ingest.keys, made["id"]), "last_used")
    await publish(ingest, made)
    stopping.set()
    await noting
    assert await ingest.redis.hget(key_record(ingest.keys, made["id"]), "last_used") == noted


async def test_a_use_recorded_during_shutdown_is_written(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    await publish(ingest, made)
    stopping = asyncio.Event()
    stopping.set()
    await ingest.app.state.key_usage.run(stopping)
    assert await ingest.redis.hget(key_record(ingest.keys, made["id"]), "last_used") is not None


@pytest.mark.parametrize("scope", [Scope.PUBLISH, Scope.SUBSCRIBE, Scope.READ])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/keys"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/keys/a"),
        ("POST", "/v1/keys/a/rotate"),
        ("DELETE", "/v1/keys/a"),
        ("POST", "/v1/accounts"),
        ("GET", "/v1/accounts"),
        ("GET", "/v1/accounts/a"),
        ("PATCH", "/v1/accounts/a"),
    ],
)
async def test_only_operators_administer(ingest: Ingest, scope: Scope, method: str, path: str) -> None:
    assert (await ingest.http.request(method, path)).status_code == 401
    answer = await ingest.http.request(method, path, headers=await ingest.key("Harbour Gazette", scope))
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "field"),
    [
        ("POST", "/v1/keys", {"account": "-a", "scopes": ["read"]}, 422, "account"),
        ("POST", "/v1/keys", {"account": "a", "scopes": []}, 422, "scopes"),
        ("POST", "/v1/keys", {"account": "a", "scopes": ["root"]}, 422, "scopes.0"),
        ("POST", "/v1/keys", {"account": "a", "scopes": ["read"], "token": "x"}, 422, "token"),
        (
            "POST",
            "/v1/keys",
            {"account": "a", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"},
            422,
            "expires_at",
        ),
        ("POST", "/v1/keys", {"account": "a", "scopes": ["read"], "expires_at": "4102444800"}, 422, "expires_at"),
        ("POST", "/v1/keys/nothing/rotate", {"overlap": -1}, 422, "overlap"),
        ("POST", "/v1/keys/nothing/rotate", {"overlap": 2_592_001}, 422, "overlap"),
        ("POST", "/v1/keys/nothing/rotate", {}, 404, None),
        ("DELETE", "/v1/keys/nothing", None, 404, None),
        ("GET", "/v1/keys?limit=0", None, 422, "limit"),
        ("GET", "/v1/keys?limit=1&limit=2", None, 422, "limit"),
        ("GET", "/v1/accounts?page=2", None, 422, "page"),
        ("GET", "/v1/accounts/nobody", None, 404, None),
        ("PATCH", "/v1/accounts/nobody", {"disabled": True}, 404, None),
        ("PATCH", "/v1/accounts/nobody", {}, 422, "$"),
        ("PATCH", "/v1/accounts/nobody", {"daily_quota": 0}, 422, "daily_quota"),
        ("PATCH", "/v1/accounts/nobody", {"entitlement": {"places": ["Here"]}}, 422, "entitlement.places"),
        ("POST", "/v1/accounts", {"name": "a", "entitlement": {"query": "a*"}}, 422, "entitlement.query"),
        (
            "POST",
            "/v1/accounts",
            {"name": "a", "entitlement": {"metadata": {"desk": "x" * 65_536}}},
            422,
            "entitlement",
        ),
        ("PATCH", "/v1/accounts/nobody", {"entitlement": {"metadata": {"desk": "x" * 65_536}}}, 422, "entitlement"),
        ("POST", "/v1/accounts", {"name": "a", "publish_rate": 0}, 422, "publish_rate"),
        ("POST", "/v1/accounts", {"name": "a\x00"}, 422, "name"),
    ],
)
async def test_errors_name_the_field(
    ingest: Ingest, admin: dict[str, str], method: str, path: str, sent: Any, status: int, field: str | None
) -> None:
    answer: httpx.Response = await ingest.http.request(method, path, json=sent, headers=admin)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if field:
        assert answer.json()["errors"][0]["field"] == field


async def test_the_audit_log_is_for_admins_and_names_actors(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    await ingest.http.patch("/v1/accounts/Harbour Gazette", json={"disabled": True}, headers=admin)
    refused = await ingest.http.patch("/v1/accounts/Nobody", json={"disabled": True}, headers=admin)
    assert refused.status_code == 404
    page = (await ingest.http.get("/v1/audit-log", params={"limit": 2}, headers=admin)).json()
    assert [(entry["act"], entry["target"]["id"]) for entry in page["entries"]] == [
        ("account.disabled", "Harbour Gazette"),
        ("key.created", made["id"]),
    ]
    actor = page["entries"][0]["actor"]
    assert (actor["type"], actor["account"]) == ("key", "Office")
    assert actor["key_id"] in admin["Authorization"]
    rest = await ingest.http.get("/v1/audit-log", params={"cursor": page["next_cursor"]}, headers=admin)
    assert [entry["act"] for entry in rest.json()["entries"]] == ["account.created", "key.created", "account.created"]
    assert made["token"].rpartition("_")[2] not in rest.text
    for cursor, act in ((page["entries"][-1]["id"], None), ("x", None), (page["next_cursor"], "key.")):
        params = {"cursor": cursor} | ({"act": act} if act else {})
        forged = await ingest.http.get("/v1/audit-log", params=params, headers=admin)
        assert (forged.status_code, forged.json()["errors"][0]["field"]) == (400, "cursor")
    for params in ({"act": "nothing"}, {"since": "yesterday"}, {"other": "1"}):
        assert (await ingest.http.get("/v1/audit-log", params=params, headers=admin)).status_code == 422
    assert (await ingest.http.get("/v1/audit-log")).status_code == 401
    reader = await ingest.key("Readers", Scope.READ)
    assert (await ingest.http.get("/v1/audit-log", headers=reader)).status_code == 403
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await ingest.http.request(method, "/v1/audit-log", headers=admin)).status_code == 405


async def test_numbers_and_booleans_are_not_converted_from_other_types(ingest: Ingest, admin: dict[str, str]) -> None:
    made = await make(ingest, admin)
    account, rotate = "/v1/accounts/Harbour Gazette", f"/v1/keys/{made['id']}/rotate"
    for method, path, member, value in (
        ("PATCH", account, "disabled", 0),
        ("PATCH", account, "disabled", "yes"),
        ("PATCH", account, "daily_quota", True),
        ("PATCH", account, "daily_quota", "10"),
        ("PATCH", account, "publish_rate", "1.5"),
        ("POST", rotate, "overlap", False),
        ("POST", rotate, "overlap", "60"),
    ):
        refused = await ingest.http.request(method, path, json={member: value}, headers=admin)
        assert refused.status_code == 422, (member, value)
        assert [error["field"] for error in refused.json()["errors"]] == [member]
    assert await publish(ingest, made) == 201


@pytest.mark.parametrize(
    "name", ["HARBOUR GAZETTE", "Harbour Gazétte", "Ｈarbour Gazette", "harbour gazette", "Harbour Gazette\ufe0f"]
)
async def test_confusable_account_names_are_rejected(ingest: Ingest, admin: dict[str, str], name: str) -> None:
    """Filters, feeds and entitlements identify publishers by their folded names."""
    await ingest.key("Harbour Gazette", Scope.PUBLISH)
    await ingest.redis.delete(ingest.keys.key("account-forms"))  # as before folded names were indexed
    for path, sent in (("/v1/accounts", {"name": name}), ("/v1/keys", {"account": name, "scopes": ["publish"]})):
        answer = await ingest.http.post(path, json=sent, headers=admin)
        assert answer.status_code in (409, 422), answer.text
    assert await ingest.redis.zrange(ingest.keys.key("accounts"), 0, -1) == [b"Harbour Gazette", b"Office"]
    again = await ingest.http.post("/v1/keys", json={"account": "Harbour Gazette", "scopes": ["read"]}, headers=admin)
    assert again.status_code == 201


@pytest.mark.parametrize("name", ["a\x1b", "a\u202eb", "a\u200bb", "\u00b4", "\u3164", "e" + "\u0301" * 9])
async def test_invisible_account_names_are_rejected(ingest: Ingest, admin: dict[str, str], name: str) -> None:
    answer = await ingest.http.post("/v1/accounts", json={"name": name}, headers=admin)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
