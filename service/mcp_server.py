"""Fovea as an MCP server: `search`, `ask` and `list_documents`, over the official SDK.

Tools only read. The engine behind them may be the local one or an HTTP client: both have the same verbs. Over HTTP it
is that of whoever calls, found anew for every call: no tool has an argument that could name another tenant's.

The SDK's `MCPServer` makes the schemas of the tools and calls them. What is served is its low-level `Server`, because
the former also declares prompts, resources and a stream of changes, of which there are none: clients would list them in
vain, and hold a connection that never says anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol, TypeVar

import orjson
import structlog
from anyio import to_thread
from mcp import MCPError
from mcp.server import MCPServer, Server, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from pydantic import Field, ValidationError

from domain.answers import Answer
from domain.errors import FoveaError
from domain.jobs import DocumentInfo
from domain.search import DEFAULT_COLLECTION
from domain.search_result import SearchResult
from service.mcp_replies import answer_reply, listing_reply, search_reply

log = structlog.get_logger("fovea.mcp")

_INSTRUCTIONS = (
    "Answers from the user's own documents. `search` returns only the sentences that hold the answer, with their exact "
    "place; prefer it when you write the answer yourself. `ask` returns a finished answer with citations."
)
_READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_PAGE = 100

T = TypeVar("T")

Question = Annotated[str, Field(description="The question, in English or Chinese, as a full sentence.")]
MaxTokens = Annotated[int | None, Field(description="Ceiling of context tokens; leave it out for the default.", ge=1)]
Collection = Annotated[str, Field(description="The collection of documents to look into.")]
Details = Annotated[bool, Field(description="Everything the HTTP API returns, for programs: thousands of tokens.")]
After = Annotated[str | None, Field(description="`next` of the page before.")]

EngineFor = Callable[[Any], "QuestionEngine"]
"""The engine for an HTTP request, which is None over stdio. It is called beside the event loop."""

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a call beside the event loop."""


class QuestionEngine(Protocol):
    """The verbs that the tools call."""

    def search(self, question: str, *, max_tokens: int | None, collection: str) -> SearchResult: ...

    def ask(self, question: str, *, max_tokens: int | None, collection: str) -> Answer: ...

    def list_documents(self, collection: str | None, limit: int, after: str | None) -> list[DocumentInfo]: ...


def create_mcp_server(engine: QuestionEngine, version: str = "") -> Server[Any]:
    """A server whose tools answer everybody from `engine`: for stdio, where one user has one process."""
    return create_shared_mcp_server(lambda _: engine, to_thread.run_sync, version)


def create_shared_mcp_server(engine_for: EngineFor, run: Run, version: str = "") -> Server[Any]:
    """A server whose tools answer each caller from its own engine: for HTTP. `run` bounds how many work at a time."""
    tools = _tools(engine_for, run)

    async def list_tools(_: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
        if params is not None and params.cursor is not None:
            raise MCPError(INVALID_PARAMS, "All tools are on one page; no cursor was given out.")
        return ListToolsResult(tools=await tools.list_tools())

    async def call_tool(
        context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        if params.name not in {tool.name for tool in await tools.list_tools()}:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
        told = Context(request_context=context, mcp_server=tools, input_params=params)
        try:
            return _compact(await tools.call_tool(params.name, params.arguments or {}, told))
        except ToolError as error:
            if isinstance(error, UnexpectedToolError):
                log.exception("mcp_tool_crashed", tool=params.name)
            return CallToolResult(content=[TextContent(type="text", text=_sentence(error))], is_error=True)

    return Server(
        "fovea", version=version, instructions=_INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _compact(result: CallToolResult | InputRequiredResult) -> CallToolResult | InputRequiredResult:
    """The same result with its text, which the SDK indents, on one line: blanks are tokens."""
    if isinstance(result, CallToolResult) and result.structured_content is not None:
        text = orjson.dumps(result.structured_content).decode()
        return result.model_copy(update={"content": [TextContent(type="text", text=text)]})
    return result


def _sentence(error: ToolError) -> str:
    """What the model reads of a call that failed: how to mend it, and of a bug no more than that there was one."""
    cause = error.__cause__
    if isinstance(error, UnexpectedToolError):
        return str(error)
    if isinstance(cause, ValidationError):
        wrong = (f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in cause.errors())
        return f"The arguments do not fit the tool's schema: {'; '.join(wrong)}. [invalid_request]"
    return str(cause or error)


def _tools(engine_for: EngineFor, run: Run) -> MCPServer:
    """The tools, with their schemas."""
    server = MCPServer("fovea", log_level="WARNING")

    async def told(context: Context, call: Callable[[QuestionEngine], T]) -> T:
        """What the call gives. Raises ToolError with the sentence that the model should read."""
        request = context.request_context.request
        try:
            result: T = await run(lambda: call(engine_for(request)))
        except FoveaError as error:
            raise ToolError(f"{error.message} [{error.code}]") from error
        return result

    @server.tool(annotations=_READ_ONLY)
    async def search(
        context: Context,
        question: Question,
        max_tokens: MaxTokens = None,
        collection: Collection = DEFAULT_COLLECTION,
        details: Details = False,
    ) -> dict[str, Any]:
        """Find the few sentences in the documents that answer a question, with source and page."""
        options: dict[str, Any] = {"max_tokens": max_tokens, "collection": collection}
        found = await told(context, lambda engine: engine.search(question, **options))
        return found.to_dict() if details else search_reply(found)

    @server.tool(annotations=_READ_ONLY)
    async def ask(
        context: Context,
        question: Question,
        max_tokens: MaxTokens = None,
        collection: Collection = DEFAULT_COLLECTION,
        details: Details = False,
    ) -> dict[str, Any]:
        """Answer a question from the documents, with verified citations."""
        options: dict[str, Any] = {"max_tokens": max_tokens, "collection": collection}
        answer = await told(context, lambda engine: engine.ask(question, **options))
        return answer.to_dict() if details else answer_reply(answer)

    @server.tool(annotations=_READ_ONLY)
    async def list_documents(
        context: Context, collection: Collection = DEFAULT_COLLECTION, after: After = None
    ) -> dict[str, Any]:
        """List the documents of a collection, a hundred a page."""
        found = await told(context, lambda engine: engine.list_documents(collection, _PAGE, after))
        return listing_reply(found, _PAGE)

    return server
