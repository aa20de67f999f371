"""The settings of all pages for readers: the name of the site, its look and its language."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import DirectoryPath, Field, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from newswire.settings import Commas, Settings
from newswire.site.colours import Palette, palette

SITE_LANGUAGES = ("en", "de", "fr", "es")
STATIC_FOLDER = "static"
"""Of the theme folder: pictures, fonts and style sheets of the owner."""
DEFAULT_NAME = "Newswire"

_LANGUAGE = re.compile(rf"({'|'.join(SITE_LANGUAGES)})(-([A-Z]{{2}}|[0-9]{{3}}))?")
_OWN_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_TWITTER = re.compile(r"@[A-Za-z0-9_]{1,15}")

_Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\r\n]*$")]


class SiteSettings(Settings):
    """The settings of the reader site and of the pages of newsletters. Colours are written as ``#a3221f``."""

    site_name: Annotated[_Line, Field(min_length=1)] = DEFAULT_NAME
    site_tagline: _Line = ""
    """One sentence under the name, and the description of the front page for search engines."""
    site_language: str = "en"
    """The language of all that is not an article: en, de, fr or es, also with a region (en-US)."""
    site_sections: Annotated[list[str], NoDecode, Commas] = []
    """Categories in the navigation, in this order; by default the most frequent ones."""
    site_theme: DirectoryPath | None = None
    """A folder with templates that replace those of the site, and a folder ``static`` of files that they use."""
    site_logo: str = ""
    """An https address, or the name of a file in the theme's ``static``; shown in place of the name."""
    site_favicon: str = ""
    """As ``site_logo``; by default the first letter of the name."""
    site_social_image: str = ""
    """As ``site_logo``: what shared links to pages without an image show."""
    site_accent: str = "#9c1f1c"
    site_paper: str = "#ffffff"
    site_ink: str = "#1a1a1a"
    site_accent_dark: str = "#ff8f85"
    site_paper_dark: str = "#141517"
    site_ink_dark: str = "#e9e7e2"
    site_publisher: _Line = ""
    """The publishing house for search engines; by default the account that published an article."""
    site_twitter: str = ""
    """The account of the house on X, such as @example."""
    site_about: str = ""
    """Who publishes this site: plain text, paragraphs separated by blank lines."""
    site_imprint: str = ""
    """What the law of the house's country demands: plain text, paragraphs separated by blank lines."""
    site_live_url: str = "/v1/stream"
    """The live stream that pages listen to for new headlines; empty: pages do not update."""

    @field_validator("site_language")
    @classmethod
    def _known_language(cls, language: str) -> str:
        if not _LANGUAGE.fullmatch(language):
            raise ValueError(f"must be one of {', '.join(SITE_LANGUAGES)}, or one of them with a region such as en-US")
        return language

    @field_validator("site_logo", "site_favicon", "site_social_image")
    @classmethod
    def _picture(cls, value: str) -> str:
        if value and not value.startswith("https://") and not _OWN_FILE.fullmatch(value):
            raise ValueError(
                "must be an address that begins with https://, or the name of a file in the theme's static"
            )
        return value

    @field_validator("site_twitter")
    @classmethod
    def _twitter_account(cls, value: str) -> str:
        if value and not _TWITTER.fullmatch(value):
            raise ValueError("must be an account such as @example")
        return value

    @field_validator("site_live_url")
    @classmethod
    def _live_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"(https?://[^/\s;,?#'\"]+)?/[^\s;,?#'\"]*", value):
            raise ValueError("must be a path such as /v1/stream, or an https address without a query")
        return value

    @model_validator(mode="after")
    def _readable_colours(self) -> Self:
        for scheme, names in (
            ("light", ("site_paper", "site_ink", "site_accent")),
            ("dark", ("site_paper_dark", "site_ink_dark", "site_accent_dark")),
        ):
            try:
                palette(*(getattr(self, name) for name in names))
            except ValueError as error:
                variables = ", ".join(f"NEWSWIRE_{name.upper()}" for name in names)
                raise ValueError(f"the {scheme} colours ({variables}): {error}") from None
        return self

    @model_validator(mode="after")
    def _own_files_exist(self) -> Self:
        for name in ("site_logo", "site_favicon", "site_social_image"):
            value: str = getattr(self, name)
            if value and not value.startswith("https://") and not (self.static_folder / value).is_file():
                raise ValueError(f"NEWSWIRE_{name.upper()}: there is no file {self.static_folder / value}")
        return self

    @property
    def static_folder(self) -> Path:
        """The folder of the owner's files, which may not exist."""
        return (self.site_theme or Path()) / STATIC_FOLDER

    @property
    def publication(self) -> str | None:
        """The name of the publication for search engines, or None if the owner named none."""
        return self.site_publisher or (self.site_name if self.site_name != DEFAULT_NAME else None)

    def palette_of(self, scheme: Literal["light", "dark"]) -> Palette:
        """Return the colours of a scheme."""
        if scheme == "dark":
            return palette(self.site_paper_dark, self.site_ink_dark, self.site_accent_dark)
        return palette(self.site_paper, self.site_ink, self.site_accent)
