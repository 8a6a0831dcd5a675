"""Parts that take their time, for tests of what happens to work in progress."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from domain.context import Context
from domain.documents import LoadedDocument


class SlowLoader:
    """Reads `.slow` files as text, after as many seconds as the environment's SLOW_SECONDS says (0)."""

    extensions = (".slow",)
    media_types = ()

    def load(self, data: bytes, name: str) -> LoadedDocument:
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        return LoadedDocument(title=name, text=data.decode(), media_type="text/plain")


class SlowGenerator:
    """Says "word" again and again, 20 times a second: for half a second, or for ever where the question says so."""

    model = "slow"
    context_window = 8192
    max_output_tokens = 512

    def generate(self, context: Context) -> Iterator[str]:
        yield "First "
        for _ in range(10**6 if "for ever" in context.question else 10):
            time.sleep(0.05)
            yield "word "

    def count_tokens(self, text: str) -> int:
        return len(text.split())
