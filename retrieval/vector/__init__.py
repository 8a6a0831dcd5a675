"""Nearest neighbours by inner product: FAISS for service, plain numpy as the oracle it is tested against."""
