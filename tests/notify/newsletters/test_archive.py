"""The page of a newsletter's archive."""

import httpx
import pytest

from tests.notify.newsletters.conftest import House


@pytest.mark.parametrize(
    ("language", "day"),
    [
        ("en", "6 November 2026"),
        ("en-US", "6 November 2026"),
        ("de-CH", "6. November 2026"),
        ("fr", "6 novembre 2026"),
        ("es", "6 de noviembre de 2026"),
        ("pt", "6 November 2026"),  # as the texts around it, which are English
    ],
)
async def test_days_are_written_as_the_texts_around_them(house: House, language: str, day: str) -> None:
    house.set_time("2026-11-06T12:00:00+01:00")
    await house.create(language=language, public_archive=True)
    await house.desk.publish("a1", title="עבורת", language="he", published_at="2026-11-06T09:00:00Z")
    await house.send()
    page = (await house.http.get("/newsletters/ferries/archive")).text
    assert f'<time datetime="2026-11-06">{day}</time>' in page
    assert '<li class="rtl"><h2 lang="he" dir="rtl">' in page
    assert '<a href="/newsletters" aria-current="true">' in page


async def test_the_navigation_marks_the_newsletters(house: House) -> None:
    newsletters = await house.http.get("/newsletters")
    assert '<a href="/newsletters" aria-current="page">' in newsletters.text


async def test_tools_may_read_robots_txt_from_public_pages_only(house: House) -> None:
    def policy(answer: httpx.Response) -> list[str]:
        return answer.headers["Content-Security-Policy"].split("; ")

    assert "connect-src 'self'" in policy(await house.http.get("/newsletters"))
    assert not [each for each in policy(await house.http.get("/newsletters/none/confirm/x")) if "connect-src" in each]
