"""The owner's API of newsletters."""

from typing import Any

import pytest

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from tests.notify.newsletters.conftest import DRAFT, SITE, House


async def test_an_owner_creates_reads_changes_and_deletes_a_newsletter(house: House) -> None:
    made = await house.http.post("/v1/newsletters", json=DRAFT, headers=house.key)
    assert made.status_code == 201
    view = made.json()
    path = f"/v1/newsletters/{view['id']}"
    assert made.headers["Location"] == path
    assert view["url"] == f"{SITE}/newsletters/ferries"
    assert (view["cadences"], view["status"], view["subscribers"]) == (["instant", "daily", "weekly"], "active", {})
    read = await house.http.get(path, headers=house.key)
    assert read.json() == view
    tag = read.headers["ETag"]
    patched = await house.http.patch(
        path, json={"name": "Harbour News", "brand": {"colour": "#003366"}}, headers=house.key | {"If-Match": tag}
    )
    assert (patched.status_code, patched.json()["name"]) == (200, "Harbour News")
    stale = await house.http.patch(path, json={"name": "X"}, headers=house.key | {"If-Match": tag})
    assert stale.status_code == 412
    replaced = await house.http.put(path, json=DRAFT, headers=house.key)
    assert replaced.json() == view
    newsletter = await house.parts.newsletters.find(view["id"])
    assert newsletter is not None
    await house.reader(newsletter, "reader@example.org")
    listed = (await house.http.get("/v1/newsletters", headers=house.key)).json()["newsletters"]
    assert [each["subscribers"] for each in listed] == [{"active": 1}]
    assert (await house.http.delete(path, headers=house.key)).status_code == 204
    assert (await house.http.get(path, headers=house.key)).status_code == 404
    taken = await house.http.post("/v1/newsletters", json=DRAFT, headers=house.key)
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:newswire:problem:slug-taken")


async def test_another_account_sees_nothing(house: House) -> None:
    newsletter = await house.create()
    created = await create_key(house.redis, house.keys, "Stranger", {Scope.SUBSCRIBE})
    stranger = {"Authorization": f"Bearer {created.token}"}
    path = f"/v1/newsletters/{newsletter.id}"
    assert (await house.http.get("/v1/newsletters", headers=stranger)).json() == {"newsletters": []}
    for method, address, body in (
        ("GET", path, None),
        ("PUT", path, DRAFT),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("GET", path + "/issues", None),
    ):
        assert (await house.http.request(method, address, headers=stranger, json=body)).status_code == 404
    publisher = await create_key(house.redis, house.keys, "Harbour Post", {Scope.PUBLISH})
    refused = await house.http.get("/v1/newsletters", headers={"Authorization": f"Bearer {publisher.token}"})
    assert refused.status_code == 403
    assert (await house.http.get("/v1/newsletters")).status_code == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"slug": "a/b"}, "slug"),
        ({"slug": "-a"}, "slug"),
        ({"name": ""}, "name"),
        ({"name": "x\r\nBcc: y@z.example"}, None),
        ({"name": "x" * 101}, "name"),
        ({"description": ""}, "description"),
        ({"sender": {"name": "X", "address": "nobody"}}, "sender.address"),
        ({"sender": {"name": "X", "address": "a@b.example\r\nBcc: c@d.example"}}, "sender.address"),
        ({"sender": {"name": "X"}}, "sender.address"),
        ({"filter": {"query": "fer*"}}, "filter.query"),
        ({"filter": {"colour": ["red"]}}, "filter.colour"),
        ({"topics": [{"label": "A", "filter": {}}, {"label": "a", "filter": {}}]}, None),
        ({"topics": [{"label": "A", "filter": {}}] * 21}, "topics"),
        ({"cadences": []}, "cadences"),
        ({"cadences": ["hourly"]}, "cadences.0"),
        ({"language": "english"}, "language"),
        ({"time_zone": "Berlin"}, "time_zone"),
        ({"brand": {"colour": "red"}}, "brand.colour"),
        ({"brand": {"colour": "#000;} body{display:none"}}, "brand.colour"),
        ({"brand": {"logo_url": "http://news.example/logo.png"}}, "brand.logo_url"),
        ({"brand": {"logo_url": "javascript:alert(1)"}}, "brand.logo_url"),
        ({"template": "{{ 7 * 7 }}"}, "template"),
    ],
)
async def test_what_cannot_be_sent_is_refused_when_it_is_saved(
    house: House, change: dict[str, Any], field: str | None
) -> None:
    answer = await house.http.post("/v1/newsletters", json=DRAFT | change, headers=house.key)
    if field is None and answer.status_code == 201:  # a line break is a space
        assert "\n" not in answer.json()["name"]
        return
    assert answer.status_code == 422
    if field is not None:
        assert field in [error["field"] for error in answer.json()["errors"]]
    assert all(error["fix"] for error in answer.json()["errors"])
    assert (await house.http.get("/v1/newsletters", headers=house.key)).json() == {"newsletters": []}


async def test_a_slug_stays(house: House) -> None:
    newsletter = await house.create()
    answer = await house.http.patch(f"/v1/newsletters/{newsletter.id}", json={"slug": "other"}, headers=house.key)
    assert answer.json()["errors"][0]["field"] == "slug"


async def test_a_paused_newsletter_takes_no_sign_ups_and_sends_nothing(house: House) -> None:
    newsletter = await house.create()
    await house.reader(newsletter, "reader@example.org")
    await house.desk.publish("a1")
    path = f"/v1/newsletters/{newsletter.id}"
    assert (await house.http.patch(path, json={"status": "paused"}, headers=house.key)).status_code == 200
    assert await house.send() == []
    assert "takes no sign-ups" in (await house.http.get("/newsletters/ferries")).text
    await house.desk.publish("a2")
    assert (await house.http.patch(path, json={"status": "active"}, headers=house.key)).status_code == 200
    house.clock.now += 301
    assert len(await house.send()) == 1


async def test_outcomes_are_listed_by_issue(house: House) -> None:
    newsletter = await house.create()
    for name in ("a", "b"):
        await house.reader(newsletter, f"{name}@example.org")
    house.mail.recipient_replies["b@example.org"] = ["550 5.1.1 no such user"]
    await house.desk.publish("a1")
    await house.send()
    [issue] = (await house.http.get(f"/v1/newsletters/{newsletter.id}/issues", headers=house.key)).json()["issues"]
    assert issue["kind"] == "alert"
    assert issue["article"] == "a1"
    assert {name: issue[name] for name in ("planned", "accepted", "bounced", "failed")} == {
        "planned": 2,
        "accepted": 1,
        "bounced": 1,
        "failed": 0,
    }
