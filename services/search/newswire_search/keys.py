"""The Redis keys that only search writes."""

from newswire.key_families import KeyFamily

FAMILIES = (
    KeyFamily("reindex", "hash", "the progress of a reindex", "while it runs"),
    KeyFamily("reindex:lock", "string", "the process that reindexes", "12 seconds, extended while it does"),
    KeyFamily("index:complete", "set", "the identities of the indexes that contain every article", "no expiry"),
)
