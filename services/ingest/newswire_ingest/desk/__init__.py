"""The desk: the pages on which editors write, publish, correct and retract."""
