"""The names of everything Newswire keeps in Redis, all under one namespace."""

from dataclasses import dataclass

INGEST_SCHEMA = 1
"""Schema number written with every record, so that a later release can tell old ones apart."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Names under one ``NEWSWIRE_NAMESPACE``; two namespaces never share a key."""

    namespace: str

    def key(self, *parts: str) -> str:
        """Return ``namespace:part:part…``."""
        return ":".join((self.namespace, *parts))

    @property
    def stream(self) -> str:
        """The stream of article events."""
        return self.key("stream", "articles")

    @property
    def outcomes(self) -> str:
        """The stream on which search and notify say what they did."""
        return self.key("stream", "outcomes")

    @property
    def articles(self) -> str:
        """Sorted set of all article ids, scored by the time of their creation in ms."""
        return self.key("articles")

    def article(self, article_id: str) -> str:
        """Hash: the head of an article."""
        return self.key("article", article_id)

    def version(self, article_id: str, version: int) -> str:
        """Hash: one immutable version document."""
        return self.key("article", article_id, "v", str(version))

    def external(self, publisher: str) -> str:
        """Hash: a publisher's external ids, each to its article id."""
        return self.key("external", publisher)

    def checkpoint(self, group: str) -> str:
        """String: the last stream id that a consumer group has wholly handled."""
        return self.key("checkpoint", group)

    def dead_letters(self, group: str) -> str:
        """Stream: the entries that a consumer group could not handle."""
        return self.key("dead-letters", group)

    def dead_letters_of(self, article_id: str) -> str:
        """Set: ``group entry-id`` of the dead letters that hold text of an article."""
        return self.key("article", article_id, "dead-letters")
