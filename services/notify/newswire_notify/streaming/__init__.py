"""The live stream, and events by the page."""
