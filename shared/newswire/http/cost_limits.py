"""The maximum cost of one read request: the limits in `docs/limits.md`.

Each limit is enforced before the work that it bounds. A page that reaches its limit ends there with a cursor to the next one, so
nothing is lost; work that cannot be divided is refused, naming the limit.
"""

PAGE_PROCESSOR_SECONDS = 0.1
"""After this CPU time a page of events ends, even if it is not full. The current entry is finished."""
PAGE_READ_BYTES = 8 * 1024 * 1024
"""Of entries and records that are read for one page of events, or one preview; a single one may be larger."""
PAGE_READ_ENTRIES = 2000
FIRST_READ_ENTRIES = 10
"""Entries may have 2 MiB each: how many more are read at a time is decided when the size of the first ones is known."""
INLINE_BYTES = 64 * 1024
"""Entries that have no more together are decoded on the event loop; it takes 1 ms, and a thread costs a tenth of that and the
interpreter's turns."""
INLINE_TEXT_BYTES = 4 * 1024
"""The same where a filter looks for words in them."""

PAGE_BYTES = 8 * 1024 * 1024
"""Characters of bodies and texts in one answer: search results with ``fields``, and feeds that carry whole articles."""
HIGHLIGHTED_CHARACTERS = 200_000
"""Of the texts of one page of results that are looked through for passages, all results together."""
NOT_ASCII_COST = 10
"""How many times longer a text that is not ASCII takes to be cut into words, at the worst."""
QUERY_PREFIXES = 8
"""In one query. Each is looked up among all words of the index, and once more for each field whose values are counted."""
FILTER_VALUES = 100
"""Of all fields of a search together."""
