"""A backup of everything that an installation keeps: articles, subscriptions, deliveries, keys and the audit log."""
