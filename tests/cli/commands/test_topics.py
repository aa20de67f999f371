"""Categories and topics from the command line, against a running Newswire."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.running import Running, newswire

Start = Callable[..., Running]


def test_topics_are_listed_and_merged(start: Start, tmp_path: Path) -> None:
    running = start(tmp_path / "data", "--no-samples")
    data = ["--data-dir", str(running.data_dir)]

    def publish(topic: str) -> list[str]:
        sent = {"title": "Piers", "body": "<p>Two.</p>", "topics": [topic]}
        answer = httpx.post(f"{running.site}/v1/articles", headers=running.key("PUBLISHER"), json=sent, trust_env=False)
        topics: list[str] = answer.json()["topics"]
        return topics

    assert publish("Harbor") == ["Harbor"]
    merged = newswire("topics", "merge", "HARBOR", "Harbour", *data)
    assert merged.returncode == 0, merged.stderr
    assert publish("harbor") == ["Harbour"]
    listed = newswire("topics", "list", *data).stdout.splitlines()
    assert listed[1:] == ["topic\tHarbor\t1", "topic\tHarbour\t1"]
