"""Training: new weights for the reranker from labelled or self-made questions, kept only where they are better."""
