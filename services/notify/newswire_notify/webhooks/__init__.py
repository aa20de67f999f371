"""Endpoints, and signed requests to them."""
