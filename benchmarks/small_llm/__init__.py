"""What a real small model makes of the evidence; see `__main__`."""
