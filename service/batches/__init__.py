"""Batches of questions: tables in and out, OpenAI's batch files, a ceiling of tokens, and what works them off."""
