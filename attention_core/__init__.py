"""Attention over stored token vectors: which chunk, which sentence and which words answer the question."""
