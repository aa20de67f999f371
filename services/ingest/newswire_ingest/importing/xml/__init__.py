"""Reads XML from other systems: parses it safely, repairs damage, and yields item by item."""
