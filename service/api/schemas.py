"""What may be sent to the routes. Unknown fields are refused, so that a typing error is named and not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from domain.asking import Message
from domain.search import DEFAULT_COLLECTION

_MAX_HISTORY = 1000
_MOST_ERRORS = 10  # of one model: nobody reads more, and a body may hold very many unknown fields

Collection = Annotated[str, Field(min_length=1, max_length=200, description="The collection to work on.")]
MaxTokens = Annotated[
    int | None, Field(ge=1, le=1_000_000, description="Ceiling of context tokens; the server's default where left out.")
]
AnswerTokens = Annotated[
    int | None,
    Field(
        ge=1,
        le=1_000_000,
        description="Longest answer, in the model's tokens; the server's own limit stays.",
    ),
]
ConstraintText = Annotated[str, Field(min_length=1, max_length=4000)]
Constraints = Annotated[list[ConstraintText], Field(max_length=50, description="Rules that the answer must obey.")]


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_nearest_field(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Raise what pydantic raises, but for an unknown field with the known one that was probably meant."""
        try:
            return handler(value)
        except ValidationError as error:
            lines = error.errors(include_url=False, include_context=False)[:_MOST_ERRORS]
            raise ValidationError.from_exception_data(error.title, [cls._reworded(line) for line in lines]) from None

    @classmethod
    def _reworded(cls, line: Mapping[str, Any]) -> InitErrorDetails:
        loc, said = line["loc"], line["msg"]
        if line["type"] == "extra_forbidden" and len(loc) == 1:  # those of a model inside this one have been reworded
            near = get_close_matches(str(loc[0]), cls.model_fields, 1)
            said = f"unknown field, did you mean {near[0]}?" if near else f"unknown field ({_listed(cls)})"
        kind: Any = PydanticCustomError(line["type"], said)  # as a name, a type would bring its own message back
        return {"type": kind, "loc": loc, "input": line["input"]}


def _listed(model: type[BaseModel]) -> str:
    *most, last = model.model_fields
    return f"{', '.join(most)} and {last} are known" if most else f"{last} is known"


class HistoryMessage(Wire):
    """An earlier message of the conversation."""

    role: Literal["user", "assistant"]
    content: str

    def message(self) -> Message:
        return Message(self.role, self.content)


class SearchRequest(Wire):
    """A question whose evidence is wanted."""

    question: str
    max_tokens: MaxTokens = None
    collection: Collection = DEFAULT_COLLECTION
    document_ids: list[str] = Field(default=[], max_length=10_000, description="Look only into these documents.")
    metadata: dict[str, Any] | None = Field(None, description="Look only into documents with these metadata values.")
    history: list[HistoryMessage] = Field(default=[], max_length=_MAX_HISTORY)

    def options(self) -> dict[str, Any]:
        """The engine's keyword arguments."""
        return {
            "max_tokens": self.max_tokens,
            "collection": self.collection,
            "document_ids": self.document_ids,
            "metadata": self.metadata,
            "history": [item.message() for item in self.history],
        }


class AskRequest(SearchRequest):
    """A question whose answer is wanted."""

    constraints: Constraints = []
    role: str | None = Field(None, max_length=20_000, description="Replaces the default role text.")
    think: bool = Field(False, description="Ask the model to reason step by step.")
    max_output_tokens: AnswerTokens = None
    stream: bool = Field(False, description="Send text parts as server-sent events, then the answer.")

    def options(self) -> dict[str, Any]:
        more = {name: getattr(self, name) for name in ("constraints", "role", "think", "max_output_tokens")}
        return {**super().options(), **more}


class ExplainRequest(Wire):
    """A question and the document in which its attention is wanted."""

    question: str
    document: str = Field(min_length=1, max_length=1000, description="Id or source of the document.")
    collection: Collection = DEFAULT_COLLECTION
    chunks: int = Field(3, ge=1, le=100, description="The best of the document, at most so many.")
    full: bool = Field(False, description="Add the weight of every token for every token of the question.")

    def options(self) -> dict[str, Any]:
        """The engine's keyword arguments."""
        return self.model_dump(exclude={"question"})


class BatchOptions(Wire):
    """How every question of a batch is answered."""

    max_tokens: MaxTokens = None
    collection: Collection = DEFAULT_COLLECTION
    constraints: Constraints = []
    role: str | None = Field(None, max_length=20_000, description="Replaces the default role text.")
    think: bool = Field(False, description="Ask the model to reason step by step.")
    document_ids: list[str] = Field(default=[], max_length=10_000, description="Look only into these documents.")
    metadata: dict[str, Any] | None = Field(None, description="Look only into documents with these metadata values.")
    question_column: str | None = Field(None, max_length=500, description="Where the questions of rows stand.")
    max_total_tokens: int | None = Field(
        None, ge=1, le=10**12, description="Ceiling of the tokens of all prompts and answers together."
    )

    def options(self) -> dict[str, Any]:
        """The engine's keyword arguments."""
        names = ("max_tokens", "collection", "constraints", "role", "think", "document_ids", "metadata")
        return {name: getattr(self, name) for name in names}


class BatchRequest(BatchOptions):
    """A batch as JSON: bare questions, rows of a table, or requests in the form of OpenAI's batch files."""

    questions: list[str] | None = Field(None, min_length=1, max_length=50_000)
    rows: list[dict[str, Any]] | None = Field(None, min_length=1, max_length=50_000)
    requests: list[dict[str, Any]] | None = Field(None, min_length=1, max_length=50_000)

    @model_validator(mode="after")
    def _one_of_three(self) -> BatchRequest:
        if sum(given is not None for given in (self.questions, self.rows, self.requests)) != 1:
            raise ValueError("Send one of `questions`, `rows` and `requests`.")
        return self


class TextUpload(Wire):
    """A document sent as text."""

    text: str = Field(min_length=1)
    title: str = Field("", max_length=500)
    source: str | None = Field(
        None, min_length=1, max_length=1000, description="Its identity; made from the text if left out."
    )
    collection: Collection = DEFAULT_COLLECTION


class UrlUpload(Wire):
    """A document to be fetched."""

    url: str = Field(min_length=1, max_length=8000)
    collection: Collection = DEFAULT_COLLECTION


class CollectionRequest(Wire):
    """A collection to be made."""

    name: Collection


class TextPart(BaseModel):
    """A part of a message's content; only text is read."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """An OpenAI chat message. Fields beyond these (`name`, `refusal`) are accepted and not used."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    include_usage: bool | None = False


class FoveaOptions(Wire):
    """What this server offers beyond OpenAI's fields."""

    collection: Collection = DEFAULT_COLLECTION
    max_tokens: MaxTokens = None
    constraints: Constraints = []
    think: bool = False


class ChatRequest(BaseModel):
    """An OpenAI chat completion request.

    Fields that steer a model's sampling (`temperature`, `top_p`, `seed` ...) are accepted and not used. Any model name
    is accepted: the configured model answers.
    """

    model: str = "fovea"
    messages: list[ChatMessage] = Field(min_length=1, max_length=_MAX_HISTORY)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = Field(None, description="Only one choice is made.")
    max_tokens: AnswerTokens = None
    max_completion_tokens: AnswerTokens = None
    fovea: FoveaOptions = FoveaOptions()

    @property
    def max_output_tokens(self) -> int | None:
        """The lower of the two limits of the answer's length."""
        given = [limit for limit in (self.max_tokens, self.max_completion_tokens) if limit is not None]
        return min(given, default=None)

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)
