"""Looking after a data directory: verify and repair, backup and restore, indexes and vectors made anew."""
