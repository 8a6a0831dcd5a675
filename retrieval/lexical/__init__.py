"""BM25 over terms that `analyzer` makes: tantivy for service, a readable one in memory as its double."""
