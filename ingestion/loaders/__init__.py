"""One loader a format: bytes in, text with blocks and pages out. `registry` chooses among them by content."""
