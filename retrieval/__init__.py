"""Finding candidate chunks: encoders, vector and lexical indexes, and the hybrid search that joins them."""
