"""The texts of the workspace in four languages: `texts/*.json` here, and in the packages of further pages."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import orjson

LANGUAGES = ("en", "de", "fr", "es")
_MAX_HEADER_CHARS = 500


@cache
def texts(language: str, package: str | None = None) -> Mapping[str, str]:
    """Return the texts in one of the `LANGUAGES`: those of the workspace, and those that a package adds."""
    found: dict[str, str] = orjson.loads(files(__package__).joinpath("texts", f"{language}.json").read_bytes())
    added = files(package).joinpath("texts", f"{language}.json") if package else None
    if added is not None and added.is_file():
        found |= orjson.loads(added.read_bytes())
    return found


def preferred_language(accept_language: str) -> str:
    """Return the language for a browser by its ``Accept-Language`` (RFC 9110, section 12.5.4); English if it asks for none."""
    wanted: list[tuple[float, str]] = []
    for part in accept_language[:_MAX_HEADER_CHARS].split(","):
        tag, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES and 0 < weight <= 1:
            wanted.append((-weight, language))
    return min(wanted, key=lambda each: each[0])[1] if wanted else "en"
