"""Imports articles that other systems exported, and publishes them through the API.

`newswire_ingest.importing` reads them, `fetching` fetches addresses, `uploader` sends articles, and `run` reports the results.
"""
