"""Imports articles that other systems exported, and publishes them through the API.

For each file, `input_files` opens and decompresses it, `format_detection` finds its format, a reader (one module per format) yields
articles, `normalize` makes them valid, `uploader` sends them, and `run` reports the results.
"""
