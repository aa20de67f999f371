"""How commands reach a running Newswire: over HTTP, or its Redis."""
