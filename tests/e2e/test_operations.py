"""The operations service combines the responses of every replica of the three services."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import one_process, receiver, service
from tests.polling import DEADLINE_SECONDS, until
from tests.servers.valkey import free_port

PASSWORD = "tell-nobody"


@pytest.fixture
def environment(redis_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    return {
        "NEWSWIRE_REDIS_URL": redis_url,
        "NEWSWIRE_NAMESPACE": namespace,
        "NEWSWIRE_DATA_DIR": str(tmp_path / "data"),
        "NEWSWIRE_ALLOW_VOLATILE": "true",
    }


def get(site: str, path: str) -> httpx.Response:
    return httpx.get(site + path, timeout=DEADLINE_SECONDS, trust_env=False)


def instance(site: str) -> str:
    return site.removeprefix("http://")


def test_it_combines_all_replicas(environment: dict[str, str], tmp_path: Path) -> None:
    def start(stack: ExitStack, name: str, number: int = 1, **more: str) -> str:
        return stack.enter_context(service(name, environment | more, tmp_path / f"{name}-{number}.log"))

    with ExitStack() as stack, ExitStack() as stack_of_second:
        ingest, search, notify = (start(stack, name) for name in ("ingest", "search", "notify"))
        second = start(stack_of_second, "notify", 2)
        site = start(
            stack,
            "operations",
            NEWSWIRE_INGEST_URLS=ingest,
            NEWSWIRE_SEARCH_URLS=search,
            NEWSWIRE_NOTIFY_URLS=f"{notify}, {second}",
        )

        ready = get(site, "/status").json()
        assert list(ready["versions"].values()) == [[version("newswire")]] * 3
        assert {name.partition(": ")[0] for name in ready["loops"]} == {"ingest", "search", "notify"}
        own = {name for replica in (ingest, search, notify) for name in get(replica, "/status").json()["checks"]}
        assert get(site, "/readyz").json()["replicas"] == ready["replicas"]
        assert (ready["status"], ready["services"]) == ("ok", ["ingest", "search", "notify"])
        assert set(ready["checks"]) == own | {f"{name}: replicas" for name in ("ingest", "search", "notify")}
        assert set(ready["checks"].values()) == {"ok"}
        both = [instance(notify), instance(second)]
        assert ready["replicas"] == {"ingest": [instance(ingest)], "search": [instance(search)], "notify": both}
        assert get(site, "/healthz").json()["status"] == "ok"
        assert samples(site, "newswire_http_requests_total") >= {
            ("ingest", instance(ingest)),
            ("search", instance(search)),
            *(("notify", each) for each in both),
        }

        stack_of_second.close()

        for path in ("/status", "/readyz", "/healthz"):
            answer = get(site, path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert answer.json()["detail"].startswith(f"notify: replicas: {instance(second)} does not answer")
            assert answer.json()["checks"]["ingest: replicas"] == "ok"
        assert samples(site, "newswire_up", 0) == {("notify", instance(second))}
        assert ("notify", instance(notify)) in samples(site, "newswire_http_requests_total")


def samples(site: str, name: str, value: float | None = None) -> set[tuple[str, str]]:
    """Return service and instance of every sample with this name, and check that no family is described twice."""
    text = get(site, "/metrics").text
    described = [line.split()[:3] for line in text.splitlines() if line.startswith("# ")]
    assert len(described) == len({tuple(words) for words in described})
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        (sample.labels["service"], sample.labels["instance"])
        for sample in found
        if sample.name == name and value in (None, sample.value)
    }


@pytest.fixture
def hung() -> Iterator[str]:
    """Yield the address of a server that accepts connections and never responds."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_it_reports_unreachable_replicas_with_the_reason(hung: str, tmp_path: Path) -> None:
    with receiver() as stranger, ExitStack() as stack:
        odd = stranger.url.removesuffix("/hook")
        site = stack.enter_context(
            service(
                "operations",
                {
                    "NEWSWIRE_INGEST_URLS": "http://nobody.invalid:8000",
                    "NEWSWIRE_SEARCH_URLS": odd,
                    "NEWSWIRE_NOTIFY_URLS": hung,
                },
                tmp_path / "operations.log",
                ready_at="/asyncapi",
            )
        )
        checks = get(site, "/status").json()["checks"]
        metrics = get(site, "/metrics")

    assert set(checks) == {"ingest: replicas", "search: replicas", "notify: replicas"}
    assert checks["ingest: replicas"].startswith("nobody.invalid:8000 the host has no address")
    assert checks["search: replicas"] == f"{instance(odd)} answers 501"
    assert checks["notify: replicas"] == f"{instance(hung)} does not answer within 5 s"
    assert metrics.status_code == 200
    assert metrics.text.count("newswire_up{") == 3
    assert 'service="notify"} 0.0' in metrics.text


def test_its_documents_cover_all_services_and_need_no_store(tmp_path: Path) -> None:
    nowhere = f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"
    environment = {
        "NEWSWIRE_REDIS_URL": nowhere,
        "NEWSWIRE_ELASTICSEARCH_USERNAME": "elastic",
        "NEWSWIRE_ELASTICSEARCH_PASSWORD": PASSWORD,
    }
    log = tmp_path / "operations.log"
    with ExitStack() as stack:
        whole = stack.enter_context(one_process(tmp_path / "data"))
        environment["NEWSWIRE_PUBLIC_URL"] = whole.search  # named in the document
        site = stack.enter_context(service("operations", environment, log, ready_at="/openapi.json"))
        for path in ("/openapi.json", "/asyncapi"):
            assert get(site, path).json() == get(whole.search, path).json()
        assert get(site, "/docs").text == get(whole.search, "/docs").text
        for path in ("/openapi.json", "/docs", "/asyncapi"):
            ours, theirs = get(site, path), get(whole.search, path)
            assert ours.headers["content-type"] == theirs.headers["content-type"]
            assert ours.headers["content-security-policy"].startswith("default-src 'none'")
            assert PASSWORD not in ours.text
        assert get(site, "/v1/search").status_code == 404  # it describes the services, and does not replace them
        until(lambda: get(site, "/status").status_code == 503)
        assert PASSWORD not in get(site, "/status").text
    assert PASSWORD not in log.read_text()
