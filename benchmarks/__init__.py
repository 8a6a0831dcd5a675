"""Measurements: every claim in the documentation names the command here that made it."""
