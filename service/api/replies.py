"""The shapes of the replies, for `/openapi.json` and `/docs`.

The replies themselves are written from the domain's `to_dict`; a test holds these models to them, field by field.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_EXAMPLE = ConfigDict(extra="forbid")


class Reply(BaseModel):
    model_config = _EXAMPLE


class ProblemReply(BaseModel):
    """RFC 9457, as application/problem+json.

    Further members may follow: the chat routes add `error`, in which OpenAI's libraries look for the reason.
    """

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    retryable: bool


class SpanReply(Reply):
    """Characters of the document's text, half-open, counted in Unicode code points."""

    start: int
    end: int


class SentenceReply(SpanReply):
    score: float


class EvidenceReply(Reply):
    """Sentences of one chunk, verbatim, as they are sent to the model under `[mark]`."""

    mark: int
    document_id: str
    source: str
    title: str
    page: int | None
    heading_path: list[str]
    chunk_id: str
    text: str
    spans: list[SpanReply]
    score: float
    scores: dict[str, float | None]
    sentences: list[SentenceReply]
    tokens: int


class BillReply(Reply):
    """Tokens of the prompt by part; `avoided` is what plain top-10 chunks would have cost beyond the evidence.

    `margin` is kept free for what the model may count beyond `total`; `reported` is what it said it read, and
    `difference` is `reported` - `total`.
    """

    system: int
    constraints: int
    history: int
    evidence: int
    question: int
    reserve: int
    total: int
    limit: int
    avoided: int
    baseline: int
    tokenizer: str
    margin: int
    reported: int | None
    difference: int | None


class DroppedReply(Reply):
    chunk_id: str
    document_id: str
    reason: str = Field(description="below_threshold, budget, duplicate, document_cap or rank")
    tokens: int
    score: float


class NearestReply(SpanReply):
    """What came nearest to a question that the documents do not answer: a lead, not an answer."""

    document_id: str
    source: str
    title: str
    page: int | None
    text: str
    score: float


class RewriteReply(Reply):
    """What was searched for in place of a question that leans on the conversation."""

    question: str
    by: str = Field(description="none, rules or model")
    tokens: int = Field(description="Of the model's call, prompt and reply.")
    failed: bool = Field(description="The model's call gave nothing; the rules stood in.")


class SearchReply(Reply):
    question: str
    evidence: list[EvidenceReply]
    context_tokens: int
    bill: BillReply
    dropped: list[DroppedReply]
    nearest: list[NearestReply] = Field(description="Where nothing answers the question; else empty.")
    rewrite: RewriteReply | None = Field(description="Null for a question without a conversation.")
    timings: dict[str, float] = Field(description="Milliseconds by stage.")


class CitationReply(Reply):
    """A mark of the answer: the document's characters from `start` to `end` are the `quote`."""

    mark: int
    document_id: str
    source: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str
    verified: bool


class CitedSentenceReply(SpanReply):
    """A sentence of the answer; the span counts in the answer's text."""

    marks: list[int]
    supported: bool | None = Field(description="False: its evidence does not say all of it; null: it cites nothing.")


class QuestionTokenReply(SpanReply):
    """A token of the question; the span counts in the question."""

    text: str
    coverage: list[float] = Field(description="By head: the share of its attention that stayed in this document.")


class AttendedTokenReply(SpanReply):
    text: str
    weights: list[float] = Field(description="By head, summed over the question's tokens.")


class AttendedSentenceReply(AttendedTokenReply):
    score: float
    raw_score: float | None = Field(description="Before it was mapped; null where a reranker names no parts.")
    parts: dict[str, float] = Field(
        description="By name, what the log-odds of raw_score add up from; attention has sentence, window, chunk, "
        "dense, lexical, network and bias. Empty where a reranker names none."
    )


class AttendedChunkReply(SpanReply):
    chunk_id: str
    page: int | None
    heading_path: list[str]
    score: float
    weights: list[float] = Field(description="By head; the weights of the sentences add up to them.")
    sentences: list[AttendedSentenceReply]
    tokens: list[AttendedTokenReply]
    matrix: list[list[list[float]]] | None = Field(
        description="With `full`: by head, by token of the question, by token of the chunk."
    )


class ExplanationReply(Reply):
    """Where a question's attention went in one document; weights stand in the order of `heads`."""

    question: str
    document_id: str
    source: str
    title: str
    collection: str
    reranker: str
    heads: list[str]
    question_tokens: list[QuestionTokenReply]
    chunks: list[AttendedChunkReply]
    attended_chunks: int = Field(description="Chunks of the document that were looked at.")


class UsageReply(Reply):
    prompt_tokens: int
    completion_tokens: int


class AnswerReply(Reply):
    question: str
    answer: str
    abstained: bool
    degraded: bool
    truncated: bool = Field(description="The model was stopped at its longest permitted answer.")
    filtered: bool = Field(description="The model's operator withheld a part of the answer.")
    citations: list[CitationReply]
    sentences: list[CitedSentenceReply]
    removed_marks: int = Field(description="Marks of the model that no evidence has; they are taken out of the text.")
    search: SearchReply
    model: str
    usage: UsageReply
    timings: dict[str, float]


class FoveaReply(Reply):
    """What OpenAI's format has no place for."""

    answer: str
    citations: list[CitationReply]
    sentences: list[CitedSentenceReply]
    removed_marks: int
    abstained: bool
    degraded: bool
    truncated: bool = Field(description="The model was stopped at its longest permitted answer.")
    filtered: bool = Field(description="The model's operator withheld a part of the answer.")
    model: str
    timings: dict[str, float]
    bill: BillReply
    evidence: list[EvidenceReply]
    dropped: list[DroppedReply]
    nearest: list[NearestReply]
    rewrite: RewriteReply | None
    context_tokens: int


class ChatReply(Reply):
    """An OpenAI chat completion; with `stream`, chunks of the same as server-sent events, then `[DONE]`."""

    id: str
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]
    fovea: FoveaReply


class ErrorReply(Reply):
    code: str
    message: str


class JobReply(Reply):
    id: str
    kind: str
    status: str
    attempts: int
    error: ErrorReply | None


class DocumentReply(Reply):
    id: str
    source: str
    title: str
    collection: str
    media_type: str
    status: str | None = Field(description="indexed, unchanged or failed; null while it was never indexed")
    chunks: int
    characters: int
    updated_at: str
    error: ErrorReply | None
    metadata: dict[str, Any]


class DocumentStateReply(DocumentReply):
    state: str = Field(description="queued, running, failed or ready")
    job: JobReply | None = Field(description="The newest upload of this document.")


class DocumentList(Reply):
    documents: list[DocumentReply]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


class AcceptedReply(Reply):
    id: str
    source: str
    job_id: str
    status: str


class AcceptedList(Reply):
    documents: list[AcceptedReply]


class PageReply(SpanReply):
    number: int


class TextReply(Reply):
    """Characters `start` to `end` of a document's text, which has `characters` in all."""

    id: str
    source: str
    title: str
    text: str
    start: int
    end: int
    characters: int
    pages: list[PageReply]


class CollectionReply(Reply):
    name: str
    documents: int
    chunks: int
    model_id: str | None
    dim: int | None


class CollectionList(Reply):
    collections: list[CollectionReply]


class BatchAccepted(Reply):
    id: str
    status: str
    total: int


class BatchCountsReply(Reply):
    total: int
    answered: int
    failed: int
    waiting: int
    asked: int = Field(description="Calls that were made; equal questions share one.")


class BatchUsageReply(Reply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class BatchReply(Reply):
    """How far a batch is."""

    id: str
    status: str = Field(description="queued, running, ready, failed or cancelled")
    form: str = Field(description="rows, or openai for a batch file in OpenAI's form")
    counts: BatchCountsReply
    usage: BatchUsageReply
    max_total_tokens: int | None
    collections: list[str]
    columns: list[str]
    created_at: str
    updated_at: str
    error: ErrorReply | None


class BatchList(Reply):
    batches: list[BatchReply]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemReply"}}},
    }
}

# What an operation answers in place of JSON where the request says `stream`: events of this form.
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
EVENTS: dict[str, Any] = {"text/event-stream": {"schema": _EVENT}}
