"""Processor-bound work off the event loop, and fair scheduling of clients."""
