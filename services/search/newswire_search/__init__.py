"""The search service: the index of published articles, the readers' API and the pages."""
