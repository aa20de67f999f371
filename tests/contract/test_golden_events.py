"""Every event ever released must stay readable forever, including unknown members."""

import json
from pathlib import Path
from typing import Any

import pytest

from newswire.events import DATA_MODELS, CloudEvent, decode

GOLDEN = sorted((Path(__file__).parent / "events").glob("*.json"))


def entry(document: Any) -> dict[bytes, bytes]:
    return {b"__data__": json.dumps(document).encode()}


def with_strangers(value: Any) -> Any:
    """Add an unknown member to every object in the document, except in the free-form metadata."""
    if isinstance(value, dict):
        grown = {k: v if k == "metadata" else with_strangers(v) for k, v in value.items()}
        return {**grown, "from_the_future": {"nested": [1, 2]}}
    return [with_strangers(item) for item in value] if isinstance(value, list) else value


def test_every_type_has_a_golden_file() -> None:
    assert {json.loads(path.read_text())["type"] for path in GOLDEN} == set(DATA_MODELS)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_event_parses(path: Path) -> None:
    document = json.loads(path.read_text())
    envelope, payload = decode(entry(document))
    assert envelope.id == document["id"]
    sent, read = document["data"], payload.model_dump(mode="json")
    if "status" not in read:
        read["status"] = "retracted"
    assert {name: read[name] for name in sent} == _with_defaults(sent)


def _with_defaults(sent: dict[str, Any]) -> dict[str, Any]:
    authors = [{"name": author["name"], "url": author.get("url")} for author in sent.get("authors", [])]
    return sent | ({"authors": authors} if authors else {})


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_unknown_members_are_ignored_and_kept(path: Path) -> None:
    document = with_strangers(json.loads(path.read_text()))
    envelope, payload = decode(entry(document))
    again = json.loads(envelope.to_json())
    assert again["from_the_future"] == {"nested": [1, 2]}
    assert again["data"] == document["data"]
    assert payload.model_dump()["from_the_future"] == {"nested": [1, 2]}


def test_events_round_trip() -> None:
    for path in GOLDEN:
        first = CloudEvent.model_validate_json(path.read_bytes())
        assert CloudEvent.model_validate_json(first.to_json()) == first
