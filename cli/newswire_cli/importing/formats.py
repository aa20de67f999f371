"""The formats' names; apart, for they are needed before anything heavy is imported."""

from enum import StrEnum


class FormatName(StrEnum):
    """What can be imported."""

    WORDPRESS = "wordpress"
    FEED = "feed"
    NINJS = "ninjs"
    NITF = "nitf"
    NEWSML = "newsml"
    MARKDOWN = "markdown"
    HTML = "html"
    NDJSON = "ndjson"
