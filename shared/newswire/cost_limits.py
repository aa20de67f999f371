"""The maximum cost of one read request: the limits in `docs/limits.md`.

Each limit is enforced before the work that it bounds. A page that reaches its limit ends there with a cursor to the next one, so
nothing is lost; work that cannot be divided is rejected with an error that names the limit.
"""

PAGE_PROCESSOR_SECONDS = 0.1
"""After this CPU time a page of events ends, even if it is not full. The current entry is finished."""
PAGE_READ_BYTES = 8 * 1024 * 1024
"""Entries and records that are read for one page of events, or one preview; a single one may be larger."""
PAGE_READ_ENTRIES = 2000
FIRST_READ_ENTRIES = 10
"""Entries may have 2 MiB each: the number of further entries to read at a time is decided from the size of the first ones."""
INLINE_BYTES = 64 * 1024
"""Up to this total, entries are decoded on the event loop. That takes 1 ms; a thread adds a tenth of it, and competes for the
interpreter.
"""
INLINE_TEXT_BYTES = 4 * 1024
"""The same for entries whose text is searched for words."""

PAGE_BYTES = 8 * 1024 * 1024
"""Characters of bodies and texts in one response: search results with ``fields``, and feeds with full articles."""
HIGHLIGHTED_CHARACTERS = 200_000
"""Characters searched for highlights in one page of results, all results together."""
NOT_ASCII_COST = 10
"""How many times longer tokenization takes for a text that is not ASCII, in the worst case."""
QUERY_PREFIXES = 8
"""Prefixes in one query. Each is looked up among all words of the index, and again for each facet."""
FILTER_VALUES = 100
"""Values in all fields of a search together."""
