"""The server's log holds none of the URLs that its HTTP clients would tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
import structlog

from service.observability import configure_logging


@pytest.fixture
def logging_restored() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in (None, "httpx", "httpcore")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
@pytest.mark.usefixtures("logging_restored")
def test_a_request_that_the_server_makes_leaves_no_url_in_the_log(
    level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(level, as_json=True)
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        client.get("http://model.example/v1?api_key=hunter2")
    logging.getLogger("httpcore.connection").debug("connect_tcp.started host='hunter2'")
    logging.getLogger("fovea").info("still here")
    logged = capsys.readouterr().err
    assert "still here" in logged
    assert "hunter2" not in logged


@pytest.mark.usefixtures("logging_restored")
def test_a_quieter_log_is_as_quiet_for_its_clients() -> None:
    configure_logging("ERROR", as_json=True)
    assert not logging.getLogger("httpx").isEnabledFor(logging.WARNING)
