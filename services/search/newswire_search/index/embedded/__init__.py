"""The embedded index, inside the process."""
