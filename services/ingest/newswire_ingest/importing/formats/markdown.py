"""Reads Markdown with front matter of Hugo, Jekyll, Eleventy and Pelican: YAML or TOML, then CommonMark with tables."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import BaseHandler, YAMLHandler
from markdown_it import MarkdownIt

from newswire_ingest.importing.decoding import noted_text_of
from newswire_ingest.importing.formats.markdown_tags import without_tags
from newswire_ingest.importing.input_files import InputFile
from newswire_ingest.importing.links import resolved
from newswire_ingest.importing.models import SkippedItem, SourceArticle, SourceItem, UnreadableSourceError

MAX_FRONT_MATTER_CHARACTERS = 65_536
"""Longer front matter is rejected."""
_DATED_NAME = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[-_]|$)")
_DATED_ADDRESS = re.compile(r"(?:^|/)((?:19|20)\d\d)/(0?[1-9]|1[0-2])/(0?[1-9]|[12]\d|3[01])(?=/|$)")
_SLUGS = re.compile(r"[a-z0-9_-]+(?: [a-z0-9_-]+)*")
_HEADING = re.compile(r"\A\s*#[ \t]+(.+?)[ \t#]*(?:\n|\Z)")


class _Loader(yaml.SafeLoader):
    """Reads invalid dates and oversized numbers as text, such as ``2026-02-30`` or a number of 5,000 digits."""


def _or_text(construct: Callable[[yaml.SafeLoader, yaml.ScalarNode], Any]) -> Callable[[_Loader, yaml.ScalarNode], Any]:
    def constructed(loader: _Loader, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, OverflowError):
            return loader.construct_scalar(node)

    return constructed


for _kind in ("timestamp", "int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _or_text(getattr(yaml.SafeLoader, f"construct_yaml_{_kind}")))


class _Yaml(YAMLHandler):
    def load(self, fm: str, **_: object) -> Any:
        # The C loader, the default of the library, ends the process on deep nesting; this one raises RecursionError.
        return super().load(fm, Loader=_Loader)


class _Toml(BaseHandler):
    FM_BOUNDARY = re.compile(r"^\+{3}\s*$", re.MULTILINE)
    START_DELIMITER = END_DELIMITER = "+++"

    def load(self, fm: str) -> dict[str, Any]:
        return tomllib.loads(fm)


def read(source: InputFile) -> Iterator[SourceItem]:
    """Read one article; its path in the folder is its ``external_id`` if the front matter has none."""
    text, remarks = noted_text_of(source.whole())
    members, content = _split(text.replace("\r\n", "\n"))
    members = {str(name).lower(): value for name, value in members.items()}
    path = PurePath(source.relative)
    if reason := _not_public(members, path):
        yield SkippedItem(source.name, 1, reason)
        return
    content, notes = without_tags(content)
    notes = [*remarks, *notes]
    title = _one(members, "title")
    if not title and (heading := _HEADING.match(content)):
        title, content = heading[1], content[heading.end() :]
    categories, topics = _labels(members, path)
    canonical = _one(members, "canonical_url", "canonical", "canonicalurl")
    image = _one(members, "image", "cover", "featured_image", "thumbnail") or _one(_inside(members, "cover"), "image")
    picture = resolved(image, canonical) if image else ""
    if image and not picture.startswith("http"):
        notes.append(f"the image {image[:60]!r} has a relative address: omitted")
    draft = {
        "title": title,
        "body": MarkdownIt("commonmark").enable("table").render(content),
        "summary": _one(members, "summary", "description", "excerpt"),
        "authors": _several(members, "author", "authors"),
        "category": categories[0] if categories else "",
        "topics": [*categories[1:], *topics],
        "language": _one(members, "lang", "language"),
        "published_at": _dates(members, path),
        "embargo_until": _later(members),
        "external_id": _one(members, "external_id", "guid", "id") or path.with_suffix("").as_posix(),
        "canonical_url": canonical,
        "image": {"url": picture} if picture.startswith("http") else None,
    }
    yield SourceArticle(source.name, 1, draft, tuple(notes), base=canonical, expires=members.get("expirydate"))


def _not_public(members: Mapping[str, Any], path: PurePath) -> str:
    """Return why an article is not public, or ""; each generator has its own way of marking it."""
    status = str(members.get("status", "published")).strip().lower()
    visibility = str(members.get("visibility", "public")).strip().lower()
    if _is(members.get("draft"), True) or status == "draft" or "_drafts" in path.parts:
        return "is a draft"
    if status not in ("published", "publish", "public", "live") and status:
        return f"is not published but '{status[:40]}'"
    if _is(members.get("published"), False) or _is(members.get("publish"), False):
        return "is not published"
    if visibility not in ("public", ""):
        return f"is not public but '{visibility[:40]}'"
    if members.get("password") not in (None, "", False):
        return "is protected by a password"
    build = _inside(members, "build") or _inside(members, "_build")
    if any(_is(members.get(name), True) for name in ("private", "unlisted", "headless")):
        return "is not public"
    if _is(members.get("permalink"), False) or _is(build.get("render"), False) or build.get("render") == "never":
        return "is not rendered as a page"
    return ""


def _is(value: Any, wanted: bool) -> bool:
    """Return whether a value equals a boolean, which may be written as a text or a number."""
    written = str(value).strip().lower()
    return written in (("true", "yes", "on", "1", "y") if wanted else ("false", "no", "off", "0", "n", "never"))


def _dates(members: Mapping[str, Any], path: PurePath) -> list[Any]:
    """Return all candidates for the date of an article, best first."""
    found = [members.get(name) for name in ("date", "published", "pubdate", "publishdate", "published_at", "created")]
    found += [_date_in_address(members, path), members.get("lastmod"), members.get("updated")]
    return [value for value in found if value not in (None, "") and not isinstance(value, bool)]


def _date_in_address(members: Mapping[str, Any], path: PurePath) -> str | None:
    """Return the date that Jekyll, Zola and Hugo take from the name of a file or a folder, or that an address is made of."""
    named = _DATED_NAME.match(path.parent.name if path.stem in ("index", "_index") else path.name)
    if named:
        return named[0].rstrip("-_")
    for address in (*(_one(members, name) for name in ("path", "permalink", "url", "slug")), path.as_posix()):
        if dated := _DATED_ADDRESS.search(address):
            return "-".join(dated.groups())
    return None


def _later(members: Mapping[str, Any]) -> Any:
    """Return when the article is to be published, if that differs from its date."""
    names = ("publishdate", "publish_date", "embargo", "embargo_until", "go_live")
    return next((value for name in names if (value := members.get(name)) not in (None, "")), None)


def _labels(members: Mapping[str, Any], path: PurePath) -> tuple[list[str], list[str]]:
    """Return categories and topics. Jekyll separates them by spaces, and also takes categories from folders above `_posts`."""
    spaced = _lists_words(members, path)
    categories = _several(members, "category", spaced=False) or _several(
        members, "categories", "section", spaced=spaced
    )
    if "_posts" in path.parts:
        categories += [part for part in path.parts[: path.parts.index("_posts")] if part not in categories]
    return categories, _several(members, "tags", "topics", "keywords", spaced=spaced)


def _lists_words(members: Mapping[str, Any], path: PurePath) -> bool:
    """Return whether a string is a list of single words, as in Jekyll, rather than one name of several words."""
    if "layout" in members or "_posts" in path.parts or _DATED_NAME.match(path.name):
        return True
    values = [value for name in ("categories", "tags") if isinstance(value := members.get(name), str)]
    return all(_SLUGS.fullmatch(value) for value in values)


def _inside(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _split(content: str) -> tuple[Mapping[str, Any], str]:
    handler = next(
        (
            handler
            for mark, handler in (("---", _Yaml), ("+++", _Toml))
            if re.match(rf"{re.escape(mark)}\s*\n", content)
        ),
        None,
    )
    if handler is None:
        return {}, content
    end = handler.FM_BOUNDARY.search(content, 3) if handler.FM_BOUNDARY else None
    if end is None or end.start() > MAX_FRONT_MATTER_CHARACTERS:
        raise UnreadableSourceError(
            f"its front matter does not end within {MAX_FRONT_MATTER_CHARACTERS:,} characters", 1
        )
    try:
        members, text = frontmatter.parse(content, handler=handler())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnreadableSourceError(f"its front matter is not valid YAML: {error.problem}", line) from None
    except RecursionError:
        raise UnreadableSourceError("its front matter is nested too deeply", 1) from None
    except (
        yaml.YAMLError,
        ValueError,
    ) as error:  # raised by the TOML parser, or for numbers that are too long for Python
        raise UnreadableSourceError(f"its front matter cannot be read: {error}", 1) from None
    return members, text


def _one(members: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if isinstance(value := members.get(name), str | int | float)), "")


def _several(members: Mapping[str, Any], *names: str, spaced: bool = False) -> list[str]:
    """Return the values of the first member that exists; a string may be a list, separated by commas, or else by spaces."""
    for name in names:
        value = members.get(name)
        if isinstance(value, str):
            parts = value.split(",") if "," in value or not spaced else value.split()
            return [part.strip() for part in parts if part.strip()]
        if isinstance(value, list):
            return [_name(part) for part in value]
        if isinstance(value, dict):
            return [_name(value)]
    return []


def _name(value: Any) -> str:
    value = value.get("name", "") if isinstance(value, dict) else value
    return str(value) if isinstance(value, str | int | float) else ""
