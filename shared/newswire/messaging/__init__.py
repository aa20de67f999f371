"""The event streams: brokers, consumer groups, dead letters and retention."""
