"""The writing direction of a language, as HTML's ``dir`` writes it."""

from typing import Final, Literal

Direction = Literal["ltr", "rtl", "auto"]

_RIGHT_TO_LEFT_LANGUAGES: Final = frozenset(
    "acm aeb ajp apc apd ar arc arq ars ary arz azb bal bcc bgn ckb dv fa fas glk haz he heb hno iw ji khw ks lrc luz mzn nqo oui"
    " pes pnb prs ps pus rhg sam sd sdh skr syc syr ug uig ur urd yi yid".split()
)
"""Languages that are usually written from right to left (Unicode CLDR, likely scripts)."""
_RIGHT_TO_LEFT_SCRIPTS: Final = frozenset(
    "adlm arab aran armi avst gara hebr hung mand mend nkoo phnx rohg samr syrc syre syrj syrn thaa yezi".split()
)
_WITHOUT_DIRECTION: Final = frozenset(("", "und", "mul", "zxx", "mis", "x"))


def direction_of(language: str | None) -> Direction:
    """Return the direction of a language tag (BCP 47); ``auto``, for which browsers look at the text, if it is unknown."""
    primary, *more = (language or "").lower().replace("_", "-").split("-")
    script = next((part for part in more[:3] if len(part) == 4 and part.isalpha()), None)
    if script is not None and primary != "x":
        return "rtl" if script in _RIGHT_TO_LEFT_SCRIPTS else "ltr"
    if primary in _WITHOUT_DIRECTION:
        return "auto"
    return "rtl" if primary in _RIGHT_TO_LEFT_LANGUAGES else "ltr"
