"""What problems say of invalid members: in plain words, and which member was meant."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from newswire.article import ArticleDraft
from newswire.http.problems import from_validation_error
from newswire_notify.subscriptions.models import NewSubscription

LEAST: dict[str, Any] = {"title": "a", "body": "b"}
HOOK: dict[str, Any] = {"channel": {"type": "webhook", "url": "https://receiver.example/"}}


def errors_of(model: type[BaseModel], sent: dict[str, Any]) -> dict[str, tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(sent)
    return {each.field: (each.problem, each.fix) for each in from_validation_error(caught.value, model).errors}


@pytest.mark.parametrize(
    ("model", "sent", "field", "meant"),
    [
        (ArticleDraft, LEAST | {"tags": []}, "tags", "topics"),
        (ArticleDraft, LEAST | {"Keywords": []}, "Keywords", "topics"),
        (ArticleDraft, LEAST | {"topic": "x"}, "topic", "topics"),
        (ArticleDraft, LEAST | {"categories": []}, "categories", "category"),
        (ArticleDraft, LEAST | {"headline": "x"}, "headline", "title"),
        (ArticleDraft, LEAST | {"content": "x"}, "content", "body"),
        (ArticleDraft, LEAST | {"date": "x"}, "date", "published_at"),
        (ArticleDraft, LEAST | {"authors": [{"name": "x", "link": "y", "nme": "z"}]}, "authors.0.nme", "name"),
        (
            ArticleDraft,
            LEAST | {"image": {"url": "https://x.example/a.jpg", "captoin": "x"}},
            "image.captoin",
            "caption",
        ),
        (NewSubscription, HOOK | {"filter": {"category": "x"}}, "filter.category", "categories"),
        (NewSubscription, HOOK | {"filter": {"section": "x"}}, "filter.section", None),
        (NewSubscription, HOOK | {"filter": {"q": "x"}}, "filter.q", "query"),
        (NewSubscription, {"channel": {**HOOK["channel"], "header": {}}}, "channel.header", "headers"),
        (NewSubscription, HOOK | {"webhook": {}}, "webhook", "channel"),
        (ArticleDraft, LEAST | {"zeppelin": 1}, "zeppelin", None),
    ],
)
def test_an_unknown_member_is_answered_with_the_one_that_was_meant(
    model: type[BaseModel], sent: dict[str, Any], field: str, meant: str | None
) -> None:
    what, fix = errors_of(model, sent)[field]
    assert what == "is unknown"
    assert fix == (f"remove it, or did you mean '{meant}'?" if meant else "remove it")


@pytest.mark.parametrize(
    ("sent", "field", "what", "fix"),
    [
        ({"topics": ["a"] * 51}, "topics", "has more than 50 items", "send at most 50"),
        ({"title": "a" * 301}, "title", "has more than 300 characters", "send at most 300 characters"),
        ({"urgency": 11}, "urgency", "is greater than 9", "send 9 or less"),
        ({"urgency": 0}, "urgency", "is less than 1", "send 1 or more"),
        ({"title": 1}, "title", "must be a string", "send a string"),
    ],
)
def test_messages_are_plain(sent: dict[str, Any], field: str, what: str, fix: str) -> None:
    assert errors_of(ArticleDraft, LEAST | sent)[field] == (what, fix)


def test_accepted_values_are_named_once() -> None:
    found = errors_of(NewSubscription, HOOK | {"events": ["publish"]})
    assert found["events.0"] == (
        "is not 'published', 'updated', 'corrected' or 'retracted'",
        "send 'published', 'updated', 'corrected' or 'retracted'",
    )


@pytest.mark.parametrize(
    ("url", "what", "fix"),
    [
        ("", "has fewer than 1 characters", "send at least 1 character(s)"),
        ("https://receiver.example/" + "a" * 2000, "has more than 2000 characters", "send at most 2000 characters"),
    ],
)
def test_the_length_of_a_text_is_told_in_characters(url: str, what: str, fix: str) -> None:
    sent = {"channel": {"type": "webhook", "url": url}}
    assert errors_of(NewSubscription, sent)["channel.url"] == (what, fix)
