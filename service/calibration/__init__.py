"""Calibration: what the scores of a collection are worth, measured on labelled questions about it."""
