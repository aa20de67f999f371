"""Fan-out: from an event to its deliveries."""
