"""One file for each group of routes; each holds a function that returns its router."""
