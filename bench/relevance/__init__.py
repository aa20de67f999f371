"""How good the order of results is: judged collections searched by Newswire and by plain Elasticsearch, side by side."""
