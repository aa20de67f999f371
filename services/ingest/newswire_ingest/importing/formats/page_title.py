"""Chooses the title of a saved page among all its candidates."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from lxml import html

from newswire_ingest.importing.markup import plain

MAX_HEADLINE_CHARACTERS = 200
"""A longer headline is probably a description."""
_BAR = re.compile(r"\s+(?:\||::|»|«|•|·|\N{EM DASH}|\N{EN DASH}|-|:)\s+|\s*\|\s*")
_SURE = re.compile(r"\||::|»|«|•|·")
_OWN = (
    ".//article//h1 | .//main//h1 | .//*[@itemprop='headline']"
    " | .//h1[contains(@class, 'headline') or contains(@class, 'title')]"
)


def best_title(
    page: html.HtmlElement,
    linked: str,
    social: str,
    *,
    descriptions: Sequence[str],
    site: str,
    address: str,
    guessed: str,
) -> str:
    """Return the title.

    ``linked`` is the headline in JSON-LD, ``social`` that of Open Graph; the `descriptions` are never used as a title.
    """
    refused = {_key(each) for each in descriptions if each}
    whole = plain(page.findtext(".//title") or "")
    headings = [text for each in page.iter("h1") if (text := _text(each))]
    own = next((text for each in page.xpath(_OWN) if (text := _text(each)) and _are_similar(text, whole)), "")
    own = own or next((text for text in headings if _are_similar(text, whole)), "")
    own = own or next(
        (text for each in page.xpath(".//article//h1 | .//*[@itemprop='headline']") if (text := _text(each))), ""
    )
    own = own or ("" if whole else next(iter(headings), ""))
    named = without_site(whole, site, address, [linked, social, own])
    social = without_site(plain(social), site, address, [own, named])
    order = [plain(linked), own, social, named, plain(guessed)]
    usable = [each for each in order if each and _key(each) not in refused and len(each) <= MAX_HEADLINE_CHARACTERS]
    if not usable:
        return next((each for each in order if each), "")
    first = usable[0]
    others = [each for each in usable[1:] if not _are_similar(each, first)]
    stands_alone = len(others) == len(usable) - 1
    if first == order[0] and stands_alone and others and (len(others) > 1 or len(first) > 2 * len(others[0])):
        return others[0]
    return first


def without_site(title: str, site: str, address: str, others: Sequence[str]) -> str:
    """Return a page's title without the name of the site before or after it."""
    for _ in range(2):
        bars = list(_BAR.finditer(title))
        if not bars:
            break
        head, behind = title[: bars[-1].start()], title[bars[-1].end() :]
        before, tail = title[: bars[0].start()], title[bars[0].end() :]
        if _is_site(behind, site, address) or _key(head) in map(_key, others):
            title = head
        elif _is_site(before, site, address) or _key(tail) in map(_key, others):
            title = tail
        elif _SURE.search(bars[-1][0]) and len(behind.split()) <= 4 and len(head.split()) >= len(behind.split()):
            title = head
        else:
            break
    return title.strip()


def _is_site(part: str, site: str, address: str) -> bool:
    key = re.sub(r"\W+", "", _key(part))
    host = re.sub(r"\W+", "", (urlsplit(address).hostname or "").removeprefix("www."))
    return bool(key) and (key == re.sub(r"\W+", "", _key(site)) or (len(key) > 3 and host.startswith(key)))


def _are_similar(one: str, other: str) -> bool:
    """Return whether two titles share most words of the shorter one."""
    first, second = set(_key(one).split()), set(_key(other).split())
    return bool(first and second) and 2 * len(first & second) > min(len(first), len(second))


def _key(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]+", " ", text.casefold()).split())


def _text(element: html.HtmlElement) -> str:
    return " ".join(str(element.get("content") or element.text_content()).split())
