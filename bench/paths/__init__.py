"""The measured paths, one per module; each has a function ``measure`` that returns its figures."""
