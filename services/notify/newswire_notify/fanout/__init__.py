"""From an event to its deliveries."""
