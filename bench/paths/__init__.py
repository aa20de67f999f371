"""The measured paths, one a module; each has a ``measure`` that returns its figures."""
