"""Publishing limits."""
