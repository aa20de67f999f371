"""One trace leads from the request that publishes an article to the index and to the webhook."""

from pathlib import Path

import httpx

from newswire.keys import Keyspace
from tests.e2e.conftest import receiver, three_processes
from tests.e2e.test_main_job import ARTICLE, bearer, subscribe
from tests.polling import until
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.otlp import OtlpReceiver, ReceivedSpan, otlp_receiver

CALLER_TRACE, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_one_trace_from_the_request_to_index_and_webhook(
    elasticsearch: ElasticsearchServer, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    environment = elasticsearch.environment() | {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": namespace,
        "NEWSWIRE_WEBHOOK_ALLOW_PRIVATE": "true",
        "NEWSWIRE_ALLOW_VOLATILE": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    stream = Keyspace(namespace).stream
    with receiver() as endpoint, otlp_receiver() as collector:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        with three_processes(environment, tmp_path) as installed:
            subscription = subscribe(installed, f"{endpoint.url}?token=s3cr3t", {"query": "ferries"})
            sent = httpx.post(
                f"{installed.ingest}/v1/articles",
                headers=bearer(installed.publisher_key) | {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-00"},
                json=ARTICLE,
                trust_env=False,
            )
            assert sent.status_code == 201
            until(lambda: endpoint.requests)
            found = until(lambda: whole_trace(collector, stream))
            batch_has_a_trace_of_its_own(installed.ingest, installed.publisher_key, collector, stream)

    post, send, indexing, bulk, fan_out, attempt = found
    assert {each.trace for each in found} == {CALLER_TRACE}
    assert [each.service for each in found] == [
        *["newswire-ingest"] * 2, *["newswire-search"] * 2, *["newswire-notify"] * 2
    ]  # fmt: skip
    assert [each.kind for each in found] == ["server", "producer", "consumer", "internal", "consumer", "client"]
    assert post.parent == CALLER_SPAN
    assert send.parent == indexing.parent == fan_out.parent == attempt.parent == post.id
    assert bulk.parent == indexing.id
    assert post.attributes.items() >= {
        "http.request.method": "POST", "http.route": "/v1/articles", "http.response.status_code": 201
    }.items()  # fmt: skip
    assert (
        indexing.attributes.items()
        >= {
            "messaging.system": "redis",
            "messaging.destination.name": stream,
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": "search",
            "cloudevents.event_id": f"{sent.json()['id']}.1",
        }.items()
    )
    assert bulk.attributes.items() >= {"db.system.name": "elasticsearch", "db.operation.name": "bulk"}.items()
    assert (
        attempt.attributes.items()
        >= {
            "http.request.method": "POST",
            "http.response.status_code": 204,
            "server.address": "127.0.0.1",
            "newswire.subscription.id": subscription["id"],
        }.items()
    )
    [writing] = [each for each in collector.spans if each.parent == send.id or each.name == "PIPELINE"][:1]
    assert writing.attributes["db.system.name"] == "redis"
    headers, _ = endpoint.requests[0]
    assert headers["traceparent"] == f"00-{CALLER_TRACE}-{attempt.id}-01"
    recorded = "".join(str(each.span) for each in collector.spans)
    for secret in ("s3cr3t", "nw_", "Quillfeather", "XREAD"):
        assert secret not in recorded
    idle = [each for each in collector.spans if not each.parent and each.kind in ("client", "internal")]
    assert idle == []


def whole_trace(collector: OtlpReceiver, stream: str) -> list[ReceivedSpan]:
    """Return the spans on the way of the first article, once all have been received."""
    wanted = [
        ("POST /v1/articles", "newswire-ingest"),
        (f"send {stream}", "newswire-ingest"),
        (f"process {stream}", "newswire-search"),
        ("bulk", "newswire-search"),
        (f"process {stream}", "newswire-notify"),
        ("POST", "newswire-notify"),
    ]
    found = [collector.named(*each) for each in wanted]
    return [each[0] for each in found] if all(found) else []


def batch_has_a_trace_of_its_own(ingest: str, key: str, collector: OtlpReceiver, stream: str) -> None:
    lines = "\n".join(f'{{"title": "Harbour note {n}", "body": "<p>Tides.</p>"}}' for n in range(50))
    answer = httpx.post(
        f"{ingest}/v1/articles/batch",
        headers=bearer(key) | {"Content-Type": "application/x-ndjson"},
        content=lines,
        trust_env=False,
    )
    assert answer.text.count('"status":201') == 50, answer.text
    [request] = until(lambda: collector.named("POST /v1/articles/batch"))

    def of_events() -> list[ReceivedSpan]:
        found = [
            each for each in collector.named(f"process {stream}", "newswire-search") if each.trace == request.trace
        ]
        return found if len(found) == 50 else []

    common = {link for each in until(of_events) for link in each.links}

    def of_batches() -> list[ReceivedSpan]:
        found = [each for each in collector.named(f"process {stream}") if each.id in common]
        return found if len(found) == len(common) else []

    batches = until(of_batches)
    assert batches
    for each in batches:
        assert (each.parent, set(each.links)) == ("", {request.id})
        assert each.trace != request.trace
        assert [bulk for bulk in collector.named("bulk") if bulk.parent == each.id]
