"""One reader for each format: WordPress, feeds, ninjs, NITF, NewsML-G2, Markdown, web pages and NDJSON."""
