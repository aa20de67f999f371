"""Processor-bound work off the event loop, and turns for many clients."""
