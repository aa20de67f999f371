"""The field by which the embedded index sorts: sorting takes one field, so it holds the time and, among equals, the id."""

YEAR_ONE = -62_135_596_800_000
"""The earliest moment an article can bear, in ms since 1970: sort keys count from it, so that they are never negative."""


def moment(at: int, article_id: str) -> str:
    """Return the sort key of an article published at a time in ms since 1970."""
    return f"{at - YEAR_ONE:016d}{article_id}"


def read_moment(key: str) -> tuple[int, str]:
    """Return time and id of a sort key."""
    return int(key[:16]) + YEAR_ONE, key[16:]
