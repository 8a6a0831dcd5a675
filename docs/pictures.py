"""Draws the heat maps in docs/images: real questions about the samples of the tests, as `fovea explain` shows them.

    python docs/pictures.py        writes docs/images/attention-en.png and attention-zh.png

Needs Chromium and playwright (the `test` extra); FOVEA_CHROMIUM names the browser where it is not /usr/bin/chromium.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from fovea import open_engine
from service.cli.heat_page import heat_page

DOCS = Path(__file__).parent
_SAMPLES = DOCS.parent / "tests" / "data"
_PICTURES = {
    "attention-en": ("xquad-en", "When was Warsaw's first stock exchange established?"),
    "attention-zh": ("cmrc-zh", "大果西番莲的根部有什么作用？"),
}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(data_dir=folder) as engine,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("FOVEA_CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 600}, device_scale_factor=1.5)
        for name, (sample, question) in _PICTURES.items():
            engine.ingest([_SAMPLES / sample / "corpus.jsonl"], collection=sample)
            best = engine.search(question, collection=sample).evidence[0]
            page.set_content(
                heat_page(engine.explain(question, document=best.document_id, collection=sample, chunks=1))
            )
            page.screenshot(path=DOCS / "images" / f"{name}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
