"""The names of the import formats, in a module of their own: `--help` needs them, and must not import heavy libraries."""

from enum import StrEnum


class FormatName(StrEnum):
    """The formats that can be imported."""

    WORDPRESS = "wordpress"
    FEED = "feed"
    NINJS = "ninjs"
    NITF = "nitf"
    NEWSML = "newsml"
    MARKDOWN = "markdown"
    HTML = "html"
    NDJSON = "ndjson"
