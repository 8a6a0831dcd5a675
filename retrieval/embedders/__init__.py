"""Encoders: texts to sentence vectors and, in the same forward pass, token vectors."""
