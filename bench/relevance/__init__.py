"""The relevance of results: judged collections searched by Newswire and by plain Elasticsearch."""
