"""Reads articles that other systems exported, for imports by the command line and by the desk.

For each file, `input_files` opens and decompresses it, `format_detection` finds its format, a reader (one module per format) yields
articles, and `normalize` makes them valid.
"""
