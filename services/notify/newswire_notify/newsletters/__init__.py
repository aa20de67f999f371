"""Newsletters: readers subscribe by e-mail to the articles that a filter matches, at once or as a digest at an hour of theirs."""
