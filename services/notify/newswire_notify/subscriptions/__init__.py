"""Subscriptions: their API, storage, limits and owners' notices."""
