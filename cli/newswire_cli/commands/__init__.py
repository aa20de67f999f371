"""One module for each command of `newswire`. Heavy imports are inside the functions, so that ``--help`` answers at once."""
