"""Deliveries: their queue, worker, attempts, history and dead letters."""
