"""The floors: programs that do the least that could serve the same end."""
