"""What the hot paths cost, measured against their floors in the same run.

A floor is the least that can be done for the same end on the same machine. Load, server and floor share that machine, so
only ratios mean anything; rounds of both are interleaved, and of the rounds the median counts.
"""
