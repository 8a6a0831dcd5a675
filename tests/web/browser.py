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


class Window:
    """A page under watch: every violation of its policy, script error and request to elsewhere is kept."""

    def __init__(self, browser, url, **options):
        self.url = url
        self.context = browser.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 800}, **options})
        self.page = self.context.new_page()
        self.complaints = []
        self.page.on("console", lambda line: line.type in ("error", "warning") and self._complain(line.text))
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("request", lambda request: request.url.startswith(url) or self._complain(request.url))
        self.page.set_default_timeout(20_000)
        self.page.goto(url)
        self.page.wait_for_load_state("networkidle")  # the first listing has come

    def _complain(self, text):
        if "status of 401" not in text and "status of 503" not in text:  # the browser notes these on its own
            self.complaints.append(text)

    def ask(self, question):
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")
        self.page.wait_for_selector("#send:not([hidden])")
        return self.page.locator("li.answer").last
