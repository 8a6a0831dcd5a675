"""The one place that finds and starts a browser for the tests of the pages."""

import contextlib
import os
import shutil

from playwright.sync_api import sync_playwright

_ARGUMENTS = [
    "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def browser_path():
    """The browser's program: $CHROMIUM, Debian's place, or the PATH. Fails with what to install."""
    named = os.environ.get("CHROMIUM")
    candidates = [named] if named else ["/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome"]
    for candidate in candidates:
        if found := shutil.which(candidate):
            return found
    raise AssertionError(
        f"No browser found (looked for {', '.join(candidates)}). Install Chromium, on Debian with "
        "`apt-get install chromium fonts-noto-cjk`, or name one in the variable CHROMIUM."
    )


@contextlib.contextmanager
def running_browser():
    """A headless Chromium; pages of it are made by `browser.new_context(...).new_page()`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
