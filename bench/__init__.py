"""Measures the cost of the hot paths, compared with their floors in the same run.

A floor is the minimal implementation of the same task on the same machine. Load, server and floor share that machine, so only the
ratios are meaningful; rounds of both are interleaved, and the median of the rounds is reported.
"""
