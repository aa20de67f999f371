"""The index inside the process."""
