"""The look of the site as its owner wants it: colours, logo, icon, files, and templates that replace others."""

import mimetypes
import re
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from newswire.http.templating import add_asset_content
from newswire.site.colours import Palette
from newswire.site.settings import SiteSettings

MAX_FILE_BYTES = 5 * 1024 * 1024
OWN_STYLE_SHEET = "theme.css"
"""In the theme's ``static``: linked by every page after the style sheet of the site."""
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".woff2": "font/woff2",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class ThemeError(ValueError):
    """A theme folder that cannot be used; the message names the file."""


class Theme:
    """The addresses of what a theme consists of."""

    def __init__(self, settings: SiteSettings) -> None:
        """Read the files of a theme.

        Raises:
            ThemeError: one of them cannot be served.
        """
        self._settings = settings
        self._files = {path.name: _serve(path) for path in _own_files(settings.static_folder)}
        styles = _colours(settings) + files(__package__).joinpath("assets", "site.css").read_text("utf-8")
        self.style_sheet = add_asset_content("site.css", styles.encode(), "text/css; charset=utf-8")
        self.own_style_sheet = self._files.get(OWN_STYLE_SHEET)
        self.logo = self._picture(settings.site_logo)
        self.social_image = self._picture(settings.site_social_image)
        self.icon = self._picture(settings.site_favicon) or add_asset_content(
            "icon.svg", _letter_icon(settings).encode(), "image/svg+xml"
        )

    def static(self, name: str) -> str:
        """Return the address of a file in the theme's ``static``: what templates call.

        Raises:
            ThemeError: there is no such file.
        """
        if name not in self._files:
            raise ThemeError(f"there is no file {self._settings.static_folder / name}")
        return self._files[name]

    @property
    def live_origin(self) -> str | None:
        """The origin of the live stream, if it is another one than the site's."""
        parts = urlsplit(self._settings.site_live_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else None

    def _picture(self, value: str) -> str | None:
        if not value:
            return None
        return value if value.startswith("https://") else self.static(value)


def _own_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _serve(path: Path) -> str:
    media_type = _MEDIA_TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    if media_type is None or not _PLAIN_NAME.fullmatch(path.name):
        raise ThemeError(f"{path}: its name must be of letters, digits, '.', '-' and '_', and end in a known extension")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ThemeError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes")
    return add_asset_content(path.name, path.read_bytes(), media_type)


def _colours(settings: SiteSettings) -> str:
    light, dark = settings.palette_of("light"), settings.palette_of("dark")
    return f":root{{{_properties(light)}}}@media (prefers-color-scheme:dark){{:root{{{_properties(dark)}}}}}\n"


def _properties(colours: Palette) -> str:
    return ";".join(f"--{name.replace('_', '-')}:{value}" for name, value in asdict(colours).items())


def _letter_icon(settings: SiteSettings) -> str:
    colours = settings.palette_of("light")
    letter = escape(settings.site_name[:1].upper())
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<rect width="64" height="64" rx="12" fill="{colours.accent}"/>'
        f'<text x="32" y="46" font-family="Georgia,serif" font-size="42" font-weight="700" text-anchor="middle"'
        f' fill="{colours.on_accent}">{letter}</text></svg>'
    )
