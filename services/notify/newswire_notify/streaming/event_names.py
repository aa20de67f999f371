"""Names of events about the live stream itself."""

TRIMMED = "newswire.stream.trimmed"
"""Some requested events are gone."""
ENDED = "newswire.stream.ended"
"""The server disconnects this client."""
