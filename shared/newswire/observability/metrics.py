"""The Prometheus metrics that services share. Names carry their unit, counters end in ``_total`` (`docs/operators/health.md`)."""

import platform
from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ROUND_TRIP_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

build_info = Gauge("newswire_build_info", "The release that runs; always 1", ["version", "python"])
build_info.labels(version("newswire"), platform.python_version()).set(1)

article_events = Counter("newswire_article_events_published", "Article events added to the stream", ["kind"])
idempotent_repeats = Counter(
    "newswire_idempotent_repeats", "Publishing requests answered as repeats of earlier requests"
)
scheduled_publication_delay = Histogram(
    "newswire_scheduled_publication_delay_seconds",
    "Time between the scheduled time of an article and its publication",
    buckets=_BUCKETS,
)

consumer_lag = Gauge("newswire_consumer_lag_entries", "Stream entries that a consumer group has not read", ["group"])
consumer_oldest_pending = Gauge(
    "newswire_consumer_oldest_pending_seconds", "Age of the oldest entry that is read but not acknowledged", ["group"]
)
consumer_handled = Counter(
    "newswire_consumer_handled_entries", "Entries that a consumer has handled or rejected", ["group"]
)
consumer_redelivered = Counter(
    "newswire_consumer_redelivered_entries", "Entries delivered again after their consumer stopped", ["group"]
)
consumer_skipped = Counter(
    "newswire_consumer_skipped_entries", "Entries of an event type that this release does not know", ["group"]
)
consumer_dead_lettered = Counter(
    "newswire_consumer_dead_lettered_entries", "Entries moved to the dead letters", ["group"]
)
dead_letters = Gauge("newswire_consumer_dead_letters", "Dead letters that wait for an operator", ["group"])
retention_overdue = Gauge(
    "newswire_stream_retention_overdue_seconds",
    "How long a slow group has delayed the trimming of a stream",
    ["stream"],
)
disk_erasure_overdue = Gauge(
    "newswire_disk_erasure_overdue_seconds",
    "How long the rewrite that removes erased text from the disk is overdue",
    ["store"],
)

indexed = Counter("newswire_indexed_documents", "Versions and tombstones written to the index")
publish_to_indexed = Histogram(
    "newswire_publish_to_indexed_seconds", "Time between publication and being searchable", buckets=_BUCKETS
)

deliveries = Counter("newswire_webhook_deliveries", "Webhook deliveries that ended", ["outcome"])
for _outcome in ("delivered", "dead"):
    deliveries.labels(_outcome)  # from 0 on: to `rate`, a series that begins with its first increment has not increased
publish_to_delivered = Histogram(
    "newswire_publish_to_delivered_seconds", "Time between publication and delivery", buckets=_BUCKETS
)
webhook_attempts = Histogram(
    "newswire_webhook_attempt_duration_seconds",
    "Time of an attempt to deliver a webhook, by the class of the status or the stage that failed",
    ["result"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
webhook_queue_age = Gauge(
    "newswire_webhook_queue_age_seconds", "How long the oldest endpoint with due deliveries has waited for a worker"
)
hub_pushes = Counter("newswire_hub_pushes", "Feeds that the WebSub hub sent or gave up", ["result"])
hub_verifications = Counter(
    "newswire_hub_verifications", "Requests to the WebSub hub that were verified or not", ["mode", "result"]
)
hub_subscriptions = Gauge("newswire_hub_subscriptions", "Subscriptions at the WebSub hub")
mails = Counter("newswire_mails", "Mails of newsletters by what came of an attempt", ["outcome"])
mail_server_up = Gauge(
    "newswire_mail_server_up",
    "Whether the last attempt reached the mail server and its login worked; 1 before the first",
)
mail_server_up.set(1)
mail_sender_refused = Counter(
    "newswire_mail_sender_refused", "Mails that a receiver refused because of their sender or content"
)
mail_domains_slowed = Gauge(
    "newswire_mail_domains_slowed",
    "Receiving domains that get less mail because they refused the sender or asked for it",
)
mail_reports = Counter("newswire_mail_reports", "Reports about mails of newsletters", ["kind"])
live_clients = Gauge("newswire_live_clients", "Open live streams and waiting pull requests")
live_disconnects = Counter("newswire_live_disconnects", "Live streams that the server closed", ["reason"])
live_entries = Counter(
    "newswire_live_entries",
    "Stream entries that the live stream got, from Redis or from the relay of its host",
    ["source"],
)
for _source in ("redis", "relay"):
    live_entries.labels(_source)
stream_relay_running = Gauge(
    "newswire_stream_relay_running", "Whether this process reads the stream for the notify processes of its host"
)
stream_relay_followers = Gauge(
    "newswire_stream_relay_followers", "Other processes of the host that get the stream from this one"
)
stream_relay_disconnects = Counter(
    "newswire_stream_relay_disconnects", "Connections between a relay and a follower that ended", ["reason"]
)
for _reason in ("silent", "gone", "broken", "behind", "too_slow"):
    stream_relay_disconnects.labels(_reason)  # at 0, so that the first one is an increase

check_up = Gauge("newswire_check_up", "Whether a check of `/status` passes", ["service", "check"])
loop_up = Gauge("newswire_loop_up", "Whether a background loop runs", ["service", "loop"])

http_requests = Counter("newswire_http_requests", "HTTP responses", ["service", "method", "route", "status"])
http_request_duration = Histogram(
    "newswire_http_request_duration_seconds",
    "Time to the first byte of the response",
    ["service", "method", "route"],
    buckets=_BUCKETS,
)
http_connections = Gauge("newswire_http_connections", "Open HTTP connections")
http_connections_closed = Counter(
    "newswire_http_connections_closed", "Connections that a limit closed or refused", ["reason"]
)
authentication_failures = Counter(
    "newswire_authentication_failures", "API keys and tokens that were rejected, or not looked up", ["result"]
)
reads_rejected = Counter("newswire_reads_rejected", "Read requests over a limit", ["limit", "client"])

redis_duration = Histogram(
    "newswire_redis_duration_seconds",
    "Time of a command or pipeline, from the call to the reply, except reads that wait for events",
    ["server"],
    buckets=_ROUND_TRIP_BUCKETS,
)
archive_reads = Counter(
    "newswire_archive_reads", "Documents that were read from the archive, or could not be", ["result"]
)
for _result in ("ok", "missing", "unavailable"):  # an increase from nothing to 1 is none to Prometheus
    archive_reads.labels(_result)
archived_documents = Gauge("newswire_archived_documents", "Documents of versions that are in the archive")
archived_bytes = Gauge("newswire_archived_bytes", "Bytes of these documents, compressed")
archive_erasures = Gauge(
    "newswire_archive_erasures", "Retracted articles whose texts are to be deleted from the archive"
)
archive_erasure_age = Gauge(
    "newswire_archive_erasure_age_seconds",
    "Time since the oldest retraction whose texts are still to be deleted from the archive; 0 without one",
)
redis_memory = Gauge(
    "newswire_redis_memory_ratio", "Used memory of a Redis as a share of its maxmemory; absent without one", ["server"]
)
memory_guard_fill = Gauge(
    "newswire_memory_guard_fill_ratio",
    "Used memory of a Redis as a share of what its writers may use; they stop at 1",
    ["server", "writers"],
)
redis_failures = Counter("newswire_redis_failures", "Commands and pipelines without a reply", ["server"])

offload_rejected = Counter("newswire_offload_rejected", "CPU-bound work that was not done", ["pool", "reason"])
log_lines_suppressed = Counter(
    "newswire_log_lines_suppressed", "Warnings and errors that were not written because they repeat others"
)
log_lines_dropped = Counter("newswire_log_lines_dropped", "Log lines that could not be written")
