"""A real Prometheus that scrapes one address every five seconds, with rules of its own."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.polling import DEADLINE_SECONDS, until
from tests.servers.valkey import free_port


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=DEADLINE_SECONDS)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query."""
        return self._found("/query", {"query": expression})

    def range(self, expression: str, start: float, end: float, step: float = 2) -> list[dict[str, Any]]:
        """Return the series between two times, in seconds since the epoch."""
        return self._found("/query_range", {"query": expression, "start": start, "end": end, "step": step})

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="firing"}')}

    def pending(self) -> set[str]:
        """Return the names of the alerts that would fire if their condition lasted."""
        return {each["metric"]["alertname"] for each in self.query('ALERTS{alertstate="pending"}')}

    def ready(self) -> bool:
        """Return whether it answers queries."""
        try:
            return not self._http.get("/status/buildinfo").is_error
        except httpx.TransportError:
            return False

    def _found(self, path: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        answer = self._http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result


@contextmanager
def prometheus(folder: Path, target: str, rules: str) -> Iterator[Prometheus]:
    """Run one with these rules; it scrapes the metrics of ``target`` (``host:port``)."""
    program = shutil.which("prometheus")
    assert program, (
        "install prometheus (Debian: prometheus; go install github.com/prometheus/prometheus/cmd/prometheus)"
    )
    folder.mkdir(parents=True)
    (folder / "rules.yml").write_text(rules)
    configuration = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "5s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "newswire", "honor_labels": True, "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        running = Prometheus(f"http://127.0.0.1:{port}")
        until(lambda: running.ready() or process.poll() is not None, 120)
        assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
        yield running
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
