"""Derived members of an article: language, word count, reading time."""

from typing import Any

import pytest

from newswire.article import ArticleDraft
from newswire_ingest.content.content import changed, content
from tests.ingest.conftest import ARTICLE, Ingest

TEXTS = {
    "en": "The harbour board met on Tuesday and agreed on nothing but the date of the next meeting, while the ferry"
    " company went on waiting for an answer about the new quay.",
    "de": "Der Hafenvorstand traf sich am Dienstag und einigte sich auf nichts als den Tag der nächsten Sitzung, während"
    " die Reederei weiter auf eine Antwort wegen des neuen Anlegers wartete.",
    "es": "La junta del puerto se reunió el martes y no acordó más que la fecha de la próxima reunión, mientras la"
    " naviera seguía esperando una respuesta sobre el nuevo muelle.",
    "ru": "Портовый совет собрался во вторник и договорился лишь о дне следующего заседания, а паромная компания всё ещё"
    " ждёт ответа о новом причале и о том, когда его откроют для пассажиров.",
    "zh": "港口委员会周二开会，除了下次会议的日期之外什么也没有达成一致，而渡轮公司仍在等待有关新码头的答复，乘客们也在等待。",
}


def stored(body: str, **more: Any) -> dict[str, Any]:
    return content(ArticleDraft.model_validate({"title": "T", "body": body, **more}))


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_a_long_enough_text_is_detected(language: str) -> None:
    found = stored(f"<p>{TEXTS[language]}</p>")
    assert (found["language"], found["language_detected"]) == (language, True)


@pytest.mark.parametrize(
    "body", ["", "<p>Der Hafenvorstand traf sich.</p>", "<p>12 34 56 78 90</p>" * 20, "asdf qwer " * 12]
)
def test_an_unclear_language_is_not_guessed(body: str) -> None:
    found = stored(body)
    assert found["language"] == "und"
    assert "language_detected" not in found


def test_a_declared_language_is_kept() -> None:
    found = stored(TEXTS["de"], language="en-GB")
    assert found["language"] == "en-GB"
    assert "language_detected" not in found


@pytest.mark.parametrize(
    ("body", "minutes"), [("", 0), ("word", 1), ("word " * 230, 1), ("word " * 231, 2), ("港" * 918, 2)]
)
def test_reading_time_is_in_minutes(body: str, minutes: int) -> None:
    assert stored(body)["reading_minutes"] == minutes


def test_equal_members_are_unchanged() -> None:
    assert changed({"title": "A"}, {"title": "A", "authors": [], "metadata": {}, "summary": None}) == []
    assert changed({"title": "A", "summary": "S"}, {"title": "B", "topics": ["T"]}) == ["title", "summary", "topics"]


async def test_a_detected_language_is_detected_again(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {**ARTICLE, "body": TEXTS["en"]}
    location = (await ingest.http.post("/v1/articles", json=sent, headers=publisher)).headers["location"]
    patched = (await ingest.http.patch(location, json={"body": TEXTS["de"]}, headers=publisher)).json()
    assert (patched["language"], patched["language_detected"]) == ("de", True)
    said = (await ingest.http.patch(location, json={"language": "en"}, headers=publisher)).json()
    assert "language_detected" not in said
    kept = (await ingest.http.patch(location, json={"body": TEXTS["es"]}, headers=publisher)).json()
    assert kept["language"] == "en"
    found = (await ingest.http.patch(location, json={"language": None}, headers=publisher)).json()
    assert (found["language"], found["language_detected"]) == ("es", True)
    assert [event["data"].get("changed") for event in await ingest.events()] == [
        None,
        ["body", "language"],
        ["language"],
        ["body"],
        ["language"],
    ]
