"""The command line of Newswire."""
