"""Bodies contain no characters that HTML and XML must not contain; what they stood for stays."""

import pytest

from newswire_ingest.content.control_characters import without_control_characters
from newswire_ingest.content.sanitised_body import sanitised_body
from tests.ingest.conftest import Ingest


@pytest.mark.parametrize("more", ["", " é", " <a href='https://a.example/'>é</a>"])
@pytest.mark.parametrize(
    ("sent", "html"),
    [
        ("a\x01b\x08\x1b\x7f", "ab"),
        ("one\x0btwo\x0cthree", "one\ntwo\nthree"),
        ("one\x1ftwo", "one two"),
        ("\x93Don\x92t\x94 \x96 she said\x85 5 \x80", "“Don’t” – she said… 5 €"),
        ("a\x81b\ufffe\uffff\ufdd0\U0001ffff\U0010fffe", "ab"),
        ("&#1;a&#x92;b&#xFFFE;&#11;c", "a’b\nc"),
        (
            "tabs\tand\nlines \u00a0 \u2028 \u200d \ufeff \ue000 😀",
            "tabs\tand\nlines &nbsp; \u2028 \u200d \ufeff \ue000 😀",
        ),
    ],
)
def test_control_characters_of_bodies(sent: str, html: str, more: str) -> None:
    body = sanitised_body(f"<p>{sent}{more}</p>", None)

    assert body.html.startswith(f"<p>{html}")
    assert without_control_characters(body.html) == body.html
    assert without_control_characters(body.text) == body.text
    if not sent.startswith("tabs"):
        assert body.text.split()[: len(html.split())] == html.split()


async def test_an_article_is_stored_without_control_characters(ingest: Ingest, publisher: dict[str, str]) -> None:
    sent = {"title": "Quay", "body": "Quay\x0b\x93open\x94\x02"}
    answer = await ingest.http.post("/v1/articles", json=sent, headers=publisher)

    assert answer.json()["body"] == "Quay\n“open”"
