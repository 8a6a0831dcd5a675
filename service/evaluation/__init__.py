"""Quality per token on labelled questions, with other ways of choosing evidence beside it."""
