"""Colours of the theme: reading them, and how well text on them can be read (WCAG 2.2)."""

import re
from dataclasses import dataclass

MIN_TEXT_CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3 (AA): text on its background."""
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})")
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one colour scheme, as CSS writes them; the last four are derived from the first three."""

    paper: str
    ink: str
    accent: str
    soft: str
    """Secondary text."""
    line: str
    """Rules, which carry no meaning."""
    panel: str
    """The background of boxes and of images that have not loaded."""
    on_accent: str
    """Text on the accent: black or white."""


def parse_colour(text: str) -> Rgb:
    """Return the red, green and blue of a CSS colour such as ``#a3221f`` or ``#fff``.

    Raises:
        ValueError: it is written in another way.
    """
    found = _HEX.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"'{text[:40]}' is not a colour such as #a3221f")
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def palette(paper: str, ink: str, accent: str) -> Palette:
    """Return the colours of a scheme.

    Raises:
        ValueError: text or links could not be read on this paper; the message names the ratio.
    """
    back, front, links = parse_colour(paper), parse_colour(ink), parse_colour(accent)
    panel = _mixed(back, front, 0.05)
    for name, colour in (("text", front), ("the accent", links)):
        # The panel is the darker of the two backgrounds in a light scheme, and the lighter one in a dark scheme.
        ratio = min(contrast(colour, back), contrast(colour, panel))
        if ratio < MIN_TEXT_CONTRAST:
            raise ValueError(
                f"{name} on this paper has a contrast of {ratio:.1f}:1; readers need {MIN_TEXT_CONTRAST}:1 or more"
            )
    return Palette(
        paper=_written(back),
        ink=_written(front),
        accent=_written(links),
        soft=_written(_secondary(back, front, panel)),
        line=_written(_mixed(back, front, 0.17)),
        panel=_written(panel),
        on_accent=_written(max((_WHITE, _BLACK), key=lambda colour: contrast(colour, links))),
    )


def _secondary(paper: Rgb, ink: Rgb, panel: Rgb) -> Rgb:
    """Return the palest mixture of ink and paper that can be read on both backgrounds."""
    for percent in range(66, 100, 4):
        mixture = _mixed(paper, ink, percent / 100)
        if min(contrast(mixture, paper), contrast(mixture, panel)) >= MIN_TEXT_CONTRAST + 0.3:
            return mixture
    return ink


def _mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _written(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: Rgb) -> float:
    channels = [value / 255 for value in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
