"""One read of the article stream for all notify processes of a host."""
