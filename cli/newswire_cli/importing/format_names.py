"""The names of the import formats. `--help` needs them before anything heavy is imported."""

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
