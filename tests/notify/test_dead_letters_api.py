"""Operators list, retry and delete the dead deliveries of all accounts."""

import httpx
from redis.asyncio import Redis

from newswire.auth.api_keys import create_key
from newswire.auth.credentials import Scope
from newswire.http.application import Service, create_app
from newswire.observability.audit import read_page
from newswire_notify.deliveries import dead_letters_api as dead_letters_api
from newswire_notify.settings import NotifySettings
from tests.notify.conftest import Clock, Desk, Receiver

PATH = "/v1/dead-letters"


async def test_dead_deliveries_are_listed_retried_and_deleted(
    desk: Desk, redis: Redis, clock: Clock, receiver: Receiver
) -> None:
    settings = NotifySettings(namespace=desk.keys.namespace)
    offered = Service(name="notify", routers=[dead_letters_api.router(desk.queue, redis)], loops={}, checks={})
    app = create_app([offered], settings, redis=redis)
    operator = await create_key(redis, desk.keys, "Operators", {Scope.ADMIN})
    subscriber = await create_key(redis, desk.keys, "Readers", {Scope.SUBSCRIBE})
    receiver.answer("/a", 500)
    subscription = await desk.subscribe(f"{receiver.url}/a", account="Readers")
    for article in ("a1", "a2", "a3"):
        await desk.publish(article)
    while "waiting" in (await desk.states(subscription)).values():
        await desk.deliver()
        clock.now += 15_000
    receiver.got.clear()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://notify",
        headers={"Authorization": f"Bearer {operator.token}"},
    ) as http:
        refused = await http.get(PATH, headers={"Authorization": f"Bearer {subscriber.token}"})
        assert refused.status_code == 403
        page = (await http.get(PATH, params={"limit": 2})).json()
        rest = (await http.get(PATH, params={"limit": 2, "cursor": page["next_cursor"]})).json()
        seen = page["dead_letters"] + rest["dead_letters"]
        assert (sorted(dead["article"] for dead in seen), rest["next_cursor"]) == (["a1", "a2", "a3"], None)
        assert {(dead["error"], dead["subscription"]) for dead in seen} == {("http: status 500", subscription.id)}
        assert (await http.get(PATH, params={"cursor": "x"})).status_code == 400

        again, replaced, forgotten = seen
        receiver.answer("/a", 204)
        assert (await http.post(f"{PATH}/{again['id']}/retry")).status_code == 202
        clock.now += 1000
        await desk.deliver()
        assert receiver.events("/a") == [again["event"]]
        assert (await http.post(f"{PATH}/{again['id']}/retry")).status_code == 404
        await desk.publish(replaced["article"], 2)
        assert (await http.post(f"{PATH}/{replaced['id']}/retry")).status_code == 409
        assert (await http.delete(f"{PATH}/{forgotten['id']}")).status_code == 204
        assert (await http.delete(f"{PATH}/{forgotten['id']}")).status_code == 404
        left = (await http.get(PATH)).json()["dead_letters"]
        assert [dead["id"] for dead in left] == [replaced["id"]]
    entries = reversed((await read_page(redis, desk.keys, limit=9, act="dead_letter.")).entries)
    assert [(entry.act, entry.target, entry.actor.key_id) for entry in entries] == [
        ("dead_letter.retried", again["id"], operator.id),
        ("dead_letter.dropped", forgotten["id"], operator.id),
    ]
