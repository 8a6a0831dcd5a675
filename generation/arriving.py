"""An answer as it arrives: its text is passed on at once, and at the end it must prove to be whole."""

from __future__ import annotations

import re
from collections.abc import Callable

from domain.errors import GeneratorBadResponse
from generation.chat_chunks import parse_chunk
from generation.stream import Outcome

MAX_ANSWER_BYTES = 256 * 1024
_DONE = "[DONE]"
_HIGH_SURROGATE = re.compile("[\ud800-\udbff]")


class ArrivingAnswer:
    """The answer as far as it has come: emits its text, keeps its account and its bound."""

    def __init__(self, outcome: Outcome, emit: Callable[[str], None]) -> None:
        self.begun = False  # the server has promised an answer, by its status
        self.alive = False  # the model has produced something: no retry, no first-token deadline any more
        self.done = False  # nothing further is to be read
        self._outcome, self._emit = outcome, emit
        self._listeners: list[Callable[[], None]] = []
        self._bytes = 0
        self._saw_done = False
        self._half = ""

    def add_listener(self, on_first_token: Callable[[], None]) -> None:
        """Call this once the model has produced something."""
        self._listeners.append(on_first_token)

    @property
    def complete(self) -> bool:
        """The server has said that the answer is whole."""
        return self._saw_done or self.done or self._outcome.finish_reason is not None

    def add(self, event: str) -> None:
        """Take one event. Raises GenerationError for one that is not part of an answer."""
        if event.strip() == _DONE:
            self._saw_done = self.done = True
            return
        chunk = parse_chunk(event)
        if chunk.alive and not self.alive:
            self.alive = self._outcome.begun = True
            for listener in self._listeners:
                listener()
        self._outcome.usage = chunk.usage or self._outcome.usage
        self._outcome.finish_reason = chunk.finish_reason or self._outcome.finish_reason
        if chunk.text:
            self._give(chunk.text)

    def add_cut(self, event: str) -> None:
        """Take what the end of the stream left of an event; half of one is no part of an answer, and no error."""
        try:
            self.add(event)
        except GeneratorBadResponse:
            if not self.complete:
                raise truncated() from None

    def _give(self, text: str) -> None:
        """Emit the text as far as the cap allows; at the cap the answer ends as one cut for its length."""
        text = self._with_whole_characters(text)
        data = text.encode()
        room = MAX_ANSWER_BYTES - self._bytes
        self._bytes += len(data)
        if len(data) > room:
            text = data[:room].decode("utf-8", "ignore")
            self._outcome.finish_reason = "length"
            self.done = True
        if text:
            self._emit(text)

    def _with_whole_characters(self, text: str) -> str:
        """Join a surrogate pair that JSON escapes brought in two events; a lone half becomes U+FFFD."""
        text = self._half + text
        self._half = text[-1] if _HIGH_SURROGATE.fullmatch(text[-1]) else ""
        whole = text[: len(text) - len(self._half)]
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def check(self) -> None:
        """Raise when what has come is not an answer."""
        if not self.complete:
            raise truncated()
        if self._bytes:
            return
        if self._outcome.finish_reason == "content_filter":
            raise GeneratorBadResponse("The model's operator withheld the whole answer.", code="llm_filtered")
        cut = self._outcome.finish_reason == "length"
        advice = (
            " All its tokens went elsewhere: raise max_output_tokens." if cut else " Ask again, or check the model."
        )
        raise GeneratorBadResponse(f"The language model gave an empty answer.{advice}", code="llm_empty")


def truncated() -> GeneratorBadResponse:
    """The error for an answer whose end never came."""
    error = GeneratorBadResponse(
        "The language model's answer broke off before its end; ask again.", code="llm_truncated"
    )
    error.retryable = True
    return error
