"""From scored sentences to a prompt: the fewest tokens that still hold the answer."""
