"""``/v1/users``: for keys with the scope ``admin``."""

from typing import Any

import pytest

from newswire.auth.credentials import Scope
from tests.ingest.users.conftest import PASSWORD, Desk

DRAFT = {"email": "ida@harbour.example", "name": "Ida Roth", "memberships": {"Harbour Post": ["editor"]}}


async def test_a_user_is_created_read_changed_disabled_and_deleted(desk: Desk) -> None:
    http, admin = desk.ingest.http, await desk.ingest.key("Office", Scope.ADMIN)
    created = await http.post("/v1/users", json=DRAFT, headers=admin)
    assert created.status_code == 201, created.text
    path = created.headers["location"]
    assert (await http.get(path, headers=admin)).json() == created.json()
    assert (await http.get("/v1/users", headers=admin)).json()["users"] == [created.json()]
    assert (await http.get("/v1/users", params={"account": "Office"}, headers=admin)).json()["users"] == []
    patch = {"name": "Ida R.", "memberships": {"Harbour Post": ["admin", "writer"]}, "disabled": True}
    changed = (await http.patch(path, json=patch, headers=admin)).json()
    assert (changed["name"], changed["memberships"]) == ("Ida R.", {"Harbour Post": ["admin", "writer"]})
    assert changed["disabled_at"] is not None
    assert (await http.patch(path, json={"disabled": False}, headers=admin)).json()["disabled_at"] is None
    assert (await http.delete(path, headers=admin)).status_code == 204
    assert (await http.get(path, headers=admin)).status_code == 404


async def test_a_link_leads_to_the_sign_in(desk: Desk) -> None:
    http, admin = desk.ingest.http, await desk.ingest.key("Office", Scope.ADMIN)
    path = (await http.post("/v1/users", json=DRAFT, headers=admin)).headers["location"]
    link = (await http.post(f"{path}/links", json={"purpose": "invitation"}, headers=admin)).json()
    assert link["url"].startswith("https://news.example/invitation/")
    browser = desk.browser()
    assert (await browser.post(link["url"].removeprefix("https://news.example"), password=PASSWORD)).url.path == "/desk"
    assert (await http.post(f"{path}/sign-out", headers=admin)).status_code == 204
    assert (await browser.get("/account")).url.path == "/sign-in"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "ida"}, "email"),
        ({"name": " "}, "name"),
        ({"memberships": {}}, "memberships"),
        ({"memberships": {"Nowhere": ["editor"]}}, "memberships"),
        ({"memberships": {"Harbour Post": []}}, "memberships.Harbour Post"),
        ({"memberships": {"Harbour Post": ["owner"]}}, "memberships.Harbour Post.0"),
        ({"password": PASSWORD}, "password"),
    ],
)
async def test_an_invalid_user_names_the_field(desk: Desk, change: dict[str, Any], field: str) -> None:
    admin = await desk.ingest.key("Office", Scope.ADMIN)
    answer = await desk.ingest.http.post("/v1/users", json=DRAFT | change, headers=admin)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


async def test_an_address_that_is_taken_is_a_conflict(desk: Desk) -> None:
    admin = await desk.ingest.key("Office", Scope.ADMIN)
    await desk.ingest.http.post("/v1/users", json=DRAFT, headers=admin)
    again = await desk.ingest.http.post("/v1/users", json=DRAFT | {"email": "IDA@harbour.example"}, headers=admin)
    assert (again.status_code, again.json()["type"]) == (409, "urn:newswire:problem:email-taken")


@pytest.mark.parametrize("scope", [Scope.PUBLISH, Scope.SUBSCRIBE, Scope.READ])
async def test_other_keys_are_refused(desk: Desk, scope: Scope) -> None:
    key = await desk.ingest.key("Harbour Post", scope)
    assert (await desk.ingest.http.get("/v1/users", headers=key)).status_code == 403
    assert (await desk.ingest.http.post("/v1/users", json=DRAFT, headers=key)).status_code == 403
    assert (await desk.ingest.http.get("/v1/users")).status_code == 401
