"""Documents, chunks, vectors, jobs and snapshot manifests in SQL: the only truth of the product."""
