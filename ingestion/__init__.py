"""From a path or a URL to documents with text, structure and chunks: reading, sentences, chunks, the pipeline."""
