"""The Redis keys that only ingest writes."""

from newswire.key_families import KeyFamily

FAMILIES = (
    KeyFamily("articles", "zset", "the ids of all articles, scored by their creation", "until an article is cancelled"),
    KeyFamily(
        "articles:<status>:<account>", "zset", "a publisher's articles of one status", "until an article is cancelled"
    ),
    KeyFamily("article:<article>", "hash", "the state of an article; of a retracted one, the tombstone", "no expiry"),
    KeyFamily("article:<article>:v:<version>", "hash", "one immutable version", "until the article is retracted"),
    KeyFamily(
        "article:<article>:scheduled", "hash", "version 1 of a scheduled article", "until it is published or cancelled"
    ),
    KeyFamily(
        "due", "zset", "the scheduled articles, scored by their due time", "until an article is published or cancelled"
    ),
    KeyFamily("external:<account>", "hash", "a publisher's external ids, each to its article", "no expiry"),
    KeyFamily(
        "idempotency:<digest>",
        "hash",
        "a request with an `Idempotency-Key`, and its article",
        "`NEWSWIRE_IDEMPOTENCY_LIFETIME`",
    ),
    KeyFamily("rate:<key>", "string", "when the token bucket of an API key or a user is full", "until it is full"),
    KeyFamily("quota:<account>:<date>", "string", "an account's new articles of a day", "2 days"),
    KeyFamily(
        "labels:category", "zset", "the spellings of categories, scored by their articles", "while an article has it"
    ),
    KeyFamily("labels:topic", "zset", "the spellings of topics, scored by their articles", "while an article has it"),
    KeyFamily(
        "labels:forms:<kind>", "zset", "the folded forms of labels, scored by their articles", "while an article has it"
    ),
    KeyFamily(
        "labels:spelled:<kind>", "zset", "folded forms with their spellings, in their order", "while an article has it"
    ),
    KeyFamily(
        "labels:of:<account>", "hash", "how an account spells its labels", "while it has an article with the label"
    ),
    KeyFamily("media:file:<file>", "hash", "a stored image: its format, size and folder", "while an account has it"),
    KeyFamily("media:owners:<file>", "set", "the accounts that uploaded an image", "while an account has it"),
    KeyFamily("media:item:<file>:<account>", "hash", "what an account says about its image", "until it is removed"),
    KeyFamily("media:uses:<file>:<account>", "set", "the articles and drafts that use an image", "while there are any"),
    KeyFamily(
        "media:of:<account>", "zset", "an account's images, by the time of their upload", "until they are removed"
    ),
    KeyFamily("media:bytes", "hash", "accounts, each to the bytes of its images", "while it has one"),
    KeyFamily("media:used:<use>", "set", "the images that an article or a draft uses", "until it is withdrawn"),
    KeyFamily(
        "media:unused", "zset", "the images that nothing uses, by the time since when", "until one is used or removed"
    ),
    KeyFamily("media:variants", "zset", "the images whose variants are to be made", "until they are made"),
    KeyFamily("media:removals", "zset", "what is to be deleted from the folder or the bucket", "until it is deleted"),
    KeyFamily(
        "archive:erasures", "zset", "the retracted articles to be deleted from the archive, by when", "until they are"
    ),
    KeyFamily("archive:writing", "zset", "the articles that a process archives, by the end of its lease", "2 minutes"),
    KeyFamily("archive:totals", "hash", "how many documents are in the archive, and their bytes", "no expiry"),
    KeyFamily("archive:owner", "string", "the id of this installation, which the archive's marker names", "no expiry"),
    KeyFamily("archive:pass", "hash", "how far the search for old versions is, or when it ended", "no expiry"),
    KeyFamily(
        "archive:lease", "string", "the process that searches for old versions", "1 minute, extended while it does"
    ),
    KeyFamily("labels:merged", "hash", "the labels that operators merged", "no expiry"),
    KeyFamily("labels:merged:<account>", "hash", "the labels that an account merged for itself", "no expiry"),
    KeyFamily(
        "draft:<draft>",
        "hash",
        "a draft with its revisions and its history",
        "until it is erased after it was discarded",
    ),
    KeyFamily(
        "drafts:of:<account>", "zset", "the ids of an account's drafts, scored by their last change", "while it has one"
    ),
    KeyFamily("drafts:discarded", "zset", "the ids of discarded drafts, scored by that time", "while there is one"),
    KeyFamily("drafts:articles:<account>", "hash", "articles, each to the draft that edits it", "while it has one"),
    KeyFamily("drafts:bytes:<account>", "string", "the bytes that an account's drafts take", "no expiry"),
    KeyFamily("preview:<digest>", "string", "an article that is not published, for the link to its preview", "1 hour"),
    KeyFamily("import:<import>", "hash", "an import of the desk and how far it is", "`NEWSWIRE_IMPORT_RETENTION`"),
    KeyFamily("imports:of:<account>", "zset", "an account's imports, by the time of their upload", "while it has one"),
    KeyFamily("imports:all", "zset", "all imports, by the time of their upload", "while there is one"),
    KeyFamily("imports:due", "zset", "imports to work on, by the time; that of a claim's end", "while there is one"),
    KeyFamily("outcome:<event>", "hash", "what became of an event: search, recipients, deliveries", "30 days"),
)
