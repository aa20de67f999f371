"""The names of all Redis keys of Newswire, under one namespace."""

from dataclasses import dataclass

from newswire.key_families import KeyFamily

INGEST_SCHEMA = 1
"""Schema number of every record, so that a later release recognises old ones."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Names under one ``NEWSWIRE_NAMESPACE``; two namespaces never share a key."""

    namespace: str

    def key(self, *parts: str) -> str:
        """Return ``namespace:part:part…``."""
        return ":".join((self.namespace, *parts))

    @property
    def deliveries(self) -> "Keyspace":
        """The names of the keys of subscriptions and deliveries, in the Redis of the deliveries.

        They share a hash tag, so that a Redis Cluster keeps them on one node, as their functions require. A namespace that is
        a hash tag itself has all keys on one node.
        """
        return Keyspace(f"{self.namespace}:deliveries" if self.in_one_slot else f"{{{self.namespace}}}")

    @property
    def in_one_slot(self) -> bool:
        """Whether the namespace is a hash tag, so that a Redis Cluster keeps all keys in one slot."""
        return self.namespace.startswith("{")

    @property
    def replication(self) -> str:
        """What replicas must have received: a Pub/Sub channel; in a cluster a string."""
        return self.key("replication")

    @property
    def stream(self) -> str:
        """The stream of article events."""
        return self.key("stream", "articles")

    @property
    def trimmed(self) -> str:
        """String: the id of the newest entry that was trimmed from the stream of article events."""
        return self.key("trimmed")

    @property
    def outcomes(self) -> str:
        """The stream of outcomes from search and notify."""
        return self.key("stream", "outcomes")

    @property
    def audit_log(self) -> str:
        """The stream of the audit log (`newswire.observability.audit`)."""
        return self.key("audit")

    def authentication_burst(self, client: str) -> str:
        """String, for a minute: the audit log already has an entry about the failed authentication of this client network."""
        return self.key("authentication-burst", client)

    @property
    def articles(self) -> str:
        """Sorted set of all article ids, scheduled and retracted ones too, scored by the time of their creation in ms."""
        return self.key("articles")

    def articles_of(self, publisher: str, status: str) -> str:
        """Sorted set, in the order of the ids and so of creation: a publisher's articles of one status."""
        return self.key("articles", status, publisher)

    @property
    def due(self) -> str:
        """Sorted set of the ids of scheduled articles, scored by the time at which each is to be published in ms."""
        return self.key("due")

    def article(self, article_id: str) -> str:
        """Hash: the state of an article."""
        return self.key("article", article_id)

    def scheduled(self, article_id: str) -> str:
        """Hash: version 1 of a scheduled article; deleted when it is published."""
        return self.key("article", article_id, "scheduled")

    def version(self, article_id: str, version: int) -> str:
        """Hash: one immutable version document."""
        return self.key("article", article_id, "v", str(version))

    def external(self, publisher: str) -> str:
        """Hash: a publisher's external ids, each with its article id."""
        return self.key("external", publisher)

    def checkpoint(self, group: str) -> str:
        """String: the last stream id up to which a consumer group has handled all entries."""
        return self.key("checkpoint", group)

    def dead_letters(self, group: str) -> str:
        """Stream: the entries that a consumer group could not handle."""
        return self.key("dead-letters", group)

    def dead_letters_of(self, article_id: str) -> str:
        """Set: ``group entry-id`` of the dead letters that contain text of an article."""
        return self.key("article", article_id, "dead-letters")

    @property
    def unindexed_retractions(self) -> str:
        """Sorted set: ``id.version`` of the retractions that the index does not reflect yet, scored by their time in ms."""
        return self.key("unindexed-retractions")

    @property
    def last_erasure(self) -> str:
        """String: the time of the last erasure of text, in ms of the records' Redis (`newswire.storage.disk_erasure`)."""
        return self.key("last-erasure")

    def disk_erasure(self, store: str) -> str:
        """Hash: the last erasure that a rewrite of a server's append-only file covered, and the first one that is not covered."""
        return self.key("disk-erasure", store)

    @property
    def archive_erasures(self) -> str:
        """Sorted set: the retracted articles whose texts are to be deleted from the archive, scored by when to do so, in ms."""
        return self.key("archive", "erasures")

    @property
    def archive_totals(self) -> str:
        """Hash: how many documents are in the archive, and their bytes."""
        return self.key("archive", "totals")

    @property
    def public_newsletters(self) -> str:
        """Hash: slug to a newsletter that takes sign-ups; notify writes it for the reader site (`newswire.newsletters`)."""
        return self.key("newsletters")

    @property
    def token_secret(self) -> str:
        """String: the signing secret of cursors and stream tokens, generated when first needed."""
        return self.key("token-secret")

    @property
    def reindex(self) -> str:
        """Hash: the progress of a reindex; exists only while one is running."""
        return self.key("reindex")

    @property
    def complete_indexes(self) -> str:
        """Set: the identities of the indexes that contain every stored article."""
        return self.key("index", "complete")

    @property
    def index_repair_queue(self) -> str:
        """Set: ids of articles whose index entry search has to repair from the records."""
        return self.key("index", "repair")


FAMILIES = (
    KeyFamily(
        "stream:articles",
        "stream",
        "the article events",
        "`NEWSWIRE_STREAM_RETENTION`, and until every group handled them",
    ),
    KeyFamily(
        "stream:outcomes",
        "stream",
        "the outcomes from search and notify",
        "10 minutes, and until its group handled them",
    ),
    KeyFamily("trimmed", "string", "the id of the newest trimmed article event", "no expiry"),
    KeyFamily("trimmed:<stream>", "string", "the same of another stream", "no expiry"),
    KeyFamily(
        "checkpoint:<group>", "string", "the stream id up to which a consumer group has handled everything", "no expiry"
    ),
    KeyFamily(
        "dead-letters:<group>",
        "stream",
        "the entries that a consumer group could not handle",
        "until retried or dropped",
    ),
    KeyFamily(
        "article:<article>:dead-letters",
        "set",
        "which dead letters hold text of an article",
        "until the article is retracted",
    ),
    KeyFamily("account:<account>", "hash", "an account, its limits and its entitlement", "no expiry"),
    KeyFamily("accounts", "zset", "the names of all accounts, in their order", "no expiry"),
    KeyFamily("account-forms", "hash", "the folded names of all accounts, each to the name", "no expiry"),
    KeyFamily(
        "accounts:changes", "stream", "changes of access, for the processes that follow them", "the newest 10,000"
    ),
    KeyFamily("accounts:changed", "string", "the number of the last change of access", "no expiry"),
    KeyFamily("key:<key>", "hash", "an API key: its account, scopes and hash", "no expiry, also after it is revoked"),
    KeyFamily("keys:all", "zset", "the ids of all API keys, in the order of their creation", "no expiry"),
    KeyFamily("keys:of:<account>", "zset", "the ids of an account's API keys", "no expiry"),
    KeyFamily("user:<user>", "hash", "a user: name, address, roles, hash of the password", "until the user is deleted"),
    KeyFamily("users", "zset", "the ids of all users, in the order of their creation", "no expiry"),
    KeyFamily("users:of:<account>", "zset", "the ids of an account's users", "no expiry"),
    KeyFamily("user-emails", "hash", "the folded e-mail addresses of all users, each to the id", "no expiry"),
    KeyFamily("sessions:of:<user>", "zset", "the ids of a user's sessions, by their start", "30 days"),
    KeyFamily(
        "session:<session>",
        "hash",
        "a browser in which a user is signed in; with the ID token, if a provider vouched for the user",
        "7 days after its last use",
    ),
    KeyFamily(
        "passkeys:of:<user>",
        "hash",
        "a user's passkeys: public key, counter, name",
        "until they or the user are removed",
    ),
    KeyFamily("passkey-challenge:<challenge>", "string", "a challenge for a passkey was used", "10 minutes"),
    KeyFamily(
        "identities", "hash", "people of OpenID providers, hashed, each to the user", "until the user is deleted"
    ),
    KeyFamily("identities:of:<user>", "hash", "issuers, each with the subject that a user is", "the same"),
    KeyFamily(
        "sign-in-attempt:<attempt>", "string", "a sign-in with an OpenID provider", "10 minutes, or until it is used"
    ),
    KeyFamily("sign-in-attempts:<counter>", "string", "how many of these were begun", "15 minutes"),
    KeyFamily("one-time-link:<link>", "string", "what a link grants once", "15 minutes to 7 days, or until it is used"),
    KeyFamily(
        "user-mails", "zset", "the mails to users that wait, by when each is due", "until sent, at most 24 hours"
    ),
    KeyFamily("password-mails:<counter>", "string", "how many new passwords were asked for by mail", "1 hour"),
    KeyFamily("sign-in-failures:<counter>", "string", "how many sign-ins failed", "15 minutes to 1 hour"),
    KeyFamily("audit", "stream", "the audit log", "`NEWSWIRE_AUDIT_RETENTION`"),
    KeyFamily("settings", "hash", "settings whose changes the audit log records", "no expiry"),
    KeyFamily(
        "authentication-burst:<client>",
        "string",
        "the audit log has an entry about failures of this network",
        "1 minute",
    ),
    KeyFamily(
        "token-secret",
        "string",
        "the signing secret of cursors and stream tokens, unless a setting holds it",
        "no expiry",
    ),
    KeyFamily("last-erasure", "string", "the time of the last erasure of text", "no expiry"),
    KeyFamily("disk-erasure:records", "hash", "up to which erasure the append-only file was rewritten", "no expiry"),
    KeyFamily("disk-erasure:records:lease", "string", "a process rewrites the append-only file", "1 hour"),
    KeyFamily("unindexed-retractions", "zset", "the retractions that the index does not show yet", "until it does"),
    KeyFamily("index:repair", "set", "the articles whose index entry is to be repaired", "until it is"),
    KeyFamily(
        "replication", "string", "nothing; in a cluster, replicas must have received its last write", "no expiry"
    ),
    KeyFamily(
        "never-stored",
        "string",
        "nothing: functions name it so that a slot that is being moved refuses them",
        "never stored",
    ),
)
"""The keys that several services use."""
