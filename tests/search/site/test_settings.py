"""The settings of the site are checked when they are read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from newswire.site.colours import contrast, palette, parse_colour
from newswire_search.settings import SearchSettings


def settings(**more: Any) -> SearchSettings:
    return SearchSettings.model_validate(more)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"site_accent": "#ffcc00"}, "NEWSWIRE_SITE_ACCENT"),
        ({"site_ink": "#999"}, "text on this paper has a contrast of"),
        ({"site_paper": "#000000"}, "light colours"),
        ({"site_accent_dark": "#300000"}, "NEWSWIRE_SITE_ACCENT_DARK"),
        ({"site_accent": "red"}, "'red' is not a colour such as #a3221f"),
        ({"site_language": "it"}, "must be one of en, de, fr, es"),
        ({"site_language": "de_AT"}, "region such as en-US"),
        ({"site_name": "  "}, "site_name"),
        ({"site_name": "A\nB"}, "site_name"),
        ({"site_logo": "http://x.example/logo.svg"}, "begins with https://"),
        ({"site_logo": "../../etc/passwd"}, "the name of a file"),
        ({"site_logo": "missing.svg"}, "there is no file"),
        ({"site_theme": "/nowhere/at/all"}, "site_theme"),
        ({"site_twitter": "example"}, "@example"),
        ({"site_live_url": "/v1/stream; script-src *"}, "must be a path"),
        ({"site_live_url": "javascript:alert(1)"}, "must be a path"),
    ],
)
def test_an_unusable_setting_is_refused_with_its_reason(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**changed)
    assert says in str(refused.value)


def test_sections_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEWSWIRE_SITE_SECTIONS", "Harbour, Town ,,Weather")
    (tmp_path / "imprint.txt").write_text("Harbour Media\n\nQuay 1\n")
    monkeypatch.setenv("NEWSWIRE_SITE_IMPRINT_FILE", str(tmp_path / "imprint.txt"))
    read = SearchSettings()
    assert read.site_sections == ["Harbour", "Town", "Weather"]
    assert read.site_imprint == "Harbour Media\n\nQuay 1"


@pytest.mark.parametrize(
    ("one", "other", "ratio"), [("#000", "#fff", 21.0), ("#777777", "#ffffff", 4.478), ("#fff", "#FFFFFF", 1.0)]
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(parse_colour(one), parse_colour(other)) == pytest.approx(ratio, abs=0.001)


@pytest.mark.parametrize(
    ("paper", "ink", "accent"),
    [("#ffffff", "#1a1a1a", "#9c1f1c"), ("#fff8e7", "#555555", "#704214"), ("#101010", "#cccccc", "#7cc7e8")],
)
def test_derived_colours_can_be_read(paper: str, ink: str, accent: str) -> None:
    colours = palette(paper, ink, accent)
    for text in (colours.ink, colours.soft, colours.accent):
        for back in (colours.paper, colours.panel):
            assert contrast(parse_colour(text), parse_colour(back)) >= 4.5
    assert contrast(parse_colour(colours.on_accent), parse_colour(colours.accent)) >= 4.5
