"""Language tags as BCP 47 (RFC 5646) writes them."""

import re
from typing import Final

from newswire.rules import broken_rule

MAX_LENGTH: Final = 35
"""Characters: what RFC 5646, section 4.4.1, asks implementations to take."""
EXAMPLE_FIX: Final = "send a BCP 47 tag such as en, pt-BR or zh-Hant"

_WELL_FORMED: Final = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}"  # a language, and extended language subtags
    r"(-[a-z]{4})?"  # a script
    r"(-([a-z]{2}|[0-9]{3}))?"  # a region
    r"(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"  # variants
    r"(-[0-9a-wyz](-[a-z0-9]{2,8})+)*"  # extensions
    r"(-x(-[a-z0-9]{1,8})+)?",  # private use
    re.IGNORECASE | re.ASCII,
)
_TWO_LETTERS: Final = frozenset(
    """aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu
    fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw ja ji jv jw ka kg ki kj
    kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny
    oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl
    tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu""".split()
)
"""The two-letter language subtags of the IANA registry, deprecated ones included."""
_MEANT: Final = dict(
    pair.split("=")
    for pair in """english=en deutsch=de german=de french=fr francais=fr français=fr spanish=es español=es espanol=es castellano=es
    italian=it italiano=it portuguese=pt português=pt dutch=nl nederlands=nl swedish=sv svenska=sv danish=da dansk=da norwegian=no
    norsk=no finnish=fi suomi=fi polish=pl polski=pl czech=cs čeština=cs slovak=sk hungarian=hu magyar=hu romanian=ro bulgarian=bg
    greek=el turkish=tr türkçe=tr russian=ru русский=ru ukrainian=uk arabic=ar hebrew=he persian=fa farsi=fa hindi=hi bengali=bn
    urdu=ur tamil=ta thai=th vietnamese=vi indonesian=id malay=ms chinese=zh mandarin=zh japanese=ja korean=ko swahili=sw catalan=ca
    croatian=hr serbian=sr slovenian=sl estonian=et latvian=lv lithuanian=lt irish=ga welsh=cy icelandic=is
    jp=ja cn=zh cz=cs dk=da gr=el ua=uk""".split()
)
"""Names of languages, and codes of countries, that are sent in place of a tag."""


def check_language_tag(tag: str) -> str:
    """Return a tag that is well-formed, and whose language is known where it has two letters.

    Raises:
        PydanticCustomError: it is no such tag; the fix names the one that was probably meant.
    """
    primary, _, _ = tag.partition("-")
    known = len(primary) != 2 or primary.lower() in _TWO_LETTERS
    if known and len(tag) <= MAX_LENGTH and _WELL_FORMED.fullmatch(tag):
        return tag
    near = probable_tag(tag[:MAX_LENGTH])
    raise broken_rule("is not a BCP 47 language tag", f"did you mean '{near}'? {EXAMPLE_FIX}" if near else EXAMPLE_FIX)


def probable_tag(tag: str) -> str | None:
    """Return the tag that was probably meant by what is none, such as a language's name; None where that is not plain."""
    written = tag.strip().replace("_", "-")
    if meant := _MEANT.get(written.lower()):
        return meant
    primary, _, rest = written.partition("-")
    meant = _MEANT.get(primary.lower(), primary)
    near = f"{meant}-{rest}" if rest else meant
    if near == tag or (len(meant) == 2 and meant.lower() not in _TWO_LETTERS):
        return None
    return near if _WELL_FORMED.fullmatch(near) else None
