"""The JSON of events about other events is the same, whichever way it is made."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from newswire.events import FANNED_OUT, ArticleFannedOut, event, event_json


@pytest.mark.parametrize("microsecond", [0, 1000, 123456])
@pytest.mark.parametrize("traceparent", [None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_it_equals_the_json_of_the_model(microsecond: int, traceparent: str | None) -> None:
    data = ArticleFannedOut(id="a1", version=2, event="a1.2 “é”", matched=3, previously_matched=1)
    envelope: dict[str, Any] = {
        "id_": "a1.2.fanned_out",
        "source": "https://news.example/publishers/harbour-post",
        "subject": "a1",
        "time": datetime(2026, 1, 2, 3, 4, 5, microsecond, UTC),
        "traceparent": traceparent,
    }
    made = event_json(FANNED_OUT, data.model_dump(), **envelope)
    assert json.loads(made) == json.loads(event(FANNED_OUT, data, **envelope).to_json())
