"""What vulture takes for unused although it is not: `make lint` reads this file with the sources.

Routes, commands, fixtures and validators are recognised by their decorators (`pyproject.toml`). Everything here is used by name,
from outside of the code. Something that is missing here is unused: delete it, or add it to a section below.
"""

# Called or read by the library whose class or protocol they belong to.
_.data_received  # asyncio.Protocol
_.datagram_received  # asyncio.DatagramProtocol
_.readinto  # io.RawIOBase
_.capture_signals  # uvicorn.Server
_.force_exit
_.expected_content_length  # uvicorn's cycle
_.should_exit
_.install_signal_handlers
_.keep_alive  # uvicorn's request cycle
_._unsupported_upgrade_warning  # uvicorn's protocol
_.background  # starlette.Response
_.unique_id  # fastapi
_._make_connection_state  # faststream.RedisBroker
_.consume_scope  # faststream.BaseMiddleware
_.correlation_id  # faststream.StreamMessage
_._connected
connection_options  # faststream passes them by name
_.kwargs
_.settings_customise_sources  # pydantic_settings.BaseSettings
dotenv_settings
file_secret_settings
model_config  # pydantic.BaseModel
START_DELIMITER  # frontmatter's handlers
END_DELIMITER
_.handleError  # logging.Handler
raiseExceptions
MAX_IMAGE_PIXELS  # PIL.Image
LOAD_TRUNCATED_IMAGES  # PIL.ImageFile

# Members of documents that are validated, stored or answered as a whole.
specversion
protocol
datacontenttype
publishers
reading_minutes
language_detected
searchable_after_ms
live_readers
advice
due_at
ended_at
looked_at
resumed_from
former_valid_until
header_names
took_ms
deferred
unsubscribed
complained
issues
animated

# Read by templates of the site.
_.right_to_left
marked_title
lang
dir

# Members of enumerations that come from the command line or from Redis.
INGEST
WAITING
DELIVERING
SENDING

# Tests and benchmarks: called by pytest, http.server, HTMLParser, schemathesis, dnslib, Selenium or FastAPI.
pytestmark
pytest_collection_finish
pytest_collection_modifyitems
pytest_configure
pytest_report_header
_.do_GET
_.do_POST
_.log_message
protocol_version
_.handle_starttag
_.handle_data
_.rcode
_.binary_location
_.teardown
_.last_seen_at  # in a template
_.linked_at  # in a template
_.at_risk  # in a template
_.asks_for_past
_.weekly  # in a template
_.is_longer
_.load_bytecode  # jinja2
_.dump_bytecode
_.handle_RCPT  # aiosmtpd
_.handle_DATA
rcpt_options
mechanism
ferry_id
thing
reverse  # named by a string, for a worker process
times_  # extended in place
_._beating  # a task that nothing else refers to would be collected
_.pack_commands  # redis-py
