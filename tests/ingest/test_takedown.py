"""An operator retracts any article, and it cannot be published again until it is released."""

import httpx
import pytest

from newswire.auth.accounts import entitle_account
from newswire.auth.credentials import Caller, Scope
from newswire.filters import Filter
from newswire.observability.audit import COMMAND_LINE
from newswire.observability.tracing import traceparent
from newswire_ingest.app import operator_actions
from newswire_ingest.articles.errors import ArticleNotFoundError
from newswire_ingest.articles.models import WriteCommand
from tests.ingest.conftest import ARTICLE, Ingest


async def test_an_operator_takes_down_any_article_and_its_publisher_cannot_publish_it_again(
    ingest: Ingest, publisher: dict[str, str]
) -> None:
    admin = await ingest.key("Office", Scope.ADMIN)
    entitled = Filter(query="nothing like it")
    await ingest.key("Readers", Scope.READ)
    await entitle_account(ingest.redis, ingest.keys, "Readers", entitled)
    made = await ingest.http.post("/v1/articles", json={**ARTICLE, "external_id": "gz-1"}, headers=publisher)
    article, location = made.json(), made.headers["location"]
    path = f"/v1/admin/articles/{article['id']}"

    async def take_down(headers: dict[str, str], **sent: str) -> httpx.Response:
        return await ingest.http.request("DELETE", path, json=sent, headers=headers)

    assert (await take_down(publisher, reason="no")).status_code == 403
    assert (await take_down(admin)).status_code == 422
    assert (await take_down(admin, reason="a court order")).status_code == 200
    seen = (await ingest.http.get(location, headers=publisher)).json()
    assert (seen["status"], seen["reason"], seen["retracted_by"]) == ("retracted", "a court order", "operator")
    assert "title" not in seen
    by_external_id = "/v1/articles/by-external-id/gz-1"
    for refused in (
        await ingest.http.put(location, json=ARTICLE, headers=publisher),
        await ingest.http.put(by_external_id, json=ARTICLE, headers=publisher),
    ):
        assert (refused.status_code, refused.json()["title"]) == (409, "Retracted by an operator")
    assert len(await ingest.events()) == 1
    assert (await ingest.http.post(f"{path}/release", headers=publisher)).status_code == 403
    assert (await ingest.http.post(f"{path}/release", headers=admin)).status_code == 204
    assert (await ingest.http.post(f"{path}/release", headers=admin)).status_code == 404
    assert (await ingest.http.put(location, json=ARTICLE, headers=publisher)).json()["version"] == 2
    log = (await ingest.http.get("/v1/audit-log", params={"act": "article."}, headers=admin)).json()["entries"]
    assert [(entry["act"], entry["target"]["id"]) for entry in log] == [
        ("article.released", article["id"]),
        ("article.retracted", article["id"]),
    ]
    assert log[1]["details"] == {"reason": "a court order"}


async def test_an_operator_can_take_down_a_retracted_article(ingest: Ingest, publisher: dict[str, str]) -> None:
    admin = await ingest.key("Office", Scope.ADMIN)
    made = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    location, path = made.headers["location"], f"/v1/admin/articles/{made.json()['id']}"
    assert (await ingest.http.delete(location, headers=publisher)).status_code == 200
    assert (await ingest.http.request("DELETE", path, json={"reason": "x"}, headers=admin)).status_code == 200
    assert (await ingest.http.put(location, json=ARTICLE, headers=publisher)).status_code == 409
    assert (await ingest.http.request("DELETE", f"{path}x", json={"reason": "x"}, headers=admin)).status_code == 404


async def test_the_command_line_takes_down_without_a_key(ingest: Ingest, publisher: dict[str, str]) -> None:
    made = await ingest.http.post("/v1/articles", json=ARTICLE, headers=publisher)
    actions = operator_actions(ingest.redis, ingest.settings)
    command = WriteCommand(Caller("", "", frozenset({Scope.ADMIN})), "", traceparent(None), actor=COMMAND_LINE)
    article = made.json()["id"]
    await actions.retract(article, "a court order", command)
    seen = (await ingest.http.get(made.headers["location"], headers=publisher)).json()
    assert (seen["status"], seen["retracted_by"]) == ("retracted", "operator")
    await actions.release(COMMAND_LINE, article)
    with pytest.raises(ArticleNotFoundError):
        await actions.release(COMMAND_LINE, "x")
    admin = await ingest.key("Office", Scope.ADMIN)
    answer = await ingest.http.get("/v1/audit-log", params={"target": article}, headers=admin)
    log = answer.json()["entries"]
    assert [(entry["act"], entry["actor"]["type"]) for entry in log] == [
        ("article.released", "command_line"),
        ("article.retracted", "command_line"),
    ]
