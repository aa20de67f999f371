"""Markdown with front matter, as Hugo, Jekyll, Eleventy and Pelican keep it: YAML or TOML above CommonMark with tables."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import frontmatter
import yaml
from frontmatter.default_handlers import BaseHandler, YAMLHandler
from markdown_it import MarkdownIt

from newswire_cli.importing.sources import Source
from newswire_cli.importing.stories import Found, Skipped, Story, Unreadable

LARGEST_FRONT_MATTER = 65_536
"""Characters."""
_HEADING = re.compile(r"\A\s*#[ \t]+(.+?)[ \t#]*(?:\n|\Z)")


class _Yaml(YAMLHandler):
    def load(self, fm: str, **_: object) -> Any:
        # The C loader, which is the library's choice, ends the process on deep nesting; this one raises RecursionError.
        return super().load(fm, Loader=yaml.SafeLoader)


class _Toml(BaseHandler):
    FM_BOUNDARY = re.compile(r"^\+{3}\s*$", re.MULTILINE)
    START_DELIMITER = END_DELIMITER = "+++"

    def load(self, fm: str) -> dict[str, Any]:
        return tomllib.loads(fm)


def read(source: Source) -> Iterator[Found]:
    """Read one article; its path in the folder is its ``external_id`` where the front matter names none."""
    members, content = _split(source.whole().decode("utf-8-sig").replace("\r\n", "\n"))
    if members.get("draft") is True or str(members.get("status", "published")).lower() != "published":
        yield Skipped(source.name, 1, "is a draft")
        return
    title = _one(members, "title")
    if not title and (heading := _HEADING.match(content)):
        title, content = heading[1], content[heading.end() :]
    categories = _several(members, "category", "categories", "section")
    draft = {
        "title": title,
        "body": MarkdownIt("commonmark").enable("table").render(content),
        "summary": _one(members, "summary", "description", "excerpt"),
        "authors": _several(members, "author", "authors"),
        "category": categories[0] if categories else "",
        "topics": [*categories[1:], *_several(members, "tags", "topics", "keywords")],
        "language": _one(members, "lang", "language"),
        "published_at": members.get("date") or members.get("published") or members.get("pubDate"),
        "external_id": _one(members, "external_id", "guid", "id")
        or PurePath(source.relative).with_suffix("").as_posix(),
        "canonical_url": _one(members, "canonical_url", "canonical"),
        "image": _image(_one(members, "image", "cover", "featured_image", "thumbnail")),
    }
    yield Story(source.name, 1, draft)


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
    if end is None or end.start() > LARGEST_FRONT_MATTER:
        raise Unreadable(f"its front matter does not end within {LARGEST_FRONT_MATTER:,} characters", 1)
    try:
        members, text = frontmatter.parse(content, handler=handler())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unreadable(f"its front matter is no YAML: {error.problem}", line) from None
    except RecursionError:
        raise Unreadable("its front matter is nested too deeply", 1) from None
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise Unreadable(f"its front matter cannot be read: {error}", 1) from None
    return members, text


def _one(members: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if isinstance(value := members.get(name), str | int | float)), "")


def _several(members: Mapping[str, Any], *names: str) -> list[str]:
    """Return the values of the first member there is; a string may list several, parted by commas."""
    for name in names:
        value = members.get(name)
        if isinstance(value, str):
            return [part.strip() for part in value.split(",")]
        if isinstance(value, list):
            return [_name(part) for part in value]
        if isinstance(value, dict):
            return [_name(value)]
    return []


def _name(value: Any) -> str:
    value = value.get("name", "") if isinstance(value, dict) else value
    return str(value) if isinstance(value, str | int | float) else ""


def _image(address: str) -> dict[str, str] | None:
    return {"url": address} if address.startswith(("http://", "https://")) else None
