"""Users: their API, and the pages for signing in."""
