"""A browser for all tests of a file, and a window of the chat page whose complaints fail the test."""

import pytest

from service.api.app import create_app
from tests.service.api_fakes import FakeJobQueue
from tests.service.http_server import running
from tests.web.browser import Window, running_browser


@pytest.fixture(scope="module")
def browser():
    with running_browser() as started:
        yield started


@pytest.fixture
def window(browser, engine):
    """The chat page over the `engine` of the test's own file."""
    with running(create_app(engine, FakeJobQueue())) as url:
        made = Window(browser, url)
        yield made
        made.context.close()
    assert made.complaints == []
