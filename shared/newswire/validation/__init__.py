"""The types of the members that clients send, and the rules they keep."""
