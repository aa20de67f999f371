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


class ExportFormat(StrEnum):
    """What can be exported: articles as the API answers them, or IPTC's ninjs."""

    NDJSON = "ndjson"
    NINJS = "ninjs"
