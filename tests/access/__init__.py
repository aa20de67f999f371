"""Who may do what: every page and API route, for every kind of caller."""
