"""What other systems export, read as articles that are sent through the API like everybody's.

The way of a file: `sources` opens and unpacks it, `recognising` finds its format and reader, the reader (one module a format)
yields stories, `fitting` makes them valid, `sending` sends them, `command` tells what became of each.
"""
