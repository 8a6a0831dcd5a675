"""The vocabulary every stage shares: plain Python and numpy types, importing nothing else of ours."""
