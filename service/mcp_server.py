"""Fovea as an MCP server: `search`, `ask` and `list_documents`, over the official SDK.

Tools only read. The engine behind them may be the local one or an HTTP client: both have the same verbs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from domain.answers import Answer
from domain.errors import FoveaError
from domain.jobs import DocumentInfo
from domain.search import DEFAULT_COLLECTION
from domain.search_result import SearchResult

_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_MAX_LISTED = 1000

T = TypeVar("T")

Question = Annotated[str, Field(description="The question, in English or Chinese, as a full sentence.")]
MaxTokens = Annotated[int | None, Field(description="Ceiling of context tokens; leave it out for the default.", ge=1)]
Collection = Annotated[str, Field(description="The collection of documents to look into.")]


class QuestionEngine(Protocol):
    """The verbs that the tools call."""

    def search(self, question: str, *, max_tokens: int | None, collection: str) -> SearchResult: ...

    def ask(self, question: str, *, max_tokens: int | None, collection: str) -> Answer: ...

    def list_documents(self, collection: str | None, limit: int, after: str | None) -> list[DocumentInfo]: ...


def create_mcp_server(engine: QuestionEngine, version: str = "") -> MCPServer:
    """A server whose tools answer from `engine`; run it over stdio or mount its HTTP app."""
    server = MCPServer(
        "fovea",
        version=version,
        instructions=(
            "Answers from the user's own documents. `search` returns only the sentences that hold the answer, with "
            "their exact place; prefer it when you write the answer yourself. `ask` returns a finished answer with "
            "citations."
        ),
        log_level="WARNING",
    )

    @server.tool(annotations=_READ_ONLY)
    async def search(
        question: Question, max_tokens: MaxTokens = None, collection: Collection = DEFAULT_COLLECTION
    ) -> dict[str, Any]:
        """Find the few sentences in the documents that answer a question, with source, page and offsets."""
        call = partial(engine.search, question, max_tokens=max_tokens, collection=collection)
        return (await _told(call)).to_dict()

    @server.tool(annotations=_READ_ONLY)
    async def ask(
        question: Question, max_tokens: MaxTokens = None, collection: Collection = DEFAULT_COLLECTION
    ) -> dict[str, Any]:
        """Answer a question from the documents, with verified citations."""
        call = partial(engine.ask, question, max_tokens=max_tokens, collection=collection)
        return (await _told(call)).to_dict()

    @server.tool(annotations=_READ_ONLY)
    async def list_documents(collection: Collection = DEFAULT_COLLECTION) -> dict[str, Any]:
        """List the documents of a collection."""
        call = partial(engine.list_documents, collection, _MAX_LISTED, None)
        return {"documents": [item.to_dict() for item in await _told(call)]}

    return server


async def _told(call: Callable[[], T]) -> T:
    """The call's result, made off the event loop. Raises ToolError with the sentence that the model should read."""
    try:
        return await to_thread.run_sync(call)
    except FoveaError as error:
        raise ToolError(f"{error.message} [{error.code}]") from error
